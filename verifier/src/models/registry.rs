//! The models in memory, and which of them answers. A change is one swap of a pointer: requests that run keep the
//! model they began with.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::Value;
use store::{Store, StoreError, Timestamp};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{AliasError, Aliases};
use crate::{
    Backend,
    pipeline::{Pipeline, PipelineSettings, Resources},
};

/// Key of the aliases in the store.
const KEY: &str = "verifier.models";
/// Pauses between attempts to warm up a model that does not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where models come from. Only what it lists can be loaded: a request cannot name a path or an address.
#[async_trait]
pub trait Loader: Send + Sync + fmt::Debug {
    /// The models that are configured, in order.
    fn names(&self) -> Vec<String>;

    /// Loads one of them. The error says what is wrong and what to do.
    async fn load(&self, name: &str) -> Result<Arc<dyn Backend>, String>;
}

/// Why a change of models failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such model.
    #[error("there is no model `{0}`; /v1/models lists them")]
    Unknown(String),
    /// It is configured and not in memory.
    #[error("model `{0}` is not loaded; load it first")]
    NotLoaded(String),
    /// It is in use and still being loaded.
    #[error("model `{0}` is still being loaded")]
    Loading(String),
    /// It answers requests or is a shadow.
    #[error("model `{0}` is in use as `{1}`")]
    InUse(String, &'static str),
    /// The change makes no sense.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// It cannot be loaded or does not answer.
    #[error("model `{name}` cannot be used: {reason}")]
    Broken {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
    /// The decision cannot be stored.
    #[error("the decision cannot be stored")]
    Store(#[from] StoreError),
}

/// What is in memory and what it is called.
#[derive(Debug, Clone)]
pub struct Table {
    /// Models in memory, by name.
    pub loaded: BTreeMap<String, Arc<Pipeline>>,
    /// Which is which.
    pub aliases: Aliases,
}

/// The models.
#[derive(Debug)]
pub struct Registry {
    table: ArcSwap<Table>,
    loader: Arc<dyn Loader>,
    store: Arc<dyn Store>,
    settings: PipelineSettings,
    resources: Resources,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Registry {
    /// A registry with what is to be active in memory: as was decided last, or `active` and `shadow` where nothing was
    /// decided yet.
    pub async fn open(
        loader: Arc<dyn Loader>,
        store: Arc<dyn Store>,
        settings: PipelineSettings,
        active: &str,
        shadow: Option<&str>,
    ) -> Result<Self, RegistryError> {
        let registry = Self::unloaded(loader, store, settings, active, shadow).await?;
        registry.load_used().await?;
        Ok(registry)
    }

    /// The same with nothing in memory yet; [`Self::load_used`] comes next.
    pub async fn unloaded(
        loader: Arc<dyn Loader>,
        store: Arc<dyn Store>,
        settings: PipelineSettings,
        active: &str,
        shadow: Option<&str>,
    ) -> Result<Self, RegistryError> {
        let resources = Resources::new(&settings);
        let configured = Aliases { shadow: shadow.map(str::to_owned), ..Aliases::new(active) };
        let table = ArcSwap::from_pointee(Table { loaded: BTreeMap::new(), aliases: configured.clone() });
        let registry = Self { table, loader, store, settings, resources, changing: Mutex::new(()) };
        let decided = registry.decided().await?.map(|(aliases, _)| aliases);
        let aliases = registry.known(decided, &configured);
        for name in [Some(&aliases.active), aliases.shadow.as_ref()].into_iter().flatten() {
            registry.configured(name)?;
        }
        registry.table.store(Arc::new(Table { loaded: BTreeMap::new(), aliases }));
        Ok(registry)
    }

    /// Loads the active model and the shadow, without warming them up.
    pub async fn load_used(&self) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        let table = self.table();
        for name in [Some(&table.aliases.active), table.aliases.shadow.as_ref()].into_iter().flatten() {
            if !self.table.load().loaded.contains_key(name) {
                let pipeline = self.fetch(name).await?;
                self.insert(name, pipeline);
            }
        }
        Ok(())
    }

    /// The models now.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// The configured models, in order.
    pub fn names(&self) -> Vec<String> {
        self.loader.names()
    }

    /// The model that a name or an alias stands for; the active one for `None`.
    pub fn find(&self, name: Option<&str>) -> Result<Arc<Pipeline>, RegistryError> {
        let table = self.table.load();
        let name = match name {
            None | Some("active") => table.aliases.active.as_str(),
            Some("shadow") => {
                table.aliases.shadow.as_deref().ok_or_else(|| RegistryError::Unknown("shadow".to_owned()))?
            }
            Some(name) => name,
        };
        match table.loaded.get(name) {
            Some(pipeline) => Ok(Arc::clone(pipeline)),
            None if !table.aliases.of(name).is_empty() => Err(RegistryError::Loading(name.to_owned())),
            None if self.names().iter().any(|known| known == name) => {
                Err(RegistryError::NotLoaded(name.to_owned()))
            }
            None => Err(RegistryError::Unknown(name.to_owned())),
        }
    }

    /// The model that scores in the background, where there is one.
    pub fn shadow(&self) -> Option<Arc<Pipeline>> {
        let table = self.table.load();
        table.aliases.shadow.as_ref().and_then(|name| table.loaded.get(name)).map(Arc::clone)
    }

    /// Puts a model into memory and warms it up. Loading one that is there changes nothing.
    pub async fn load(&self, name: &str) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        self.ensure(name).await.map(drop)
    }

    /// Takes a model out of memory once the requests that use it are done.
    pub async fn unload(&self, name: &str) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        self.configured(name)?;
        let mut table = Table::clone(&self.table.load());
        if let Some(alias) = table.aliases.of(name).first() {
            return Err(RegistryError::InUse(name.to_owned(), alias));
        }
        table.loaded.remove(name);
        self.table.store(Arc::new(table));
        tracing::info!(model = name, "unloaded");
        Ok(())
    }

    /// Makes a model active, after loading and warming it up.
    pub async fn activate(&self, name: &str) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        self.ensure(name).await?;
        self.decide(|aliases| Ok(aliases.activate(name))).await
    }

    /// Lets a model score in the background, after loading and warming it up; `None` ends that.
    pub async fn set_shadow(&self, name: Option<&str>) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        if let Some(name) = name {
            self.ensure(name).await?;
        }
        self.decide(|aliases| aliases.set_shadow(name)).await
    }

    /// Makes the model active again that was active before `from`, a name or `active`.
    pub async fn roll_back(&self, from: &str) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        let (aliases, _) = self.current().await?;
        let from = if from == "active" { aliases.active.clone() } else { from.to_owned() };
        let back = aliases.roll_back(&from)?;
        self.ensure(&back.active).await?;
        self.decide(|aliases| aliases.roll_back(&from)).await
    }

    /// Takes over what other replicas decided.
    pub async fn refresh(&self) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        let Some((decided, _)) = self.decided().await? else { return Ok(()) };
        let decided = self.known(Some(decided), &self.table.load().aliases);
        if decided == self.table.load().aliases {
            return Ok(());
        }
        for name in [Some(&decided.active), decided.shadow.as_ref()].into_iter().flatten() {
            self.ensure(name).await?;
        }
        self.adopt(decided);
        Ok(())
    }

    /// Warms up the models that are in memory, again and again until they answer.
    pub async fn warm_up(&self, stop: &CancellationToken) {
        for (name, pipeline) in &self.table().loaded {
            let mut pause = FIRST_PAUSE;
            while let Err(error) = pipeline.warm_up().await {
                tracing::warn!(model = name, %error, retry_in = ?pause, "the model is not ready");
                if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            tracing::info!(model = name, revision = pipeline.backend().info().revision, "the model is ready");
        }
    }

    fn configured(&self, name: &str) -> Result<(), RegistryError> {
        let known = self.names().iter().any(|known| known == name);
        if known { Ok(()) } else { Err(RegistryError::Unknown(name.to_owned())) }
    }

    async fn fetch(&self, name: &str) -> Result<Arc<Pipeline>, RegistryError> {
        self.configured(name)?;
        let broken = |reason| RegistryError::Broken { name: name.to_owned(), reason };
        let backend = self.loader.load(name).await.map_err(broken)?;
        let info = backend.info();
        tracing::info!(model = name, revision = info.revision, backend = info.backend, "loaded");
        Ok(Arc::new(Pipeline::new(backend, &self.settings, &self.resources)))
    }

    /// The model in memory, warm.
    async fn ensure(&self, name: &str) -> Result<(), RegistryError> {
        if self.table.load().loaded.contains_key(name) {
            return Ok(());
        }
        let pipeline = self.fetch(name).await?;
        pipeline
            .warm_up()
            .await
            .map_err(|error| RegistryError::Broken { name: name.to_owned(), reason: error.to_string() })?;
        self.insert(name, pipeline);
        Ok(())
    }

    fn insert(&self, name: &str, pipeline: Arc<Pipeline>) {
        let mut table = Table::clone(&self.table.load());
        table.loaded.insert(name.to_owned(), pipeline);
        self.table.store(Arc::new(table));
    }

    /// Stores a change of the aliases and makes it count here.
    async fn decide(
        &self,
        change: impl FnOnce(Aliases) -> Result<Aliases, AliasError>,
    ) -> Result<(), RegistryError> {
        let (aliases, version) = self.current().await?;
        let changed = change(aliases.clone())?;
        if changed != aliases {
            let value = serde_json::to_value(&changed).unwrap_or(Value::Null);
            self.store.put_setting(KEY, &value, version, Timestamp::now()).await?;
        }
        self.adopt(changed);
        Ok(())
    }

    fn adopt(&self, aliases: Aliases) {
        let mut table = Table::clone(&self.table.load());
        tracing::info!(active = aliases.active, shadow = aliases.shadow, "models");
        table.aliases = aliases;
        self.table.store(Arc::new(table));
    }

    /// The aliases to change: as stored, or those of the configuration.
    async fn current(&self) -> Result<(Aliases, Option<i64>), RegistryError> {
        Ok(match self.decided().await? {
            Some((aliases, version)) => (aliases, Some(version)),
            None => (self.table.load().aliases.clone(), None),
        })
    }

    async fn decided(&self) -> Result<Option<(Aliases, i64)>, RegistryError> {
        let Some(setting) = self.store.setting(KEY).await? else { return Ok(None) };
        match serde_json::from_value(setting.value) {
            Ok(aliases) => Ok(Some((aliases, setting.version))),
            Err(error) => {
                tracing::warn!(%error, key = KEY, "the stored choice of models cannot be read and is ignored");
                Ok(Some((self.table.load().aliases.clone(), setting.version)))
            }
        }
    }

    /// The decision as far as its models are configured here.
    fn known(&self, decided: Option<Aliases>, otherwise: &Aliases) -> Aliases {
        let Some(mut decided) = decided else { return otherwise.clone() };
        if self.configured(&decided.active).is_err() {
            tracing::warn!(
                model = decided.active,
                instead = otherwise.active,
                "the active model is not configured here (models.available)"
            );
            decided.active.clone_from(&otherwise.active);
        }
        if let Some(shadow) = &decided.shadow
            && (self.configured(shadow).is_err() || *shadow == decided.active)
        {
            decided.shadow = None;
        }
        decided
    }
}

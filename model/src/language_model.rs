//! A language model: loaded from a folder, asked for hidden states, logits and scores, saved again.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor, TensorData},
};
use kernels::Layout;

use crate::{
    config::{Config, Head},
    network::{Angles, KvCache, Network, ParameterMapper, ParameterVisitor, Pass, Rows, single},
    ops::{self, TokenStats},
    weights::{self, Check, Checkpoint, Count, Dtype, LoadError, Random, Reader, SaveError, SaveOptions},
};

/// How a model folder is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The type that weights and activations have while computing; norms, attention and scores are computed in single
    /// precision all the same. The CPU is made for single precision, the default; GPUs are fastest with bf16.
    pub precision: Dtype,
    /// Puts a new head of scores on the model, in place of the head it has.
    pub new_scores: Option<NewScores>,
}

/// A head of scores that training will fill.
#[derive(Debug, Clone)]
pub struct NewScores {
    /// A name for each score.
    pub labels: Vec<String>,
    /// Of the normal distribution its weights are drawn from.
    pub seed: u64,
}

/// Why tokens cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A token that the embedding does not have.
    #[error("token {id} at {index} is outside the model's vocabulary of {vocabulary}")]
    Vocabulary {
        /// Its place in the input.
        index: usize,
        /// The token.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The layout is for another number of tokens.
    #[error("{tokens} tokens do not fit a layout of {queries}")]
    Count {
        /// Tokens given.
        tokens: usize,
        /// Tokens of the layout.
        queries: usize,
    },
    /// A layout that needs keys from before its queries, which only a cache has.
    #[error("the layout needs {keys} keys, but its tokens make {queries}; use a cache")]
    Keys {
        /// Keys that the layout refers to.
        keys: usize,
        /// Tokens of the layout.
        queries: usize,
    },
    /// A row was asked for that there is not.
    #[error("row {place} was asked for, but there are {queries}")]
    Place {
        /// What was asked for.
        place: usize,
        /// Tokens of the layout.
        queries: usize,
    },
    /// No tokens.
    #[error("there are no tokens to read")]
    Empty,
    /// A cache made for another model.
    #[error("the cache was made for a model of {cache} layers, this one has {layers}")]
    Cache {
        /// Layers of the cache.
        cache: usize,
        /// Layers of the model.
        layers: usize,
    },
}

/// A decoder with what stands on top of it, on a device. A clone shares the weights.
#[derive(Debug, Clone)]
pub struct LanguageModel {
    config: Arc<Config>,
    network: Network,
    angles: Arc<Angles>,
    device: Device,
    /// Comes before the names of the decoder's parameters: `model.`, or nothing.
    prefix: &'static str,
    /// How each tensor was stored where the model was loaded from.
    stored: Arc<BTreeMap<String, Dtype>>,
}

impl LanguageModel {
    /// Loads a Hugging Face model folder: `config.json`, and `model.safetensors` or shards with their index. Weights
    /// in single precision are used where they lie in the mapped file; others are converted a tensor at a time.
    ///
    /// Every missing, superfluous or misshapen tensor is named in one error. Two kinds of superfluous tensors mean
    /// nothing and are passed over: `…rotary_emb.inv_freq`, which old versions stored although it follows from the
    /// configuration, and an `lm_head.weight` that equals the embedding it is tied to.
    pub fn load(dir: &Path, device: &Device, options: &LoadOptions) -> Result<Self, LoadError> {
        let path = dir.join("config.json");
        let text = fs::read_to_string(&path).map_err(|error| LoadError::Io { path, error })?;
        let config_error = |error| LoadError::Config { path: dir.to_owned(), error };
        let mut config = Config::parse(&text).map_err(config_error)?;
        let checkpoint = Checkpoint::open(dir)?;
        let mut prefix =
            if checkpoint.names().any(|name| name.starts_with("model.")) { "model." } else { "" };

        let replaced = options.new_scores.is_some();
        if replaced {
            // The old head, whichever it is, stays in the file.
            config.head = Head::None;
        }
        let mut check = Check::new(&checkpoint);
        Network::read(&mut check, &config, prefix);
        let problems = check.finish(|name| {
            name.ends_with("rotary_emb.inv_freq")
                || (replaced && ["lm_head.weight", "score.weight", "score.bias"].contains(&name))
        });
        if !problems.is_empty() {
            return Err(LoadError::Tensors { path: dir.to_owned(), problems });
        }
        let mut reader = Reader::new(&checkpoint, device, options.precision);
        let mut network = Network::read(&mut reader, &config, prefix);
        let stored = Arc::new(reader.stored);
        if config.head == (Head::Language { tied: true }) {
            network.tie();
        }
        if let Some(new) = &options.new_scores {
            config = config.with_scores(new.labels.clone());
            // A classifier's names have it, a bare decoder's do not.
            prefix = "model.";
            let mut random =
                Random { seed: new.seed, spread: config.initializer_range, device: device.clone() };
            network.add_scores(&mut random, &config);
        }
        Ok(Self::assemble(config, network, device, prefix, stored))
    }

    /// A model of random weights.
    pub fn init(config: Config, seed: u64, device: &Device) -> Self {
        let mut random = Random { seed, spread: config.initializer_range, device: device.clone() };
        let prefix = if config.head == Head::None { "" } else { "model." };
        let network = Network::read(&mut random, &config, prefix);
        Self::assemble(config, network, device, prefix, Arc::default())
    }

    /// Number of parameters of a model of this configuration; no weights are made.
    pub fn count_parameters(config: &Config) -> usize {
        let mut count = Count::default();
        Network::read(&mut count, config, "model.");
        count.0
    }

    fn assemble(
        config: Config,
        network: Network,
        device: &Device,
        prefix: &'static str,
        stored: Arc<BTreeMap<String, Dtype>>,
    ) -> Self {
        let angles = Arc::new(Angles::new(&config));
        Self { config: Arc::new(config), network, angles, device: device.clone(), prefix, stored }
    }

    /// Writes the model as a Hugging Face folder: the same names, and the number type each tensor was loaded from
    /// unless the options say otherwise. The folder appears when everything in it is written. Adapters on parameters are
    /// not written: merge them first.
    pub fn save(&self, dir: &Path, options: &SaveOptions) -> Result<(), SaveError> {
        weights::save(&self.network, &self.config, self.prefix, &self.stored, dir, options)
    }

    /// How the tensors were stored where the model was loaded from; nothing for a model of random weights.
    pub fn stored(&self) -> &BTreeMap<String, Dtype> {
        &self.stored
    }

    /// What the model computes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Comes before the names of the decoder's parameters.
    pub(crate) fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// The same model on another device of the same kind, which records gradients.
    pub(crate) fn on_autodiff(self, device: Device) -> Self {
        Self { network: self.network.train(), device, ..self }
    }

    /// The model whose parameters are on this device.
    pub(crate) fn at(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// The same model with its parameters exchanged, those of adapters included.
    pub(crate) fn exchange<M: ParameterMapper>(self, mapper: &mut M) -> Self {
        Self { network: self.network.exchange(self.prefix, mapper), ..self }
    }

    /// Its parameters.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The same model with other parameters of the same shapes, as training steps make them.
    #[must_use]
    pub fn with_network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The model without gradients, sharing the weights: what runs inside a training loop but is not trained on.
    #[must_use]
    pub fn valid(&self) -> Self {
        Self { network: self.network.valid(), device: self.device.clone().without_autodiff(), ..self.clone() }
    }

    /// Calls the visitor with every parameter under its name in a checkpoint, always in the same order.
    pub fn visit<V: ParameterVisitor>(&self, visitor: &mut V) {
        self.network.parameters(self.prefix, visitor);
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.network.num_params()
    }

    /// Hidden states after the final norm, `[T, hidden]`: one row for every token, in the order of the tokens.
    /// Which of them attend to which, and where each stands in its sequence, says the layout.
    pub fn hidden(&self, tokens: &[u32], layout: &Arc<Layout>) -> Result<Tensor<2>, InputError> {
        if layout.keys() != layout.queries() {
            return Err(InputError::Keys { keys: layout.keys(), queries: layout.queries() });
        }
        self.read(tokens, layout, None, |_, k, v| (k, v))
    }

    /// The rows of [`Self::hidden`] at these places, in their order. Cheaper than to pick them afterwards: nothing else
    /// of the last layer is computed but the keys and values.
    pub fn hidden_at(
        &self,
        tokens: &[u32],
        layout: &Arc<Layout>,
        places: &[usize],
    ) -> Result<Tensor<2>, InputError> {
        self.check_places(tokens, layout, places)?;
        self.read(tokens, layout, Some(places), |_, k, v| (k, v))
    }

    /// Whether these rows of such a pass can be computed.
    pub(crate) fn check_places(
        &self,
        tokens: &[u32],
        layout: &Layout,
        places: &[usize],
    ) -> Result<(), InputError> {
        if layout.keys() != layout.queries() {
            return Err(InputError::Keys { keys: layout.keys(), queries: layout.queries() });
        }
        if let Some(&place) = places.iter().find(|&&place| place >= layout.queries()) {
            return Err(InputError::Place { place, queries: layout.queries() });
        }
        if places.is_empty() {
            return Err(InputError::Empty);
        }
        self.check_tokens(tokens, layout)
    }

    fn check_tokens(&self, tokens: &[u32], layout: &Layout) -> Result<(), InputError> {
        if tokens.is_empty() {
            return Err(InputError::Empty);
        }
        if tokens.len() != layout.queries() {
            return Err(InputError::Count { tokens: tokens.len(), queries: layout.queries() });
        }
        let vocabulary = self.config.vocabulary;
        match tokens.iter().enumerate().find(|(_, id)| **id as usize >= vocabulary) {
            Some((index, &id)) => Err(InputError::Vocabulary { index, id, vocabulary }),
            None => Ok(()),
        }
    }

    /// What all layers of a pass over this layout share.
    pub(crate) fn pass<'a>(&self, layout: &'a Arc<Layout>, places: Option<&[usize]>) -> Pass<'a> {
        let (cos, sin) = self.angles.rows(&layout.positions(), &self.device);
        let rows =
            places.map(|places| Rows { places: self.places(places), layout: Arc::new(layout.at(places)) });
        Pass { layout, cos, sin, rows }
    }

    /// Hidden states `[T, hidden]` of tokens that follow those in the cache, which are added to it. The model must not
    /// record gradients (see [`Self::valid`]), or the cache keeps the graph of all earlier calls alive.
    pub fn hidden_cached(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Tensor<2>, InputError> {
        if cache.layers() != self.config.layers() {
            return Err(InputError::Cache { cache: cache.layers(), layers: self.config.layers() });
        }
        if tokens.is_empty() {
            return Err(InputError::Empty);
        }
        let layout = Layout::cached(cache.len(), tokens.len()).expect("there are tokens");
        let hidden = self.read(tokens, &Arc::new(layout), None, |layer, k, v| cache.append(layer, k, v))?;
        cache.advance(tokens.len());
        Ok(hidden)
    }

    /// An empty cache for [`Self::hidden_cached`].
    pub fn cache(&self) -> KvCache {
        KvCache::with_layers(self.config.layers())
    }

    fn read(
        &self,
        tokens: &[u32],
        layout: &Arc<Layout>,
        places: Option<&[usize]>,
        keep: impl FnMut(usize, Tensor<3>, Tensor<3>) -> (Tensor<3>, Tensor<3>) + Send,
    ) -> Result<Tensor<2>, InputError> {
        self.check_tokens(tokens, layout)?;
        let pass = self.pass(layout, places);
        // On a thread of the pool, which then shares out each operation itself: called from outside, every one of them
        // would wake the pool and wait to be woken.
        Ok(rayon::scope(|_| self.network.hidden(&self.config, self.ids(tokens), &pass, keep)))
    }

    pub(crate) fn ids(&self, tokens: &[u32]) -> Tensor<1, Int> {
        // Vocabularies are below 2³⁰.
        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, [tokens.len()]), &self.device)
    }

    /// The matrix that turns hidden states into logits, `[vocabulary, hidden]`; None for a model without a language
    /// head.
    pub fn vocabulary_weight(&self) -> Option<Tensor<2>> {
        match (&self.config.head, &self.network.lm_head) {
            (Head::Language { .. }, Some(head)) => Some(head.weight.val()),
            (Head::Language { .. }, None) => Some(self.network.model.embed_tokens.weight.val()),
            _ => None,
        }
    }

    /// Logits `[T, vocabulary]` of these hidden states; None for a model without a language head. Pick the rows first:
    /// a row of logits is many times larger than one of hidden states.
    pub fn logits(&self, hidden: Tensor<2>) -> Option<Tensor<2>> {
        self.vocabulary_weight().map(|weight| single(ops::linear(hidden, weight, None)))
    }

    /// Log-probability of a target after each of these hidden states, without the logits in memory where the device has
    /// a fused head; None for a model without a language head.
    pub fn token_stats(&self, hidden: Tensor<2>, targets: &[u32]) -> Option<TokenStats> {
        let targets = self.ids(targets);
        self.vocabulary_weight().map(|weight| ops::token_stats(single(hidden), single(weight), targets))
    }

    /// Scores `[T, labels]` of these hidden states; None for a model without a head for them. What a row scores is the
    /// text up to its token: pick the last row of a sequence, or the rows at the ends of turns.
    pub fn scores(&self, hidden: Tensor<2>) -> Option<Tensor<2>> {
        self.network.score.as_ref().map(|score| score.forward(single(hidden)))
    }

    /// The place in a sequence where `transformers` reads a classifier's score: the last token that is not the padding
    /// token, which is the last one unless a text ends with that token.
    pub fn scored_at(&self, tokens: &[u32]) -> usize {
        let last = tokens.iter().rposition(|&token| Some(token) != self.config.pad_token);
        last.unwrap_or(0)
    }

    /// The rows of `hidden` at these places.
    pub fn rows(&self, hidden: Tensor<2>, places: &[usize]) -> Tensor<2> {
        hidden.select(0, self.places(places))
    }

    fn places(&self, places: &[usize]) -> Tensor<1, Int> {
        let ids: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        Tensor::from_data(TensorData::new(ids, [places.len()]), &self.device)
    }
}

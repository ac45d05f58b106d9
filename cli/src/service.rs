//! Running services inside this process: configuration, logging, start and stop.

mod scorer;
mod settings;

pub use scorer::InProcess;
pub use settings::{Settings, Up};

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use selector::http::Scorer;
use server::ConfigArgs;
use server::config::{Sources, load};
use server::serve::stop_signal;
use server::telemetry;
use tokio_util::sync::CancellationToken;

/// The configuration that flags, variables and the file give on top of `defaults`; `None` when it was only to be
/// printed.
pub fn settings(args: &ConfigArgs, defaults: &Settings) -> Result<Option<Settings>> {
    use std::io::Write;
    let loaded = load(defaults, &Sources::process(args))?;
    if args.print_config {
        std::io::stdout().lock().write_all(loaded.to_toml().as_bytes())?;
        return Ok(None);
    }
    Ok(Some(loaded.config))
}

/// A runtime for services.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")
}

/// Runs services until they have stopped, and sends what is left of their traces.
pub fn run(services: impl Future<Output = Result<()>>) -> Result<()> {
    runtime()?.block_on(async {
        let ended = services.await;
        telemetry::shutdown().await;
        ended
    })
}

/// A token that is cancelled when the process is asked to end.
pub fn until_asked() -> CancellationToken {
    let stop = CancellationToken::new();
    let on_signal = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        on_signal.cancel();
    });
    stop
}

/// Starts the selector; it stops when the token is cancelled. Scores come from `scorer` unless the settings name a
/// verifier.
pub async fn start_selector(
    settings: &Settings,
    scorer: Option<Arc<dyn Scorer>>,
    stop: CancellationToken,
) -> Result<selector::http::Served> {
    telemetry::init(&settings.log, &settings.telemetry, "entropo-selector")?;
    Ok(selector::http::start(&settings.selector(), scorer, stop).await?)
}

/// Starts the verifier; it stops when the token is cancelled.
pub async fn start_verifier(settings: &Settings, stop: CancellationToken) -> Result<verifier::http::Running> {
    telemetry::init(&settings.log, &settings.telemetry, "entropo-verifier")?;
    Ok(verifier::http::start(&settings.verifier(), stop).await?)
}

/// Starts the verifier beside the selector, where there is to be one.
pub async fn start_verifier_beside(
    settings: &Settings,
    stop: CancellationToken,
) -> Result<Option<verifier::http::Running>> {
    let Some(addr) = settings.verifier_beside().map_err(|message| anyhow!(message))? else { return Ok(None) };
    let mut own = settings.clone();
    own.http.bind = addr;
    let hint = "cannot start the verifier; put it elsewhere with --set up.verifier=ADDR:PORT, or leave it out with \
                --set up.verifier=off";
    start_verifier(&own, stop).await.map(Some).context(hint)
}

/// The services of one process.
#[derive(Debug)]
pub struct Both {
    /// The selector.
    pub selector: selector::http::Served,
    /// The verifier that scores for it, unless it was switched off.
    pub verifier: Option<verifier::http::Running>,
    stop: CancellationToken,
}

impl Both {
    /// Waits until both have stopped, which they do when the token given to [`start_both`] is cancelled.
    pub async fn wait(self) -> Result<()> {
        let selector = self.selector.wait().await;
        self.stop.cancel();
        if let Some(running) = self.verifier {
            running.wait().await?;
        }
        Ok(selector?)
    }
}

/// Starts the selector and beside it the verifier, which it asks without HTTP.
pub async fn start_both(settings: &Settings, stop: CancellationToken) -> Result<Both> {
    let verifier = start_verifier_beside(settings, stop.clone()).await?;
    let scorer =
        verifier.as_ref().map(|running| Arc::new(InProcess(running.service.clone())) as Arc<dyn Scorer>);
    match start_selector(settings, scorer, stop.clone()).await {
        Ok(selector) => Ok(Both { selector, verifier, stop }),
        Err(error) => {
            stop.cancel();
            if let Some(running) = verifier {
                running.wait().await?;
            }
            Err(error)
        }
    }
}

/// Starts the trainer; it stops when the token is cancelled.
pub async fn start_trainer(settings: &Settings, stop: CancellationToken) -> Result<trainer::http::Running> {
    telemetry::init(&settings.log, &settings.telemetry, "entropo-trainer")?;
    Ok(trainer::http::start(&settings.trainer(), Arc::new(trainer::engine::Native), stop).await?)
}

/// Starts the trainer beside the selector, where there is to be one. What is promoted goes to `verifier`, unless the
/// settings name another.
pub async fn start_trainer_beside(
    settings: &Settings,
    verifier: Option<&verifier::http::Running>,
    stop: CancellationToken,
) -> Result<Option<trainer::http::Running>> {
    let Some(addr) = settings.trainer_beside().map_err(|message| anyhow!(message))? else { return Ok(None) };
    let mut own = settings.clone();
    own.http.bind = addr;
    if let (true, Some(verifier)) = (own.trainer.verifier_url.is_empty(), verifier) {
        own.trainer.verifier_url = url(verifier.addr);
    }
    let hint = "cannot start the trainer; put it elsewhere with --set up.trainer=ADDR:PORT, or leave it out with \
                --set up.trainer=off";
    start_trainer(&own, stop).await.map(Some).context(hint)
}

/// The address to type into a browser: a service that listens on every address is at this machine's own.
pub fn url(addr: std::net::SocketAddr) -> String {
    let ip = match addr.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", std::net::SocketAddr::new(ip, addr.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_can_be_opened() {
        for (addr, expected) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:81", "http://[::1]:81"),
        ] {
            assert_eq!(url(addr.parse().unwrap()), expected);
        }
    }
}

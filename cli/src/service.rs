//! Running services inside this process: configuration, logging, start and stop.

use anyhow::{Context, Result};
use selector::http::{Running, Settings, start};
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

/// Starts the selector; it stops when the token is cancelled or the process is asked to end.
pub async fn start_selector(settings: &Settings) -> Result<(Running, CancellationToken)> {
    telemetry::init(&settings.log)?;
    let stop = CancellationToken::new();
    let running = start(settings, None, stop.clone()).await?;
    let on_signal = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        on_signal.cancel();
    });
    Ok((running, stop))
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

//! Logs on standard error: text for people, JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not one; the message says where.
    #[error("log.level: `{level}` is not a level or directive such as `info,sqlx=warn`: {message}")]
    Level {
        /// The text given.
        level: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Starts logging for the process; a second call changes nothing.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| TelemetryError::Level { level: log.level.clone(), message: error.to_string() })?;
    let terminal = std::io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that the embedding program has set up its own logging, which then counts.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(terminal).with_target(false).try_init()
    };
    Ok(())
}

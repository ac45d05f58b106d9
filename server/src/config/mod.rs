//! Configuration in layers: flags over `ENTROPO_*` variables over a TOML file over defaults.
//!
//! A service declares one struct of tables, usually made of the shared ones here ([`Http`], [`Database`], [`Auth`],
//! [`Limits`], [`Log`], [`Telemetry`]) plus its own. [`load`] fills it and remembers where each value came from.

mod args;
mod layers;
mod tables;
mod units;
mod variables;

pub use args::ConfigArgs;
pub use layers::{ConfigError, Loaded, Override, Sources, load};
pub use tables::{Auth, AuthMode, Database, Http, Limits, Log, LogFormat, Settings, Shared, Telemetry};
pub use units::{ByteSize, Secret, Span};

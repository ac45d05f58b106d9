//! Models by name, and the aliases `active` and `shadow`.

mod aliases;
mod catalogue;
mod registry;

pub use aliases::{AliasError, Aliases};
pub use catalogue::{Catalogue, ModelSettings};
pub use registry::{Loader, Registry, RegistryError, Table};

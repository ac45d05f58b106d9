//! What other modules' errors are to a client.

use server::{Kind, Problem};

use crate::models::RegistryError;

/// A registry's error as a problem.
pub(crate) fn registry(error: RegistryError) -> Problem {
    match error {
        RegistryError::Unknown(_) => Problem::not_found(error.to_string()),
        RegistryError::NotLoaded(_) | RegistryError::InUse(..) | RegistryError::Alias(_) => {
            Problem::new(Kind::Conflict, error.to_string())
        }
        RegistryError::Loading(_) => Problem::new(Kind::Unavailable, error.to_string()),
        RegistryError::Broken { .. } => {
            Problem::new(Kind::Unavailable, error.to_string()).with_cause(server::problem::chain(&error))
        }
        RegistryError::Store(error) => server::stored::problem(error),
    }
}

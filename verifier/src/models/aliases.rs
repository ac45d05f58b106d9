//! Which model is active and which is tried out beside it: pure, and what is kept in the store.

use serde::{Deserialize, Serialize};

/// How many earlier active models are remembered.
const HISTORY: usize = 16;

/// The aliases `active` and `shadow`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Aliases {
    /// The model that answers requests which name none.
    pub active: String,
    /// The model that scores the same in the background, where there is one.
    pub shadow: Option<String>,
    /// Models that were active before, the latest last.
    pub history: Vec<String>,
}

/// Why a change makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// Rolling back from a model that is not active: it was done already, or somebody activated another.
    #[error("`{named}` is not active, `{active}` is")]
    NotActive {
        /// The model named.
        named: String,
        /// The one that is active.
        active: String,
    },
    /// There is nothing to go back to.
    #[error("no model was active before `{0}`")]
    NoHistory(String),
    /// The active model would be its own shadow.
    #[error("`{0}` is active already")]
    IsActive(String),
}

impl Aliases {
    /// Only an active model.
    pub fn new(active: &str) -> Self {
        Self { active: active.to_owned(), ..Self::default() }
    }

    /// Makes a model active; a shadow that becomes active is no shadow any more.
    #[must_use]
    pub fn activate(mut self, name: &str) -> Self {
        if self.active != name {
            let before = std::mem::replace(&mut self.active, name.to_owned());
            self.history.push(before);
            let surplus = self.history.len().saturating_sub(HISTORY);
            self.history.drain(..surplus);
        }
        if self.shadow.as_deref() == Some(name) {
            self.shadow = None;
        }
        self
    }

    /// Lets a model score in the background, or none.
    pub fn set_shadow(mut self, name: Option<&str>) -> Result<Self, AliasError> {
        if name == Some(self.active.as_str()) {
            return Err(AliasError::IsActive(self.active));
        }
        self.shadow = name.map(str::to_owned);
        Ok(self)
    }

    /// Makes the model active again that was active before `from`.
    pub fn roll_back(mut self, from: &str) -> Result<Self, AliasError> {
        if from != self.active {
            return Err(AliasError::NotActive { named: from.to_owned(), active: self.active });
        }
        let Some(before) = self.history.pop() else { return Err(AliasError::NoHistory(self.active)) };
        if self.shadow.as_deref() == Some(before.as_str()) {
            self.shadow = None;
        }
        self.active = before;
        Ok(self)
    }

    /// The aliases that stand for a model.
    pub fn of(&self, name: &str) -> Vec<&'static str> {
        let mut aliases = Vec::new();
        if self.active == name {
            aliases.push("active");
        }
        if self.shadow.as_deref() == Some(name) {
            aliases.push("shadow");
        }
        aliases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activating_is_undone_by_rolling_back_once() {
        let aliases = Aliases::new("a").activate("b").activate("b").activate("c");
        assert_eq!(
            (aliases.active.as_str(), aliases.history.as_slice()),
            ("c", &["a".into(), "b".into()][..])
        );
        let back = aliases.clone().roll_back("c").unwrap();
        assert_eq!(back.active, "b");
        let again = AliasError::NotActive { named: "c".into(), active: "b".into() };
        assert_eq!(back.clone().roll_back("c"), Err(again), "the same request sent twice");
        let first = back.roll_back("b").unwrap();
        assert_eq!(first.clone().roll_back("a"), Err(AliasError::NoHistory("a".into())));
        assert_eq!(first, Aliases::new("a"));
    }

    #[test]
    fn a_model_is_active_or_shadow_not_both() {
        let aliases = Aliases::new("a").set_shadow(Some("b")).unwrap();
        assert_eq!(
            (aliases.of("a"), aliases.of("b"), aliases.of("c")),
            (vec!["active"], vec!["shadow"], vec![])
        );
        assert_eq!(aliases.clone().set_shadow(Some("a")), Err(AliasError::IsActive("a".into())));
        assert_eq!(aliases.clone().activate("b").shadow, None);
        assert_eq!(aliases.clone().set_shadow(None).unwrap(), Aliases::new("a"));
        let back = aliases.activate("c").set_shadow(Some("a")).unwrap().roll_back("c").unwrap();
        assert_eq!((back.active.as_str(), back.shadow), ("a", None));
    }

    #[test]
    fn history_is_bounded() {
        let aliases = (0..100).fold(Aliases::new("m"), |aliases, n| aliases.activate(&format!("m{n}")));
        assert_eq!((aliases.history.len(), aliases.history[0].as_str()), (HISTORY, "m83"));
    }
}

//! Names of models as labels. Configured ones are few, but every promotion makes another, and a time series that was
//! once made stays.

use std::sync::{Mutex, PoisonError};

/// Names that a process shows; later ones are all `other`.
const MOST: usize = 32;

/// What metrics call a model: `promoted` for those that the trainer made (`run-…`), whose number grows with every
/// promotion; else its name, as long as there are few.
pub fn model(name: &str) -> String {
    static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    bounded(&mut KNOWN.lock().unwrap_or_else(PoisonError::into_inner), name)
}

fn bounded(known: &mut Vec<String>, name: &str) -> String {
    if name.starts_with("run-") {
        return "promoted".to_owned();
    }
    if !known.iter().any(|one| one == name) {
        if known.len() >= MOST {
            return "other".to_owned();
        }
        known.push(name.to_owned());
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_models_there_are_the_labels_are_few() {
        let mut known = Vec::new();
        let mut shown = std::collections::BTreeSet::new();
        for number in 0..1000 {
            shown.insert(bounded(&mut known, &format!("run-0123456789ab-{number}")));
            shown.insert(bounded(&mut known, &format!("model-{number}")));
        }
        assert_eq!(shown.len(), MOST + 2);
        assert_eq!(bounded(&mut known, "model-3"), "model-3");
        assert!(shown.contains("promoted") && shown.contains("other"));
    }
}

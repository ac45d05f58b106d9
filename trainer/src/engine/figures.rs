//! Figures over a window of steps: means weighted by what they count, not by micro-batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::Figure;
use crate::run::Metrics;

/// How figures of one name become one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Gathered {
    /// Sum and weight.
    Mean(f64, f64),
    Least(f64),
    Most(f64),
    /// The newest.
    Last(f64),
}

/// A window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures(BTreeMap<String, Gathered>);

impl Figures {
    /// Adds what a weighted mean is made of.
    pub(crate) fn add(&mut self, (name, sum, weight): Figure) {
        if weight > 0.0 {
            let entry = self.0.entry(name.to_owned()).or_insert(Gathered::Mean(0.0, 0.0));
            if let Gathered::Mean(sums, weights) = entry {
                *sums += sum;
                *weights += weight;
            }
            if name == "mean_reward" {
                self.bound("min_reward", Gathered::Least(sum));
                self.bound("max_reward", Gathered::Most(sum));
            }
        }
    }

    fn bound(&mut self, name: &str, new: Gathered) {
        let entry = self.0.entry(name.to_owned()).or_insert(new);
        *entry = match (*entry, new) {
            (Gathered::Least(old), Gathered::Least(new)) => Gathered::Least(old.min(new)),
            (Gathered::Most(old), Gathered::Most(new)) => Gathered::Most(old.max(new)),
            (_, new) => new,
        };
    }

    /// The newest value of something.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), Gathered::Last(value));
    }

    /// Takes in another window.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            match (self.0.get_mut(name), *value) {
                (Some(Gathered::Mean(sums, weights)), Gathered::Mean(sum, weight)) => {
                    *sums += sum;
                    *weights += weight;
                }
                (Some(_), value @ (Gathered::Least(_) | Gathered::Most(_))) => self.bound(name, value),
                (_, value) => {
                    self.0.insert(name.clone(), value);
                }
            }
        }
    }

    /// The mean or value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).map(|value| match *value {
            Gathered::Mean(sum, weight) => sum / weight,
            Gathered::Least(value) | Gathered::Most(value) | Gathered::Last(value) => value,
        })
    }

    /// All of them; `prefix` comes before each name.
    pub(crate) fn metrics(&self, prefix: &str) -> Metrics {
        let mut metrics: Metrics =
            self.0.keys().filter_map(|name| Some((format!("{prefix}{name}"), self.get(name)?))).collect();
        let margins = format!("{prefix}rewards/margins");
        if let (None, Some(chosen), Some(rejected)) =
            (metrics.get(&margins), self.get("rewards/chosen"), self.get("rewards/rejected"))
        {
            metrics.insert(margins, chosen - rejected);
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_weighted_and_windows_add_up() {
        let mut one = Figures::default();
        one.add(("entropy", 10.0, 5.0));
        one.add(("entropy", 2.0, 1.0));
        one.add(("nothing", 1.0, 0.0));
        one.add(("mean_reward", -1.0, 1.0));
        one.set("learning_rate", 0.1);
        let mut two = Figures::default();
        two.add(("entropy", 0.0, 6.0));
        two.add(("mean_reward", 3.0, 1.0));
        two.set("learning_rate", 0.2);
        one.merge(&two);
        let metrics = one.metrics("eval_");
        assert_eq!(metrics["eval_entropy"], 1.0);
        assert_eq!(metrics["eval_learning_rate"], 0.2);
        assert_eq!((metrics["eval_min_reward"], metrics["eval_max_reward"]), (-1.0, 3.0));
        assert_eq!(metrics["eval_mean_reward"], 1.0);
        assert!(!metrics.contains_key("eval_nothing"));
    }
}

//! The policies by name, and what each one is.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ranker::RankerModel;

/// A rule for choosing among the candidates of one issue.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The learned ranker on all evidence.
    #[default]
    Hybrid,
    /// The released rule for SWE-bench Verified: tests, then the longest run.
    EntropoVerified,
    /// The released rule for SWE-bench Lite: verifier threshold, then the shortest run.
    EntropoLite,
    /// Upper half by verifier, then tests, then verifier.
    #[serde(rename = "r2e-gym")]
    R2eGym,
    /// Fewest broken regression tests, reproduction passed, majority vote.
    Agentless,
    /// The most frequent normalised patch.
    Majority,
    /// The patch most similar to all others.
    Medoid,
    /// The weighted vote of the tests.
    TestVotes,
}

/// A policy in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyInfo {
    /// Its name, as requests give it.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Where the rule comes from, and where this implementation departs from it.
    pub source: &'static str,
    /// The evidence it looks at; what of it is missing is reported as `degraded`.
    pub wants: &'static [&'static str],
}

/// How to select.
#[derive(Debug, Clone, Default)]
pub struct PolicyRequest {
    /// The rule.
    pub policy: Policy,
    /// Abstain when the confidence is below this; in [0, 1]. Only policies that give a confidence can.
    pub min_confidence: Option<f64>,
    /// Parameters of the learned ranker; `None` for those shipped with this build.
    pub model: Option<Arc<RankerModel>>,
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy `{0}`; known are {known}", known = Policy::names())]
pub struct UnknownPolicy(pub String);

impl Policy {
    /// Every policy, the default first.
    pub const ALL: [Self; 8] = [
        Self::Hybrid,
        Self::EntropoVerified,
        Self::EntropoLite,
        Self::R2eGym,
        Self::Agentless,
        Self::Majority,
        Self::Medoid,
        Self::TestVotes,
    ];

    /// The policy's name, as in requests, results and on the command line.
    pub const fn name(self) -> &'static str {
        self.describe().name
    }

    /// What the policy does, where it comes from and what it wants.
    pub const fn describe(self) -> PolicyInfo {
        match self {
            Self::Hybrid => PolicyInfo {
                name: "hybrid",
                summary: "learned listwise ranker on patches, agreement, trajectories, tests and verifier scores; gives calibrated probabilities",
                source: "this project; fit by `entropo fit`, see docs/selection.md",
                wants: &["trajectory", "regression", "reproduction", "verifier"],
            },
            Self::EntropoVerified => PolicyInfo {
                name: "entropo-verified",
                summary: "finished runs, most regression tests passed, most reproduction tests passed, verifier above 0.01, longest conversation",
                source: "EntroPO (arXiv 2509.12434), released selection code, mode hybrid for SWE-bench Verified; here an empty patch is dropped first, tests count only as the base allows, and a missing score is not a score of zero",
                wants: &["exit", "steps", "regression", "reproduction", "verifier"],
            },
            Self::EntropoLite => PolicyInfo {
                name: "entropo-lite",
                summary: "finished runs, verifier above 0.01, shortest conversation",
                source: "EntroPO (arXiv 2509.12434), released selection code, mode hybrid for SWE-bench Lite; here an empty patch is dropped first and a missing score is not a score of zero",
                wants: &["exit", "steps", "verifier"],
            },
            Self::R2eGym => PolicyInfo {
                name: "r2e-gym",
                summary: "upper half by verifier, most regression tests passed, most generated tests passed, best verifier score",
                source: "R2E-Gym (arXiv 2504.07164) hybrid verifier, script variant: the upper n/2 stay, at least one (the script itself keeps none of one; the paper's notebook keeps max(3, n/2) and averages over ties, here the first wins)",
                wants: &["regression", "reproduction", "verifier"],
            },
            Self::Agentless => PolicyInfo {
                name: "agentless",
                summary: "fewest regression tests not passed, reproduction test passed, majority vote on the normalised patch",
                source: "Agentless (arXiv 2407.01489), rerank.py; here a missing report is unknown and not a pass, and tests that fail on the base do not count",
                wants: &["regression", "reproduction"],
            },
            Self::Majority => PolicyInfo {
                name: "majority",
                summary: "the most frequent normalised source change; ties go to the earliest",
                source: "self-consistency (arXiv 2203.11171) on normalised patches, as Agentless and Trae vote",
                wants: &[],
            },
            Self::Medoid => PolicyInfo {
                name: "medoid",
                summary: "the patch with the highest mean similarity to the others; ties go to the earliest",
                source: "minimum Bayes risk with patch similarity as gain (Kumar and Byrne 2004; for code arXiv 2204.11454)",
                wants: &[],
            },
            Self::TestVotes => PolicyInfo {
                name: "test-votes",
                summary: "tests vote, each weighted by how well it tells the candidates apart; then agreement of patches",
                source: "CodeMonkeys (arXiv 2501.14723) votes of tests, with base comparison, reruns and weights by discrimination",
                wants: &["regression", "reproduction"],
            },
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| UnknownPolicy(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_text_and_json() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
            assert!(!policy.describe().source.is_empty());
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "best".parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains("`best`") && error.contains("entropo-verified"), "{error}");
    }
}

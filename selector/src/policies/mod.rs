//! The policies: each turns what is known of a pool into a ranking.

mod hybrid;
mod released;
mod stage;
mod voting;
mod words;

use common::{Degraded, DropStage};

use crate::{
    agreement::Agreement, evidence::Opinion, policy::Policy, pool::PreparedPool, ranker::RankerModel,
    test_evidence::TestEvidence,
};

/// Everything a policy may look at.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) pool: &'a PreparedPool,
    pub(crate) agreement: &'a Agreement,
    pub(crate) tests: &'a TestEvidence,
    pub(crate) verifier: &'a [Option<Opinion>],
    /// Parameters of the learned ranker; `None` for those shipped.
    pub(crate) model: Option<&'a RankerModel>,
}

/// A ranking and why. All but `order` are by position in the pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// Positions, best first; every candidate once.
    pub(crate) order: Vec<usize>,
    pub(crate) score: Vec<f64>,
    pub(crate) probability: Vec<Option<f64>>,
    pub(crate) dropped: Vec<Option<DropStage>>,
    pub(crate) reasons: Vec<Vec<String>>,
    pub(crate) confidence: Option<f64>,
    pub(crate) model: Option<String>,
    pub(crate) degraded: Vec<Degraded>,
}

impl Context<'_> {
    /// How many candidates there are.
    pub(crate) fn len(&self) -> usize {
        self.pool.candidates.len()
    }
}

/// The positions of the candidates that may be chosen: those with a patch, or all where none has one.
pub(crate) fn nonempty(pool: &PreparedPool) -> Vec<usize> {
    let least = pool.candidates.iter().map(|candidate| candidate.emptiness()).min().unwrap_or(0);
    (0..pool.candidates.len()).filter(|&at| pool.candidates[at].emptiness() == least).collect()
}

/// Ranks the candidates by a policy's rule.
pub(crate) fn decide(policy: Policy, context: &Context<'_>) -> Verdict {
    match policy {
        Policy::EntropoVerified => released::entropo_verified(context),
        Policy::EntropoLite => released::entropo_lite(context),
        Policy::R2eGym => released::r2e_gym(context),
        Policy::Agentless => voting::agentless(context),
        Policy::Hybrid => hybrid::hybrid(context),
        Policy::Majority => voting::majority(context),
        Policy::Medoid => voting::medoid(context),
        Policy::TestVotes => voting::test_votes(context),
    }
}

//! SimPO (arXiv 2405.14734, eq. 6).

use super::{
    PairTerm, Sequence,
    numeric::{log_sigmoid, sigmoid},
};

/// `−log σ(β·(π_w/|w| − π_l/|l|) − γ)`; the reward is β times the mean log-probability.
pub(super) fn simpo(beta: f64, gamma: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    let reward = |sequence: &Sequence| beta * sequence.policy / sequence.length();
    let rewards = (reward(chosen), reward(rejected));
    let logit = rewards.0 - rewards.1 - gamma;
    let slope = -sigmoid(-logit) * beta;
    PairTerm {
        loss: -log_sigmoid(logit),
        chosen: slope / chosen.length(),
        rejected: -slope / rejected.length(),
        logit,
        rewards,
    }
}

//! Anchored preference optimisation (arXiv 2408.06266, eq. 4 and 5).

use super::{
    PairTerm, Sequence,
    dpo::rewards,
    numeric::{sigmoid, sigmoid_slope},
};

/// APO-zero raises the chosen and lowers the rejected: `1 − σ(βΔ_w) + σ(βΔ_l)`.
pub(super) fn zero(beta: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    let (up, down) = rewards(beta, chosen, rejected);
    PairTerm {
        loss: sigmoid(-up) + sigmoid(down),
        chosen: -beta * sigmoid_slope(up),
        rejected: beta * sigmoid_slope(down),
        logit: up - down,
        rewards: (up, down),
    }
}

/// APO-down lowers both, the rejected more: `σ(βΔ_w) + 1 − σ(β·(Δ_w − Δ_l))`.
pub(super) fn down(beta: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    let (up, down) = rewards(beta, chosen, rejected);
    let logit = up - down;
    let pull = beta * sigmoid_slope(logit);
    PairTerm {
        loss: sigmoid(up) + sigmoid(-logit),
        chosen: beta * sigmoid_slope(up) - pull,
        rejected: pull,
        logit,
        rewards: (up, down),
    }
}

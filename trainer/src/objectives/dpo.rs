//! EntroPO-DPO, DPO and those of its relatives that see a pair through one logit.

use super::{
    Entropy, PairTerm, Sequence,
    numeric::{log_sigmoid, sigmoid as logistic},
};

/// EntroPO-DPO (arXiv 2509.12434; the authors' loss): `−log σ(α·(π_w − π_l) − β·(ref_w − ref_l))`.
///
/// Written as `β·δ + cap((α − β)·(π_w − π_l))`, which is the same without a cap and equals DPO bit by bit for α = β.
pub(super) fn entropo(entropy: Entropy, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    let beta = entropy.beta;
    let driven = entropy.bonus() * (chosen.policy - rejected.policy);
    let (driven, slope) = entropy.capped(driven);
    let logit = beta * (chosen.log_ratio() - rejected.log_ratio()) + driven;
    // d logit / d π_w
    let pull = beta + entropy.bonus() * slope;
    let push = -logistic(-logit) * pull;
    PairTerm {
        loss: -log_sigmoid(logit),
        chosen: push,
        rejected: -push,
        logit,
        rewards: (entropy.reward(chosen), entropy.reward(rejected)),
    }
}

/// DPO (arXiv 2305.18290, eq. 7): `−log σ(β·δ)`.
pub(super) fn sigmoid(beta: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    from_logit(beta, chosen, rejected, |logit| (-log_sigmoid(logit), -logistic(-logit)))
}

/// Hinge (SLiC-HF, arXiv 2305.10425): `max(0, 1 − β·δ)`.
pub(super) fn hinge(beta: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    from_logit(beta, chosen, rejected, |logit| if logit < 1.0 { (1.0 - logit, -1.0) } else { (0.0, 0.0) })
}

/// Robust DPO (arXiv 2403.00409): `[−(1 − ε)·log σ(x) + ε·log σ(−x)] / (1 − 2ε)`.
pub(super) fn robust(beta: f64, flipped: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    from_logit(beta, chosen, rejected, |logit| {
        let scale = 1.0 / (1.0 - 2.0 * flipped);
        let loss = -(1.0 - flipped) * log_sigmoid(logit) + flipped * log_sigmoid(-logit);
        let slope = -(1.0 - flipped) * logistic(-logit) - flipped * logistic(logit);
        (loss * scale, slope * scale)
    })
}

/// DPO over per-token means of the log-ratios.
pub(super) fn sigmoid_norm(beta: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    let logit = beta * (chosen.log_ratio() / chosen.length() - rejected.log_ratio() / rejected.length());
    let slope = -logistic(-logit) * beta;
    PairTerm {
        loss: -log_sigmoid(logit),
        chosen: slope / chosen.length(),
        rejected: -slope / rejected.length(),
        logit,
        rewards: rewards(beta, chosen, rejected),
    }
}

/// IPO (arXiv 2310.12036, eq. 17) over per-token means: `(h − 1/(2β))²`.
pub(super) fn ipo(beta: f64, chosen: &Sequence, rejected: &Sequence) -> PairTerm {
    let logit = chosen.log_ratio() / chosen.length() - rejected.log_ratio() / rejected.length();
    let miss = logit - 1.0 / (2.0 * beta);
    PairTerm {
        loss: miss * miss,
        chosen: 2.0 * miss / chosen.length(),
        rejected: -2.0 * miss / rejected.length(),
        logit,
        rewards: rewards(beta, chosen, rejected),
    }
}

/// A loss of the logit β·δ alone: the closure gives its value and derivative.
fn from_logit(
    beta: f64,
    chosen: &Sequence,
    rejected: &Sequence,
    loss: impl Fn(f64) -> (f64, f64),
) -> PairTerm {
    let logit = beta * (chosen.log_ratio() - rejected.log_ratio());
    let (loss, slope) = loss(logit);
    PairTerm {
        loss,
        chosen: slope * beta,
        rejected: -(slope * beta),
        logit,
        rewards: rewards(beta, chosen, rejected),
    }
}

/// β·(log π − log ref) of both.
pub(super) fn rewards(beta: f64, chosen: &Sequence, rejected: &Sequence) -> (f64, f64) {
    (beta * chosen.log_ratio(), beta * rejected.log_ratio())
}

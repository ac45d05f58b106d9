//! `[objective]`.

use serde::{Deserialize, Serialize};

use super::FieldProblem;
use crate::objectives::{BradleyTerry, Entropy, Kto, KtoForm, PairObjective, ReferencePoint};

/// `[objective]`: what is minimised. A field that the kind does not use is refused, so that none is set in vain.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Which. Default `entropo-dpo`.
    #[serde(alias = "loss_type")]
    pub kind: ObjectiveKind,
    /// Strength of the reference (of SimPO: scale of the rewards). Default 0.1; SimPO's 2.
    pub beta: Option<f64>,
    /// Total entropy coefficient of the entropo kinds, at least beta. Default 1.1 × beta.
    pub alpha: Option<f64>,
    /// Steps in which alpha rises from beta. Default 0.
    pub alpha_warmup_steps: Option<usize>,
    /// Bound on the length-driven part of a logit, in nats. Default: none, as in the paper.
    pub cap: Option<f64>,
    /// Rate of flipped labels that `robust` assumes, in [0, 0.5). Default 0.
    pub label_smoothing: Option<f64>,
    /// Target margin of `simpo`. Default 0.5.
    pub gamma: Option<f64>,
    /// Weight of desirable trajectories (KTO). Default 1.
    pub desirable_weight: Option<f64>,
    /// Weight of undesirable trajectories (KTO). Default 1.
    pub undesirable_weight: Option<f64>,
    /// Where alpha enters `entropo-kto`: `paper` (the default) or `released`.
    pub form: Option<KtoForm>,
    /// How KTO's reference point is made: `clamp-divergence` (the default), `clamp` or `free`.
    pub reference_point: Option<ReferencePoint>,
    /// Over what KTO's reference point is taken: `step` (the default) or `micro-batch`, as TRL does.
    pub reference_scope: Option<ReferenceScope>,
    /// How far a chosen score is to be above the rejected one (`bradley-terry`), for rows without a margin. Default 0.
    pub margin: Option<f64>,
    /// Weight of the squared sum of two scores, which keeps them around 0 (`bradley-terry`). Default 0.
    #[serde(alias = "center_rewards_coefficient")]
    pub centering: Option<f64>,
    /// Weight of an SFT term on the chosen or desirable trajectories, added to a policy's objective. Default 0.
    #[serde(alias = "rpo_alpha")]
    pub sft_weight: Option<f64>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $word:literal $(also $alias:literal)*;)*) => {
        /// What is minimised.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub enum ObjectiveKind {
            $($(#[$doc])* #[serde(rename = $word $(, alias = $alias)*)] $name,)*
        }

        impl ObjectiveKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its word in configurations.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// EntroPO over pairs.
    #[default]
    EntropoDpo "entropo-dpo";
    /// EntroPO over labelled trajectories.
    EntropoKto "entropo-kto";
    /// DPO.
    Dpo "dpo" also "sigmoid";
    /// DPO with log-ratios averaged over tokens.
    DpoNorm "dpo-norm" also "sigmoid_norm";
    /// IPO.
    Ipo "ipo";
    /// Hinge (SLiC).
    Hinge "hinge";
    /// Robust DPO.
    Robust "robust";
    /// APO-zero.
    ApoZero "apo-zero" also "apo_zero";
    /// APO-down.
    ApoDown "apo-down" also "apo_down";
    /// SimPO, without a reference.
    Simpo "simpo";
    /// KTO.
    Kto "kto";
    /// Imitation.
    Sft "sft";
    /// Verifier: chosen above rejected.
    BradleyTerry "bradley-terry";
    /// Verifier: whether a trajectory resolves its issue.
    Binary "binary";
    /// Verifier: the same at the end of every turn of the policy.
    BinaryTurns "binary-turns";
    /// Verifier: the resolved among the candidates of an issue.
    Listwise "listwise";
}

impl ObjectiveKind {
    /// Whether a verifier is trained, with a head of scores; a policy otherwise.
    pub const fn trains_verifier(self) -> bool {
        matches!(self, Self::BradleyTerry | Self::Binary | Self::BinaryTurns | Self::Listwise)
    }

    /// Whether the reference's log-probabilities enter.
    pub const fn needs_reference(self) -> bool {
        !self.trains_verifier() && !matches!(self, Self::Sft | Self::Simpo)
    }

    /// Whether it learns from pairs.
    pub const fn takes_pairs(self) -> bool {
        !self.is_kto() && !matches!(self, Self::Sft | Self::Binary | Self::BinaryTurns | Self::Listwise)
    }

    const fn is_kto(self) -> bool {
        matches!(self, Self::Kto | Self::EntropoKto)
    }

    const fn is_entropo(self) -> bool {
        matches!(self, Self::EntropoDpo | Self::EntropoKto)
    }
}

/// Over what KTO's reference point is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceScope {
    /// The whole optimiser step: neither order nor split into micro-batches changes it.
    #[default]
    Step,
    /// Each micro-batch by itself, for comparison with trainers that do this.
    MicroBatch,
}

/// An objective with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Over pairs.
    Pair(PairObjective),
    /// Over labelled trajectories.
    Kto(Kto),
    /// Imitation.
    Sft,
    /// Verifier over pairs.
    BradleyTerry(BradleyTerry),
    /// Verifier over trajectories.
    Binary,
    /// Verifier over turns.
    BinaryTurns,
    /// Verifier over the candidates of an issue.
    Listwise,
}

impl ObjectiveConfig {
    /// Strength of the reference: what was asked for, or the kind's own.
    pub fn beta(&self) -> f64 {
        self.beta.unwrap_or(if self.kind == ObjectiveKind::Simpo { 2.0 } else { 0.1 })
    }

    /// The coefficients of EntroPO; without a bonus for the other kinds.
    pub fn entropy(&self) -> Entropy {
        let beta = self.beta();
        let usual = if self.kind.is_entropo() { 1.1 * beta } else { beta };
        Entropy { alpha: self.alpha.unwrap_or(usual), beta, cap: self.cap }
    }

    /// Weight of the SFT term.
    pub fn sft_weight(&self) -> f64 {
        self.sft_weight.unwrap_or(0.0)
    }

    /// Steps in which alpha rises from beta.
    pub fn alpha_warmup_steps(&self) -> usize {
        self.alpha_warmup_steps.unwrap_or(0)
    }

    /// Over what KTO's reference point is taken.
    pub fn reference_scope(&self) -> ReferenceScope {
        self.reference_scope.unwrap_or_default()
    }

    /// The objective with its settings.
    pub fn objective(&self) -> Objective {
        let beta = self.beta();
        let pair = match self.kind {
            ObjectiveKind::EntropoDpo => PairObjective::EntropoDpo(self.entropy()),
            ObjectiveKind::Dpo => PairObjective::Dpo { beta },
            ObjectiveKind::DpoNorm => PairObjective::DpoNorm { beta },
            ObjectiveKind::Ipo => PairObjective::Ipo { beta },
            ObjectiveKind::Hinge => PairObjective::Hinge { beta },
            ObjectiveKind::Robust => {
                PairObjective::Robust { beta, label_smoothing: self.label_smoothing.unwrap_or(0.0) }
            }
            ObjectiveKind::ApoZero => PairObjective::ApoZero { beta },
            ObjectiveKind::ApoDown => PairObjective::ApoDown { beta },
            ObjectiveKind::Simpo => PairObjective::Simpo { beta, gamma: self.gamma.unwrap_or(0.5) },
            ObjectiveKind::Kto | ObjectiveKind::EntropoKto => return Objective::Kto(self.kto()),
            ObjectiveKind::Sft => return Objective::Sft,
            ObjectiveKind::BradleyTerry => {
                let (margin, centering) = (self.margin.unwrap_or(0.0), self.centering.unwrap_or(0.0));
                return Objective::BradleyTerry(BradleyTerry { margin, centering });
            }
            ObjectiveKind::Binary => return Objective::Binary,
            ObjectiveKind::BinaryTurns => return Objective::BinaryTurns,
            ObjectiveKind::Listwise => return Objective::Listwise,
        };
        Objective::Pair(pair)
    }

    fn kto(&self) -> Kto {
        Kto {
            entropy: self.entropy(),
            form: self.form.unwrap_or_default(),
            reference_point: self.reference_point.unwrap_or_default(),
            desirable_weight: self.desirable_weight.unwrap_or(1.0),
            undesirable_weight: self.undesirable_weight.unwrap_or(1.0),
        }
    }

    pub(super) fn check(&self, problems: &mut Vec<FieldProblem>) {
        let kind = self.kind;
        let (entropo, kto, verifier) = (kind.is_entropo(), kind.is_kto(), kind.trains_verifier());
        let bradley_terry = kind == ObjectiveKind::BradleyTerry;
        let given = [
            ("beta", self.beta.is_some(), !verifier && kind != ObjectiveKind::Sft),
            ("alpha", self.alpha.is_some(), entropo),
            ("alpha_warmup_steps", self.alpha_warmup_steps.is_some(), entropo),
            ("cap", self.cap.is_some(), kind == ObjectiveKind::EntropoDpo),
            ("label_smoothing", self.label_smoothing.is_some(), kind == ObjectiveKind::Robust),
            ("gamma", self.gamma.is_some(), kind == ObjectiveKind::Simpo),
            ("desirable_weight", self.desirable_weight.is_some(), kto),
            ("undesirable_weight", self.undesirable_weight.is_some(), kto),
            ("form", self.form.is_some(), kind == ObjectiveKind::EntropoKto),
            ("reference_point", self.reference_point.is_some(), kto),
            ("reference_scope", self.reference_scope.is_some(), kto),
            ("margin", self.margin.is_some(), bradley_terry),
            ("centering", self.centering.is_some(), bradley_terry),
            ("sft_weight", self.sft_weight.is_some(), !verifier && kind != ObjectiveKind::Sft),
        ];
        let before = problems.len();
        for (name, given, used) in given {
            if given && !used {
                let message = format!("is not a setting of the kind `{}`: leave it out", kind.word());
                problems.push(FieldProblem::new(format!("objective.{name}"), message));
            }
        }
        let weights = [
            ("desirable_weight", self.desirable_weight),
            ("undesirable_weight", self.undesirable_weight),
            ("margin", self.margin),
            ("centering", self.centering),
            ("gamma", self.gamma),
            ("sft_weight", self.sft_weight),
        ];
        for (name, weight) in weights {
            if let Some(weight) = weight {
                let holds = weight >= 0.0 && weight.is_finite();
                FieldProblem::unless(holds, &format!("objective.{name}"), weight, "0 or more", problems);
            }
        }
        if problems.len() == before {
            let wrong = match self.objective() {
                Objective::Pair(pair) => pair.problem(),
                Objective::Kto(kto) => kto.entropy.validated().err().map(|error| error.to_string()),
                _ => None,
            };
            problems.extend(wrong.map(|message| FieldProblem::new("objective", message)));
        }
    }
}

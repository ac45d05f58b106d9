//! A run underway: the model, its optimiser and its reference, and what one step does with some rows.

use std::sync::Arc;

use burn::tensor::Tensor;
use model::{
    LanguageModel,
    training::{Gradients, Optimizer},
};

use super::{
    devices::{DeviceFailure, Devices},
    example::{Address, Example},
    figures::Figures,
    judge::{Judge, Scale, Seen, Slope, Verdict, imitated_tokens},
    learner::{Computed, compute, learn, mean_word},
    mismatch::{paired, rotated},
    pass::{Pass, Read, deal},
    reference::{Reference, ReferenceError},
};
use crate::{
    config::{Objective, ReferenceScope, RunConfig},
    data::Tokens,
    objectives::{PairObjective, Sequence, warmed_up},
};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Device(#[from] DeviceFailure),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The loss or a gradient is not finite.
    #[error("{0}")]
    Diverged(String),
}

/// Whose log-probabilities the reference's are, where they are computed at every step.
#[derive(Debug)]
pub(crate) enum Beside {
    /// They were computed before, or there is no reference.
    Nothing,
    /// The model without its adapters.
    AdapterOff,
    /// A second model, on each of the devices.
    Models(Vec<LanguageModel>),
}

/// Of one step or micro-batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Figures,
    /// Of each micro-batch, if they were asked for.
    pub(crate) micro_batches: Vec<Figures>,
    /// Elements of the gradient after clipping, if they were asked for.
    pub(crate) gradients: Vec<(String, Vec<f32>)>,
    pub(crate) trained_tokens: u64,
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: Arc<RunConfig>,
    pub(crate) devices: Devices,
    /// On the first device.
    pub(crate) model: Option<LanguageModel>,
    /// The same on each of the other devices.
    pub(crate) replicas: Vec<LanguageModel>,
    pub(crate) optimizer: Optimizer,
    pub(crate) reference: Reference,
    pub(crate) beside: Beside,
    /// Tokens read so far, each sequence counted whole, as TRL counts them.
    pub(crate) tokens_seen: u64,
}

/// What a row reads off the model under an objective.
pub(crate) fn reads(objective: Objective) -> Read {
    match objective {
        Objective::Pair(_) | Objective::Kto(_) | Objective::Sft => Read::Tokens,
        Objective::BradleyTerry(_) | Objective::Binary | Objective::Listwise => Read::Score,
        Objective::BinaryTurns => Read::TurnScores,
    }
}

/// The objective at a step, α warmed up.
pub(crate) fn objective_at(config: &RunConfig, step: usize) -> Objective {
    let steps = config.objective.alpha_warmup_steps();
    match config.objective.objective() {
        Objective::Pair(PairObjective::EntropoDpo(entropy)) => {
            Objective::Pair(PairObjective::EntropoDpo(warmed_up(entropy, step, steps)))
        }
        Objective::Kto(mut kto) => {
            kto.entropy = warmed_up(kto.entropy, step, steps);
            Objective::Kto(kto)
        }
        other => other,
    }
}

/// The mismatched trajectories of a window of rows.
pub(crate) fn mismatched(scope: ReferenceScope, rows: &[&Example], limit: usize) -> Vec<Tokens> {
    match scope {
        ReferenceScope::Step => paired(rows, limit),
        ReferenceScope::MicroBatch => rotated(rows, limit),
    }
}

/// How the rows of a step are computed: positions in `rows`.
pub(crate) fn micro_batches(config: &RunConfig, rows: &[&Example]) -> Vec<Vec<usize>> {
    let training = &config.training;
    if let Some(count) = training.micro_batch_rows {
        let all: Vec<usize> = (0..rows.len()).collect();
        return all.chunks(count).map(<[usize]>::to_vec).collect();
    }
    if !training.packing {
        return (0..rows.len()).map(|row| vec![row]).collect();
    }
    let sizes: Vec<usize> = rows.iter().map(|row| row.computed(training.share_prefix)).collect();
    deal(&sizes, training.tokens_per_micro_batch)
}

/// The model on one of the devices in a step.
struct Learner<'a> {
    model: &'a LanguageModel,
    /// See [`mean_word`].
    word: Option<Tensor<2>>,
    gradients: Gradients,
}

/// What is computed of one micro-batch, and how it is judged.
struct Batch<'a> {
    rows: Vec<&'a Example>,
    pass: Pass,
    judge: Judge,
    references: Vec<Vec<f32>>,
}

impl Batch<'_> {
    fn verdicts(&self, computed: &Computed) -> Vec<Verdict> {
        let mut sequence = 0;
        let verdict = |row: &&Example| {
            let seen: Vec<Seen> = row
                .sequences
                .iter()
                .map(|_| {
                    let mut seen = computed.of(&self.pass, sequence);
                    seen.reference.clone_from(&self.references[sequence]);
                    sequence += 1;
                    seen
                })
                .collect();
            self.judge.verdict(row, &seen)
        };
        self.rows.iter().map(verdict).collect()
    }
}

fn gather(verdicts: &[Verdict], scale: f64) -> Figures {
    let mut figures = Figures::default();
    for verdict in verdicts {
        // The verdict has the row's part of the mean over the step.
        figures.add(("loss", verdict.loss * scale, 1.0));
        for &figure in &verdict.figures {
            figures.add(figure);
        }
    }
    figures
}

impl Session {
    pub(crate) fn model(&self) -> &LanguageModel {
        self.model.as_ref().expect("the model is only away while the optimiser moves it")
    }

    /// The model on each of the devices.
    fn models(&self) -> impl Iterator<Item = &LanguageModel> {
        std::iter::once(self.model()).chain(&self.replicas)
    }

    /// The same without gradients and dropout.
    fn valid(&self) -> Vec<LanguageModel> {
        self.models().map(LanguageModel::valid).collect()
    }

    fn set_dropout_round(&self, round: u64) {
        self.models().for_each(|model| model.set_dropout_round(round));
    }

    /// One step of the optimiser, from 0, with these rows.
    pub(crate) fn step(
        &mut self,
        rows: &[&Example],
        step: usize,
        learning_rate: f64,
        keep: Keep,
    ) -> Result<Outcome, StepError> {
        let config = Arc::clone(&self.config);
        let mut outcome = Outcome::default();
        let recompute = config.training.activation_checkpointing;
        self.set_dropout_round(0);
        let batches = self.batches(rows, step)?;
        let mut learners: Vec<Learner<'_>> = self
            .models()
            .map(|model| Learner { model, word: mean_word(model), gradients: Gradients::default() })
            .collect();
        let costs: Vec<usize> = batches.iter().map(|batch| batch.pass.forest.tokens.len()).collect();
        let learned = self.devices.share(&mut learners, &costs, |learner, index| {
            let batch = &batches[index];
            // Never 0, and another one for every pass of a run.
            let round = (config.training.seed ^ 0x5851_F42D_4C95_7F2D)
                .wrapping_add(((step as u64) << 24) + index as u64)
                .max(1);
            learner.model.set_dropout_round(round);
            let mut verdicts = Vec::new();
            learn(
                learner.model,
                &batch.pass,
                reads(batch.judge.objective),
                recompute,
                learner.word.as_ref(),
                &mut learner.gradients,
                |computed| {
                    verdicts = batch.verdicts(computed);
                    verdicts.iter().flat_map(|verdict| verdict.slopes.iter().cloned()).collect::<Vec<Slope>>()
                },
            )?;
            let mut figures = gather(&verdicts, rows.len() as f64);
            if let Objective::Kto(kto) = batch.judge.objective {
                figures.add(("kl", batch.judge.reference_point / kto.entropy.beta, 1.0));
            }
            Ok(figures)
        })?;
        for figures in learned {
            outcome.figures.merge(&figures);
            if keep.micro_batches {
                outcome.micro_batches.push(figures);
            }
        }
        // In the order of the devices, so that rounding is the same every time.
        let mut parts = learners.into_iter().map(|learner| learner.gradients);
        let mut gradients = parts.next().expect("there is a device");
        for (index, part) in parts.enumerate() {
            self.devices.with(index + 1, || gradients.gather(part, self.devices.first()))?;
        }
        if self.devices.count() > 1 {
            outcome.figures.add(("devices", self.devices.busy(batches.len()) as f64, 1.0));
        }
        drop(batches);
        self.set_dropout_round(0);
        let loss = outcome.figures.get("loss").unwrap_or(0.0);
        let norm = gradients.norm();
        if !loss.is_finite() || !norm.is_finite() {
            return Err(StepError::Diverged(format!(
                "the loss is {loss} and the gradient's norm {norm}; lower training.learning_rate, or look at the rows of \
                 this step"
            )));
        }
        let clip = config.training.clip;
        let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        if keep.gradients {
            let scaled = |values: Vec<f32>| values.into_iter().map(|value| value * scale as f32).collect();
            outcome.gradients =
                gradients.iter().map(|(name, values)| (name.to_owned(), scaled(values))).collect();
        }
        let model = self.model.take().expect("the model is there between steps");
        let model = self.optimizer.step(model, gradients, learning_rate, scale);
        let replicas = std::mem::take(&mut self.replicas).into_iter().enumerate();
        let replicas =
            replicas.map(|(index, replica)| self.devices.with(index + 1, || replica.following(&model)));
        self.replicas = replicas.collect::<Result<_, _>>()?;
        self.model = Some(model);
        self.reference.forget();
        self.tokens_seen += rows.iter().map(|row| row.tokens() as u64).sum::<u64>();
        outcome.trained_tokens = rows.iter().map(|row| row.trained() as u64).sum();
        outcome.figures.set("grad_norm", norm);
        outcome.figures.set("learning_rate", learning_rate);
        outcome.figures.set("num_tokens", self.tokens_seen as f64);
        Ok(outcome)
    }

    /// Judges rows without learning from them, `rows_per_step` at a time.
    pub(crate) fn evaluate(&mut self, rows: &[&Example], step: usize) -> Result<Figures, StepError> {
        let mut all = Figures::default();
        self.set_dropout_round(0);
        let models = self.valid();
        let words: Vec<Option<Tensor<2>>> = models.iter().map(mean_word).collect();
        for rows in rows.chunks(self.config.training.rows_per_step) {
            let batches = self.batches(rows, step)?;
            let mut judges: Vec<_> = models.iter().zip(&words).collect();
            let costs: Vec<usize> = batches.iter().map(|batch| batch.pass.forest.tokens.len()).collect();
            let judged = self.devices.share(&mut judges, &costs, |(model, word), index| {
                let batch = &batches[index];
                let computed = compute(model, &batch.pass, reads(batch.judge.objective), word.as_ref())?;
                Ok(gather(&batch.verdicts(&computed), rows.len() as f64))
            })?;
            for figures in &judged {
                all.merge(figures);
            }
        }
        self.reference.forget();
        Ok(all)
    }

    /// Puts the rows of a step into passes, with the reference's log-probabilities and, for KTO, its reference point.
    fn batches<'a>(&mut self, rows: &[&'a Example], step: usize) -> Result<Vec<Batch<'a>>, StepError> {
        let config = Arc::clone(&self.config);
        let objective = objective_at(&config, step);
        let share = config.training.share_prefix;
        let split = micro_batches(&config, rows);
        let scale = Scale { rows: rows.len(), imitated: rows.iter().map(|row| imitated_tokens(row)).sum() };
        let points = self.reference_points(&config, objective, rows, &split)?;
        let needed = config.objective.kind.needs_reference();
        if needed {
            let groups: Vec<Vec<&Tokens>> = rows.iter().map(|row| row.sequences.iter().collect()).collect();
            self.ensure(&groups)?;
        }
        let of = |address: &Address| {
            let known = self.reference.of(address);
            known.expect("all of them were made sure of").to_vec()
        };
        let batches = split.into_iter().zip(points).map(|(batch, reference_point)| {
            let rows: Vec<&Example> = batch.into_iter().map(|row| rows[row]).collect();
            let groups: Vec<Vec<&Tokens>> = rows.iter().map(|row| row.sequences.iter().collect()).collect();
            let addresses = rows.iter().flat_map(|row| &row.addresses);
            let references = addresses.map(|address| if needed { of(address) } else { Vec::new() }).collect();
            let judge =
                Judge { objective, sft_weight: config.objective.sft_weight(), reference_point, scale };
            Batch { pass: Pass::new(&groups, share, reads(objective)), rows, judge, references }
        });
        Ok(batches.collect())
    }

    /// Makes sure of the reference's log-probabilities, computing what is missing.
    fn ensure(&mut self, groups: &[Vec<&Tokens>]) -> Result<(), StepError> {
        let sequences: Vec<&Tokens> = groups.iter().flatten().copied().collect();
        if self.reference.missing(&sequences).is_empty() {
            return Ok(());
        }
        let models: Vec<LanguageModel> = match &self.beside {
            Beside::Models(models) => models.clone(),
            // What was not computed before can only be missing where the policy is the reference.
            Beside::AdapterOff | Beside::Nothing => {
                self.models().map(|model| model.clone().without_adapters().valid()).collect()
            }
        };
        let share = self.config.training.share_prefix;
        self.reference.ensure(&self.devices, &models, groups, share, |_, _| true)?;
        Ok(())
    }

    /// z₀ of each micro-batch; 0 for other objectives than KTO.
    fn reference_points(
        &mut self,
        config: &RunConfig,
        objective: Objective,
        rows: &[&Example],
        split: &[Vec<usize>],
    ) -> Result<Vec<f64>, StepError> {
        let Objective::Kto(kto) = objective else { return Ok(vec![0.0; split.len()]) };
        let scope = config.objective.reference_scope();
        let windows: Vec<Vec<&Example>> = match scope {
            ReferenceScope::Step => vec![rows.to_vec()],
            ReferenceScope::MicroBatch => {
                split.iter().map(|batch| batch.iter().map(|&row| rows[row]).collect()).collect()
            }
        };
        let mut points = Vec::with_capacity(windows.len());
        for window in windows {
            let tokens = mismatched(scope, &window, config.data.max_tokens);
            let tokens: Vec<&Tokens> = tokens.iter().filter(|tokens| tokens.trained_tokens() > 0).collect();
            let groups: Vec<Vec<&Tokens>> = tokens.iter().map(|&tokens| vec![tokens]).collect();
            self.ensure(&groups)?;
            let policies = self.valid();
            let sizes: Vec<usize> = tokens.iter().map(|tokens| tokens.ids.len()).collect();
            let mut sequences = vec![Sequence { policy: 0.0, reference: 0.0, tokens: 0 }; tokens.len()];
            let dealt = deal(&sizes, config.training.tokens_per_micro_batch);
            let costs: Vec<usize> =
                dealt.iter().map(|batch| batch.iter().map(|&index| sizes[index]).sum()).collect();
            let mut policies: Vec<&LanguageModel> = policies.iter().collect();
            let computed = self.devices.share(&mut policies, &costs, |policy, batch| {
                let groups: Vec<Vec<&Tokens>> =
                    dealt[batch].iter().map(|&index| vec![tokens[index]]).collect();
                let pass = Pass::new(&groups, false, Read::Tokens);
                let computed = compute(policy, &pass, Read::Tokens, None)?;
                Ok((0..groups.len()).map(|place| computed.of(&pass, place)).collect::<Vec<Seen>>())
            })?;
            for (&index, mut seen) in dealt.iter().flatten().zip(computed.into_iter().flatten()) {
                let address = super::example::address(tokens[index]);
                seen.reference = self.reference.of(&address).expect("made sure of").to_vec();
                sequences[index] = seen.sequence();
            }
            points.push(kto.reference_point(&sequences));
        }
        if scope == ReferenceScope::Step {
            points = vec![points[0]; split.len()];
        }
        Ok(points)
    }
}

/// What is kept of a step for records that are not always made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Keep {
    pub(crate) micro_batches: bool,
    pub(crate) gradients: bool,
}

//! What the objective makes of a row: the loss, its derivative by what the model computed, and figures to report.

use crate::{
    config::Objective,
    engine::example::{Example, Lesson},
    objectives::{KtoSample, PairObjective, Sequence, binary, bradley_terry, listwise},
};

/// One sequence as the model sees it. All lists have an element for each place that is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    /// Log-probabilities of trained tokens in nats, or scores.
    pub(crate) values: Vec<f32>,
    /// Entropies before each of them, in nats; empty for scores.
    pub(crate) entropy: Vec<f32>,
    /// Whether each was the most likely token; empty for scores.
    pub(crate) likeliest: Vec<bool>,
    /// The mean over the vocabulary of the logits before each; empty for scores.
    pub(crate) mean_logit: Vec<f32>,
    /// The reference's log-probabilities; empty without a reference.
    pub(crate) reference: Vec<f32>,
}

impl Seen {
    /// Sums, for the objectives.
    pub(crate) fn sequence(&self) -> Sequence {
        let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum();
        Sequence { policy: sum(&self.values), reference: sum(&self.reference), tokens: self.values.len() }
    }

    /// The score of the whole sequence.
    fn score(&self) -> f64 {
        self.values.last().map_or(0.0, |&score| f64::from(score))
    }
}

/// The derivative of the loss by the values of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Slope {
    /// By each alike.
    Even(f64),
    /// By each.
    Each(Vec<f64>),
}

/// How a step is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Scale {
    /// Rows of the step.
    pub(crate) rows: usize,
    /// Trained tokens of the step's sequences that are imitated.
    pub(crate) imitated: usize,
}

/// An objective at some step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge {
    /// What is minimised, α warmed up.
    pub(crate) objective: Objective,
    /// Weight of imitation beside it.
    pub(crate) sft_weight: f64,
    /// KTO's reference point z₀.
    pub(crate) reference_point: f64,
    pub(crate) scale: Scale,
}

/// A figure: its name, and what it adds to a weighted mean.
pub(crate) type Figure = (&'static str, f64, f64);

/// What the objective makes of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// The row's part of the step's loss.
    pub(crate) loss: f64,
    /// Of each sequence.
    pub(crate) slopes: Vec<Slope>,
    /// What is reported.
    pub(crate) figures: Vec<Figure>,
}

impl Judge {
    /// Judges a row. `seen` has its sequences.
    pub(crate) fn verdict(&self, example: &Example, seen: &[Seen]) -> Verdict {
        let mut verdict = match (self.objective, &example.lesson) {
            (Objective::Pair(pair), Lesson::Pair { .. }) => self.pair(&pair, seen),
            (Objective::Kto(kto), Lesson::Labelled { desirable }) => {
                let sequence = seen[0].sequence();
                let sample = KtoSample { sequence, desirable: *desirable };
                let term = kto.term(&sample, self.reference_point);
                let share = self.share();
                let mut figures = policy(seen);
                let names = if *desirable {
                    ["rewards/chosen", "logps/chosen", "logits/chosen"]
                } else {
                    ["rewards/rejected", "logps/rejected", "logits/rejected"]
                };
                figures.push((names[0], term.reward, 1.0));
                figures.push((names[1], sequence.policy, 1.0));
                figures.push(logits(names[2], &seen[0]));
                if *desirable {
                    figures.push(("logps/chosen_drift", sequence.log_ratio(), 1.0));
                }
                Verdict { loss: share * term.loss, slopes: vec![Slope::Even(share * term.policy)], figures }
            }
            (Objective::Sft, _) => {
                Verdict { loss: 0.0, slopes: vec![Slope::Even(0.0); seen.len()], figures: policy(seen) }
            }
            (Objective::BradleyTerry(mut settings), Lesson::Pair { margin }) => {
                settings.margin = margin.unwrap_or(settings.margin);
                let (chosen, rejected) = (seen[0].score(), seen[1].score());
                let (loss, slopes) = bradley_terry(settings, chosen, rejected);
                let share = self.share();
                let mut figures = scores(&[chosen, rejected]);
                figures.push(("accuracy", f64::from(u8::from(chosen > rejected)), 1.0));
                figures.push(("margin", chosen - rejected, 1.0));
                let slopes = slopes.map(|slope| Slope::Even(share * slope)).to_vec();
                Verdict { loss: share * loss, slopes, figures }
            }
            (Objective::Binary | Objective::BinaryTurns, Lesson::Labelled { desirable }) => {
                self.labelled(&seen[..1], &[*desirable])
            }
            (Objective::Binary | Objective::BinaryTurns, Lesson::Pair { .. }) => {
                self.labelled(seen, &[true, false])
            }
            (Objective::Binary | Objective::BinaryTurns, Lesson::Candidates { resolved }) => {
                self.labelled(seen, resolved)
            }
            (Objective::Listwise, Lesson::Candidates { resolved }) => self.listed(seen, resolved),
            (Objective::Listwise, Lesson::Pair { .. }) => self.listed(seen, &[true, false]),
            (objective, lesson) => unreachable!("{objective:?} was given {lesson:?}, which loading refuses"),
        };
        self.imitate(example, seen, &mut verdict);
        verdict
    }

    /// A row's share of the mean.
    fn share(&self) -> f64 {
        1.0 / self.scale.rows.max(1) as f64
    }

    fn pair(&self, objective: &PairObjective, seen: &[Seen]) -> Verdict {
        let (chosen, rejected) = (seen[0].sequence(), seen[1].sequence());
        let term = objective.evaluate(&chosen, &rejected);
        let share = self.share();
        let mut figures = policy(&seen[..1]);
        figures.retain(|(name, ..)| *name == "mean_token_accuracy");
        figures.extend(policy(seen).into_iter().filter(|(name, ..)| *name != "mean_token_accuracy"));
        let longer_won = (chosen.tokens > rejected.tokens) == (term.margin() > 0.0);
        figures.extend([
            ("rewards/chosen", term.rewards.0, 1.0),
            ("rewards/rejected", term.rewards.1, 1.0),
            ("rewards/accuracies", f64::from(u8::from(term.accurate())), 1.0),
            ("rewards/margins", term.margin(), 1.0),
            ("logps/chosen", chosen.policy, 1.0),
            ("logps/rejected", rejected.policy, 1.0),
            logits("logits/chosen", &seen[0]),
            logits("logits/rejected", &seen[1]),
            ("saturated", f64::from(u8::from(term.logit.abs() > 4.6)), 1.0),
        ]);
        if objective.needs_reference() {
            figures.push(("logps/chosen_drift", chosen.log_ratio(), 1.0));
            figures.push(("logps/rejected_drift", rejected.log_ratio(), 1.0));
        }
        if chosen.tokens != rejected.tokens && term.margin() != 0.0 {
            figures.push(("length_bias", f64::from(u8::from(longer_won)), 1.0));
        }
        let slopes = vec![Slope::Even(share * term.chosen), Slope::Even(share * term.rejected)];
        Verdict { loss: share * term.loss, slopes, figures }
    }

    /// Each sequence by itself; all of a row together weigh as much as a row does.
    fn labelled(&self, seen: &[Seen], resolved: &[bool]) -> Verdict {
        let share = self.share() / seen.len().max(1) as f64;
        let (mut loss, mut slopes, mut figures) = (0.0, Vec::new(), Vec::new());
        for (seen, &resolved) in seen.iter().zip(resolved) {
            let count = seen.values.len().max(1) as f64;
            let terms: Vec<_> = seen.values.iter().map(|&score| binary(f64::from(score), resolved)).collect();
            loss += share * terms.iter().map(|term| term.loss).sum::<f64>() / count;
            slopes.push(Slope::Each(terms.iter().map(|term| share * term.slope / count).collect()));
            figures.push(("accuracy", f64::from(u8::from((seen.score() > 0.0) == resolved)), 1.0));
            let name = if resolved { "scores/resolved" } else { "scores/unresolved" };
            figures.push((name, seen.score(), 1.0));
        }
        figures.extend(scores(&seen.iter().map(Seen::score).collect::<Vec<_>>()));
        Verdict { loss, slopes, figures }
    }

    fn listed(&self, seen: &[Seen], resolved: &[bool]) -> Verdict {
        let scored: Vec<f64> = seen.iter().map(Seen::score).collect();
        let mut figures = scores(&scored);
        let Some(term) = listwise(&scored, resolved) else {
            return Verdict { loss: 0.0, slopes: vec![Slope::Even(0.0); seen.len()], figures };
        };
        let best = (0..scored.len()).max_by(|&a, &b| scored[a].total_cmp(&scored[b])).unwrap_or(0);
        figures.push(("best@k", f64::from(u8::from(resolved[best])), 1.0));
        let share = self.share();
        let slopes = term.slopes.iter().map(|slope| Slope::Even(share * slope)).collect();
        Verdict { loss: share * term.loss, slopes, figures }
    }

    /// Adds the term of imitation: the objective itself, or a term beside a preference.
    fn imitate(&self, example: &Example, seen: &[Seen], verdict: &mut Verdict) {
        let weight = if matches!(self.objective, Objective::Sft) { 1.0 } else { self.sft_weight };
        if weight == 0.0 || self.scale.imitated == 0 {
            return;
        }
        let share = weight / self.scale.imitated as f64;
        for index in imitated(example) {
            let total = seen[index].sequence().policy;
            verdict.loss -= share * total;
            verdict.figures.push(("loss/sft", -total, seen[index].values.len() as f64));
            match &mut verdict.slopes[index] {
                Slope::Even(slope) => *slope -= share,
                Slope::Each(slopes) => slopes.iter_mut().for_each(|slope| *slope -= share),
            }
        }
    }
}

/// The sequences of a row that imitation is about.
fn imitated(example: &Example) -> Vec<usize> {
    match &example.lesson {
        Lesson::Pair { .. } | Lesson::Demonstration => vec![0],
        Lesson::Labelled { desirable } => {
            if *desirable {
                vec![0]
            } else {
                vec![]
            }
        }
        // A judge learns the right answer about each.
        Lesson::Candidates { resolved } => (0..resolved.len()).collect(),
    }
}

/// Trained tokens that imitation is about.
pub(crate) fn imitated_tokens(example: &Example) -> usize {
    imitated(example).into_iter().map(|index| example.sequences[index].trained_tokens()).sum()
}

/// Figures about a policy's tokens.
fn policy(seen: &[Seen]) -> Vec<Figure> {
    let sum = |part: fn(&Seen) -> &Vec<f32>| -> f64 {
        seen.iter().flat_map(part).map(|&value| f64::from(value)).sum()
    };
    let count = seen.iter().map(|seen| seen.values.len()).sum::<usize>() as f64;
    let hits = seen.iter().flat_map(|seen| &seen.likeliest).filter(|&&hit| hit).count() as f64;
    vec![
        ("entropy", sum(|seen| &seen.entropy), count),
        ("mean_token_accuracy", hits, count),
        ("logps/token", sum(|seen| &seen.values), count),
    ]
}

fn logits(name: &'static str, seen: &Seen) -> Figure {
    (name, seen.mean_logit.iter().map(|&value| f64::from(value)).sum(), seen.mean_logit.len() as f64)
}

/// Figures about scores, under TRL's names.
fn scores(scores: &[f64]) -> Vec<Figure> {
    scores.iter().map(|&score| ("mean_reward", score, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Tokens, objectives::BradleyTerry};

    fn example(lesson: Lesson, lengths: &[usize]) -> Example {
        let tokens =
            |&len: &usize| Tokens { ids: vec![1; len + 1], trained: vec![true; len], ..Tokens::default() };
        Example::of(lengths.iter().map(tokens).collect(), lesson)
    }

    fn seen(values: &[f32], reference: &[f32]) -> Seen {
        Seen {
            values: values.to_vec(),
            entropy: vec![1.0; values.len()],
            likeliest: vec![true; values.len()],
            mean_logit: vec![0.5; values.len()],
            reference: reference.to_vec(),
        }
    }

    fn judge(objective: Objective, rows: usize) -> Judge {
        Judge { objective, sft_weight: 0.0, reference_point: 0.0, scale: Scale { rows, imitated: 2 } }
    }

    /// The change of the loss when one value changes is the slope by it.
    fn check(judge: &Judge, example: &Example, seen: &[Seen]) {
        let verdict = judge.verdict(example, seen);
        for (sequence, slope) in verdict.slopes.iter().enumerate() {
            for place in 0..seen[sequence].values.len() {
                let at = |shift: f32| {
                    let mut moved = seen.to_vec();
                    moved[sequence].values[place] += shift;
                    judge.verdict(example, &moved).loss
                };
                let slope = match slope {
                    Slope::Even(slope) => *slope,
                    Slope::Each(slopes) => slopes[place],
                };
                let found = (at(0.007_812_5) - at(-0.007_812_5)) / 0.015_625;
                assert!(
                    (found - slope).abs() < 1e-4,
                    "{:?} {sequence} {place}: {found} {slope}",
                    judge.objective
                );
            }
        }
    }

    #[test]
    fn slopes_are_those_of_the_loss() {
        let pair = example(Lesson::Pair { margin: Some(0.3) }, &[2, 3]);
        let both = [seen(&[-1.0, -2.0], &[-1.5, -1.5]), seen(&[-3.0, -1.0, -0.5], &[-2.0, -1.0, -1.0])];
        for objective in [
            Objective::Pair(PairObjective::Dpo { beta: 0.3 }),
            Objective::Pair(PairObjective::Simpo { beta: 2.0, gamma: 0.5 }),
            Objective::Sft,
        ] {
            check(&judge(objective, 4), &pair, &both);
            check(&Judge { sft_weight: 0.7, ..judge(objective, 4) }, &pair, &both);
        }
        let scores = [seen(&[0.2, 0.7], &[]), seen(&[-0.4, 1.1], &[]), seen(&[0.1], &[])];
        let settings = BradleyTerry { margin: 0.0, centering: 0.01 };
        // Only the last score counts there.
        let last = [seen(&[0.7], &[]), seen(&[1.1], &[])];
        check(&judge(Objective::BradleyTerry(settings), 2), &pair, &last);
        let list = example(Lesson::Candidates { resolved: vec![true, false, false] }, &[2, 2, 1]);
        check(&judge(Objective::BinaryTurns, 2), &list, &scores);
        let last: Vec<Seen> = scores.iter().map(|s| seen(&s.values[s.values.len() - 1..], &[])).collect();
        check(&judge(Objective::Listwise, 2), &list, &last);
    }

    #[test]
    fn a_row_without_contrast_teaches_nothing() {
        let list = example(Lesson::Candidates { resolved: vec![false, false] }, &[1, 1]);
        let verdict = judge(Objective::Listwise, 1).verdict(&list, &[seen(&[1.0], &[]), seen(&[2.0], &[])]);
        assert_eq!((verdict.loss, &verdict.slopes[0]), (0.0, &Slope::Even(0.0)));
    }
}

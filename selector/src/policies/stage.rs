//! The frame that staged policies share: candidates leave the race stage by stage, and the rest go on.

use common::{Degraded, DropStage};

use super::{Context, Verdict};

/// Candidates still in the race, in an order that breaks ties, and those that left it.
#[derive(Debug)]
pub(super) struct Race {
    /// Still in, preferred first.
    alive: Vec<usize>,
    /// Out, the group that left last first.
    out: Vec<usize>,
    stages: u32,
    verdict: Verdict,
}

impl Race {
    /// Everybody is in, in input order.
    pub(super) fn new(candidates: usize) -> Self {
        Self {
            alive: (0..candidates).collect(),
            out: Vec::new(),
            stages: 0,
            verdict: Verdict {
                score: vec![0.0; candidates],
                probability: vec![None; candidates],
                dropped: vec![None; candidates],
                reasons: vec![Vec::new(); candidates],
                ..Verdict::default()
            },
        }
    }

    /// Drops empty patches while there is another, before any published rule looks at them.
    ///
    /// No released selector does this; leaving the rest to its rule makes both agree wherever the rule would not
    /// have chosen an empty patch, and gives the rule's own second choice where it would have.
    pub(super) fn nonempty(context: &Context<'_>) -> Self {
        let mut race = Self::new(context.len());
        let keys: Vec<f64> = context.pool.candidates.iter().map(|c| -f64::from(c.emptiness())).collect();
        race.keep_max(DropStage::EmptyPatch, &keys, |_| "its patch changes nothing".to_owned());
        for reasons in &mut race.verdict.reasons {
            reasons.retain(|reason| !reason.starts_with("kept"));
        }
        race
    }

    /// The positions still in, preferred first.
    pub(super) fn alive(&self) -> &[usize] {
        &self.alive
    }

    /// Sorts those still in by a key, higher first; equal keys keep their order. Nobody leaves.
    pub(super) fn prefer(&mut self, keys: &[f64]) {
        self.alive.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
    }

    /// Keeps those with the highest key; `words` say what a candidate's key is.
    pub(super) fn keep_max(&mut self, stage: DropStage, keys: &[f64], words: impl Fn(usize) -> String) {
        let best = self.alive.iter().map(|&at| keys[at]).fold(f64::NEG_INFINITY, f64::max);
        self.keep(stage, keys, |at| keys[at] >= best, words);
    }

    /// Keeps those that pass the test; when none does, everybody stays.
    pub(super) fn keep_any(
        &mut self,
        stage: DropStage,
        keys: &[f64],
        passes: impl Fn(usize) -> bool,
        words: impl Fn(usize) -> String,
    ) {
        if self.alive.iter().any(|&at| passes(at)) {
            self.keep(stage, keys, passes, words);
        }
    }

    fn keep(
        &mut self,
        stage: DropStage,
        keys: &[f64],
        passes: impl Fn(usize) -> bool,
        words: impl Fn(usize) -> String,
    ) {
        let (kept, mut dropped): (Vec<usize>, Vec<usize>) = self.alive.iter().partition(|&&at| passes(at));
        if !dropped.is_empty() {
            dropped.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
            let finite = || dropped.iter().map(|&at| keys[at]).filter(|key| key.is_finite());
            let (low, high) =
                (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
            for &at in &dropped {
                let near = if high > low { (keys[at].max(low) - low) / (high - low) } else { 0.0 };
                self.verdict.score[at] = f64::from(self.stages) + 0.5 * near;
                self.verdict.dropped[at] = Some(stage);
                self.verdict.reasons[at].insert(0, format!("dropped: {}", words(at)));
            }
            for &at in &kept {
                self.verdict.reasons[at].insert(0, format!("kept: {}", words(at)));
            }
            dropped.append(&mut self.out);
            self.out = dropped;
            self.alive = kept;
        }
        self.stages += 1;
    }

    /// Notes evidence that the policy wanted and did not get.
    pub(super) fn degrade(&mut self, evidence: &str, detail: &str) {
        self.verdict.degraded.push(Degraded { evidence: evidence.to_owned(), detail: detail.to_owned() });
    }

    /// The ranking: those still in, in their order of preference, then the others, last out first.
    ///
    /// A candidate's score is the number of stages it passed, plus less than one for how close it came in the stage
    /// that dropped it.
    pub(super) fn finish(mut self) -> Verdict {
        for (place, &at) in self.alive.iter().enumerate() {
            self.verdict.score[at] = f64::from(self.stages);
            let word = if place == 0 { "first of those left" } else { "tied with the pick; it comes later" };
            self.verdict.reasons[at].push(word.to_owned());
        }
        self.verdict.order = self.alive;
        self.verdict.order.append(&mut self.out);
        self.verdict
    }
}

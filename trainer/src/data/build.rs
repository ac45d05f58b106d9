//! Which runs become rows: the paper's rules and documented others, on facts of the runs alone.
//!
//! The paper (its data section and released scripts): two runs on the same issue with an identical prompt, both ended by
//! the agent itself, exactly one of which resolves it, make a pair; every such run makes a KTO row.

use std::collections::BTreeMap;

use common::ExitStatus;
use serde::{Deserialize, Serialize};

/// What is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Content address: the tie-breaker and the order of everything.
    pub id: String,
    /// The issue.
    pub instance_id: String,
    /// Hash of the turns up to and including the first user turn; None without a conversation.
    pub prompt: Option<String>,
    /// How it ended.
    pub exit: ExitStatus,
    /// Whether it resolves the issue, where known.
    pub resolved: Option<bool>,
    /// A verifier's score, where there is one.
    pub score: Option<f64>,
}

/// Which of the possible pairs of an issue are taken, when not all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Every run comes as often as any other of its side, as far as the limit goes.
    #[default]
    Even,
    /// The rejected runs that a verifier thinks best against the chosen runs it thinks worst. Runs without a score come
    /// last.
    Hardest,
    /// Successes that differ most from those taken before, by a distance between runs.
    Diverse,
}

/// Rules for pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairRules {
    /// Pairs of one issue and prompt at most; the paper takes 1.
    pub per_issue: usize,
    /// Which.
    pub choice: Choice,
    /// Also take runs that a limit ended (of cost, steps, context, time); the paper does not.
    pub unfinished: bool,
}

impl Default for PairRules {
    fn default() -> Self {
        Self { per_issue: 1, choice: Choice::Even, unfinished: false }
    }
}

/// What must be known of runs that make single rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// Whether they resolve their issue.
    #[default]
    Label,
    /// That they do.
    Success,
    /// Nothing.
    Nothing,
}

/// Rules for rows of single runs. The paper takes every finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunRules {
    /// Runs of one issue at most; all without it.
    pub per_issue: Option<usize>,
    /// What must be known of them.
    pub needs: Needs,
    /// Also take runs that a limit ended.
    pub unfinished: bool,
    /// Also take patches without a conversation, which a verifier can read.
    pub patches: bool,
}

/// Why runs made no row: how many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Nobody said whether the run resolves its issue.
    pub unlabelled: usize,
    /// The run does not resolve its issue, and only successes were asked for.
    pub unresolved: usize,
    /// The run was not ended by the agent.
    pub unfinished: usize,
    /// A patch without a conversation.
    pub no_conversation: usize,
    /// The same run under another name.
    pub duplicate: usize,
    /// All runs of that issue and prompt have the same outcome.
    pub no_opposite: usize,
    /// It was not needed within the limit of its issue.
    pub over_limit: usize,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> usize {
        let Self { unlabelled, unresolved, unfinished, no_conversation, duplicate, no_opposite, over_limit } =
            *self;
        unlabelled + unresolved + unfinished + no_conversation + duplicate + no_opposite + over_limit
    }

    /// Each with its reason in words, in the order in which they are looked at.
    pub fn reasons(&self) -> [(&'static str, usize); 7] {
        [
            ("the same run under another name", self.duplicate),
            ("nobody says whether they resolve the issue", self.unlabelled),
            ("they do not resolve the issue", self.unresolved),
            ("a patch without a conversation", self.no_conversation),
            ("not ended by the agent", self.unfinished),
            ("no run with the other outcome and the same prompt", self.no_opposite),
            ("over the limit of their issue", self.over_limit),
        ]
    }
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<T> {
    /// Positions of runs in the input: pairs (chosen, rejected), or single runs.
    pub rows: Vec<T>,
    /// What became of the others.
    pub dropped: Dropped,
}

/// Runs that resolve an issue, and runs that do not.
type Sides = (Vec<usize>, Vec<usize>);

/// Plans pairs. `distance` says how different two runs are (positions in `runs`), for [`Choice::Diverse`].
///
/// The order of `runs` does not matter: issues come by name, runs by content address.
pub fn plan_pairs(
    runs: &[Run],
    rules: PairRules,
    distance: impl Fn(usize, usize) -> f64,
) -> Plan<(usize, usize)> {
    let usual = RunRules { unfinished: rules.unfinished, ..RunRules::default() };
    let (usable, mut dropped) = usable(runs, usual);
    let mut groups: BTreeMap<(&str, &str), Sides> = BTreeMap::new();
    for (index, prompt, resolved) in usable {
        let (good, bad) = groups.entry((&runs[index].instance_id, prompt)).or_default();
        if resolved { good } else { bad }.push(index);
    }
    let mut rows = Vec::new();
    for (mut good, mut bad) in groups.into_values() {
        if good.is_empty() || bad.is_empty() {
            dropped.no_opposite += good.len() + bad.len();
            continue;
        }
        let score = |index: &usize| runs[*index].score.filter(|score| !score.is_nan());
        match rules.choice {
            Choice::Even => {}
            Choice::Hardest => {
                good.sort_by(|a, b| by_score(score(a), score(b)));
                bad.sort_by(|a, b| by_score(score(a).map(|s| -s), score(b).map(|s| -s)));
            }
            Choice::Diverse => good = spread(&good, &distance),
        }
        let taken: Vec<(usize, usize)> = match rules.choice {
            Choice::Even | Choice::Diverse => evenly(&good, &bad, rules.per_issue),
            Choice::Hardest => hardest(&good, &bad, rules.per_issue),
        };
        let used = |index: &&usize| !taken.iter().any(|pair| pair.0 == **index || pair.1 == **index);
        dropped.over_limit += good.iter().chain(&bad).filter(used).count();
        rows.extend(taken);
    }
    Plan { rows, dropped }
}

/// Plans single runs: every usable one, at most so many of an issue, successes and failures in turn. Those whose outcome
/// is not known come as failures do.
pub fn plan_runs(runs: &[Run], rules: RunRules) -> Plan<usize> {
    let (usable, mut dropped) = usable(runs, rules);
    let mut issues: BTreeMap<&str, Sides> = BTreeMap::new();
    for (index, _, resolved) in usable {
        let (good, bad) = issues.entry(&runs[index].instance_id).or_default();
        if resolved { good } else { bad }.push(index);
    }
    let limit = rules.per_issue.unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    for (good, bad) in issues.into_values() {
        let total = good.len() + bad.len();
        let longest = good.len().max(bad.len());
        let in_turn = (0..longest).flat_map(|place| [good.get(place), bad.get(place)].into_iter().flatten());
        rows.extend(in_turn.take(limit).copied());
        dropped.over_limit += total.saturating_sub(limit);
    }
    Plan { rows, dropped }
}

/// Runs that the rules allow, in the order of their addresses: position, prompt, outcome.
fn usable(runs: &[Run], rules: RunRules) -> (Vec<(usize, &str, bool)>, Dropped) {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|&index| (&runs[index].instance_id, &runs[index].id, index));
    let mut dropped = Dropped::default();
    let mut usable: Vec<(usize, &str, bool)> = Vec::new();
    let mut before: Option<&Run> = None;
    for index in order {
        let run = &runs[index];
        if before.is_some_and(|before| (&before.instance_id, &before.id) == (&run.instance_id, &run.id)) {
            dropped.duplicate += 1;
            continue;
        }
        before = Some(run);
        let ended = match run.exit {
            ExitStatus::Submitted => true,
            ExitStatus::SubmittedAtLimit | ExitStatus::Limit => rules.unfinished,
            // Of a bare patch nobody says how the run ended.
            ExitStatus::Unknown => rules.patches && run.prompt.is_none(),
            ExitStatus::Error => false,
        };
        let prompt = match &run.prompt {
            None if rules.patches => Some(""),
            prompt => prompt.as_deref(),
        };
        match (run.resolved, prompt) {
            (None, _) if rules.needs != Needs::Nothing => dropped.unlabelled += 1,
            (Some(false), _) if rules.needs == Needs::Success => dropped.unresolved += 1,
            (_, None) => dropped.no_conversation += 1,
            _ if !ended => dropped.unfinished += 1,
            (resolved, Some(prompt)) => usable.push((index, prompt, resolved.unwrap_or(false))),
        }
    }
    (usable, dropped)
}

/// Ascending; what has no score comes last.
fn by_score(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// Pairs in rounds, in each of which the longer side is shifted by one: runs of a side are used evenly, and every pair
/// comes once.
fn evenly(good: &[usize], bad: &[usize], limit: usize) -> Vec<(usize, usize)> {
    let (short, long) = (good.len().min(bad.len()), good.len().max(bad.len()));
    let rounds = (0..long).flat_map(|shift| (0..short).map(move |place| (place, (place + shift) % long)));
    let pair = |(place, shifted): (usize, usize)| {
        if good.len() <= bad.len() { (good[place], bad[shifted]) } else { (good[shifted], bad[place]) }
    };
    rounds.take(limit).map(pair).collect()
}

/// Pairs by the sum of both places: the hardest first.
fn hardest(good: &[usize], bad: &[usize], limit: usize) -> Vec<(usize, usize)> {
    let sums = 0..(good.len() + bad.len()).saturating_sub(1);
    let pairs = sums.flat_map(|sum| {
        (0..good.len()).filter_map(move |place| {
            let other = sum.checked_sub(place).filter(|other| *other < bad.len())?;
            Some((good[place], bad[other]))
        })
    });
    pairs.take(limit).collect()
}

/// Reorders so that each run is as far as possible from the nearest of those before it.
fn spread(runs: &[usize], distance: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut left = runs.to_vec();
    let mut order = vec![left.remove(0)];
    while !left.is_empty() {
        let nearest =
            |run: usize| order.iter().map(|&taken| distance(run, taken)).fold(f64::INFINITY, f64::min);
        let mut best = (0, nearest(left[0]));
        for (place, &run) in left.iter().enumerate().skip(1) {
            let gap = nearest(run);
            if gap > best.1 {
                best = (place, gap);
            }
        }
        order.push(left.remove(best.0));
    }
    order
}

#[cfg(test)]
mod tests;

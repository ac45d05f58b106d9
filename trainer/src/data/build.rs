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

/// Why runs made no row: how many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Nobody said whether the run resolves its issue.
    pub unlabelled: usize,
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
    let (usable, mut dropped) = usable(runs, rules.unfinished);
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

/// Plans single runs: every usable one, at most `per_issue` of an issue, successes and failures in turn.
pub fn plan_runs(runs: &[Run], per_issue: usize, unfinished: bool) -> Plan<usize> {
    let (usable, mut dropped) = usable(runs, unfinished);
    let mut issues: BTreeMap<&str, Sides> = BTreeMap::new();
    for (index, _, resolved) in usable {
        let (good, bad) = issues.entry(&runs[index].instance_id).or_default();
        if resolved { good } else { bad }.push(index);
    }
    let mut rows = Vec::new();
    for (good, bad) in issues.into_values() {
        let total = good.len() + bad.len();
        let longest = good.len().max(bad.len());
        let in_turn = (0..longest).flat_map(|place| [good.get(place), bad.get(place)].into_iter().flatten());
        rows.extend(in_turn.take(per_issue).copied());
        dropped.over_limit += total.saturating_sub(per_issue);
    }
    Plan { rows, dropped }
}

/// Runs with a label and a conversation, in the order of their addresses: position, prompt, outcome.
fn usable(runs: &[Run], unfinished: bool) -> (Vec<(usize, &str, bool)>, Dropped) {
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|&index| (&runs[index].instance_id, &runs[index].id, index));
    let mut dropped = Dropped::default();
    let mut usable: Vec<(usize, &str, bool)> = Vec::new();
    for index in order {
        let run = &runs[index];
        let before = usable.last().map(|(before, ..)| &runs[*before]);
        if before.is_some_and(|before| (&before.instance_id, &before.id) == (&run.instance_id, &run.id)) {
            dropped.duplicate += 1;
            continue;
        }
        let ended = match run.exit {
            ExitStatus::Submitted => true,
            ExitStatus::SubmittedAtLimit | ExitStatus::Limit => unfinished,
            ExitStatus::Error | ExitStatus::Unknown => false,
        };
        match (run.resolved, &run.prompt) {
            (None, _) => dropped.unlabelled += 1,
            (_, None) => dropped.no_conversation += 1,
            _ if !ended => dropped.unfinished += 1,
            (Some(resolved), Some(prompt)) => usable.push((index, prompt, resolved)),
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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn run(id: u32, issue: u8, prompt: Option<u8>, resolved: Option<bool>) -> Run {
        Run {
            id: format!("{id:08x}"),
            instance_id: format!("a__b-{issue}"),
            prompt: prompt.map(|prompt| prompt.to_string()),
            exit: ExitStatus::Submitted,
            resolved,
            score: None,
        }
    }

    fn none(_: usize, _: usize) -> f64 {
        0.0
    }

    #[test]
    fn a_pair_needs_one_prompt_two_outcomes_and_finished_runs() {
        let good = run(1, 0, Some(0), Some(true));
        let bad = run(2, 0, Some(0), Some(false));
        let plan = |other: Run| plan_pairs(&[good.clone(), other], PairRules::default(), none);
        assert_eq!(plan(bad.clone()).rows, [(0, 1)]);
        assert_eq!(plan(Run { prompt: Some("1".into()), ..bad.clone() }).dropped.no_opposite, 2);
        assert_eq!(plan(Run { resolved: Some(true), ..bad.clone() }).dropped.no_opposite, 2);
        assert_eq!(plan(Run { resolved: None, ..bad.clone() }).dropped.unlabelled, 1);
        assert_eq!(plan(Run { prompt: None, ..bad.clone() }).dropped.no_conversation, 1);
        assert_eq!(plan(Run { id: good.id.clone(), ..bad.clone() }).dropped.duplicate, 1);
        let limit = Run { exit: ExitStatus::Limit, ..bad };
        assert_eq!(plan(limit.clone()).dropped.unfinished, 1);
        let rules = PairRules { unfinished: true, ..PairRules::default() };
        assert_eq!(plan_pairs(&[good, limit], rules, none).rows, [(0, 1)]);
    }

    #[test]
    fn the_hardest_pairs_are_those_the_verifier_has_wrong() {
        let scored = |id, resolved, score| Run { score, ..run(id, 0, Some(0), Some(resolved)) };
        let runs = [
            scored(0, true, Some(0.9)),
            scored(1, true, Some(0.1)),
            scored(2, false, None),
            scored(3, false, Some(0.8)),
            scored(4, false, Some(0.2)),
        ];
        let rules = |per_issue| PairRules { per_issue, choice: Choice::Hardest, ..PairRules::default() };
        assert_eq!(plan_pairs(&runs, rules(1), none).rows, [(1, 3)]);
        assert_eq!(plan_pairs(&runs, rules(3), none).rows, [(1, 3), (1, 4), (0, 3)]);
        let all = plan_pairs(&runs, rules(100), none);
        assert_eq!(all.rows.len(), 6);
        assert_eq!(all.dropped, Dropped::default());
    }

    #[test]
    fn diverse_successes_are_far_apart() {
        let runs: Vec<Run> = (0..4).map(|id| run(id, 0, Some(0), Some(id != 3))).collect();
        let rules = PairRules { per_issue: 2, choice: Choice::Diverse, unfinished: false };
        let place = [0.0, 0.1, 1.0, 0.0_f64];
        let plan = plan_pairs(&runs, rules, |a, b| (place[a] - place[b]).abs());
        assert_eq!(plan.rows, [(0, 3), (2, 3)]);
        assert_eq!(plan.dropped.over_limit, 1);
    }

    proptest! {
        #[test]
        fn every_run_is_used_or_counted_and_order_does_not_matter(
            runs in prop::collection::vec(
                (0_u32..40, 0_u8..3, prop::option::of(0_u8..2), prop::option::of(any::<bool>()), prop::option::of(0.0..1.0_f64)),
                0..24,
            ),
            per_issue in 0_usize..6,
            choice in prop_oneof![Just(Choice::Even), Just(Choice::Hardest), Just(Choice::Diverse)],
        ) {
            let runs: Vec<Run> = runs
                .into_iter()
                .map(|(id, issue, prompt, resolved, score)| Run { score, ..run(id, issue, prompt, resolved) })
                .collect();
            let rules = PairRules { per_issue, choice, unfinished: false };
            let distance = |runs: &[Run], a: usize, b: usize| {
                let of = |index: usize| u32::from_str_radix(&runs[index].id, 16).expect("hexadecimal");
                f64::from(of(a).abs_diff(of(b)))
            };
            let plan = plan_pairs(&runs, rules, |a, b| distance(&runs, a, b));
            let mut used = BTreeSet::new();
            for &(chosen, rejected) in &plan.rows {
                prop_assert_eq!((runs[chosen].resolved, runs[rejected].resolved), (Some(true), Some(false)));
                prop_assert_eq!(&runs[chosen].prompt, &runs[rejected].prompt);
                prop_assert_eq!(&runs[chosen].instance_id, &runs[rejected].instance_id);
                used.extend([chosen, rejected]);
            }
            prop_assert_eq!(plan.rows.iter().collect::<BTreeSet<_>>().len(), plan.rows.len(), "no pair twice");
            let Dropped { unlabelled, unfinished, no_conversation, duplicate, no_opposite, over_limit } = plan.dropped;
            let counted = unlabelled + unfinished + no_conversation + duplicate + no_opposite + over_limit;
            prop_assert_eq!(used.len() + counted, runs.len());

            let singles = plan_runs(&runs, per_issue, false);
            let Dropped { unlabelled, unfinished, no_conversation, duplicate, no_opposite, over_limit } = singles.dropped;
            let counted = unlabelled + unfinished + no_conversation + duplicate + no_opposite + over_limit;
            prop_assert_eq!(singles.rows.len() + counted, runs.len());
        }
    }
}

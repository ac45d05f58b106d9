//! The reference scorer's table: what baselines, policies and the oracle resolve, and the gap each closes.

use serde::Serialize;

use super::{issue::LabelledIssue, python::Random};

/// Resamples of instances behind an interval.
const RESAMPLES: usize = 2000;

/// What an instance is worth to each selector: the (expected) label of its pick.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) random: f64,
    pub(super) nonempty: f64,
    pub(super) majority: f64,
    pub(super) shortest: f64,
    pub(super) longest: f64,
    pub(super) oracle: f64,
    /// By policy, in the order asked for.
    pub(super) picked: Vec<f64>,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The selector.
    pub name: String,
    /// Percentage of instances resolved.
    pub resolved: f64,
    /// (resolved − random) / (oracle − random), in percent.
    pub gap_closed: f64,
    /// 95 % interval of the gap closed over resampled instances; for policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Line {
    /// The baselines of an issue; the policies' picks are added by the caller.
    pub(super) fn of(issue: &LabelledIssue) -> Self {
        let all: Vec<usize> = (0..issue.resolved.len()).collect();
        let filled: Vec<usize> = all.iter().copied().filter(|&at| !issue.changes[at].blank).collect();
        let some = if filled.is_empty() { &all } else { &filled };
        let mean = |of: &[usize]| {
            of.iter().filter(|&&at| issue.is_resolved(at)).count() as f64 / of.len().max(1) as f64
        };
        let votes = |at: usize| {
            some.iter().filter(|&&other| issue.changes[other].key == issue.changes[at].key).count()
        };
        let best = some.iter().map(|&at| votes(at)).max().unwrap_or(0);
        let top: Vec<usize> = some.iter().copied().filter(|&at| votes(at) == best).collect();
        let size = |at: usize| issue.changes[at].lines;
        let shortest = some.iter().copied().min_by_key(|&at| size(at));
        // Python's `max` takes the first of equals, Rust's the last.
        let longest = some.iter().copied().rev().max_by_key(|&at| size(at));
        let one = |at: Option<usize>| f64::from(u8::from(at.is_some_and(|at| issue.is_resolved(at))));
        Self {
            random: mean(&all),
            nonempty: mean(some),
            majority: mean(&top),
            shortest: one(shortest),
            longest: one(longest),
            oracle: f64::from(u8::from(all.iter().any(|&at| issue.is_resolved(at)))),
            picked: Vec::new(),
        }
    }

    /// The mean of the same instance's lines over several draws of its candidates.
    pub(super) fn mean(lines: &[Self]) -> Option<Self> {
        let count = lines.len() as f64;
        let of = |value: &dyn Fn(&Self) -> f64| lines.iter().map(value).sum::<f64>() / count;
        let policies = lines.first()?.picked.len();
        Some(Self {
            random: of(&|line| line.random),
            nonempty: of(&|line| line.nonempty),
            majority: of(&|line| line.majority),
            shortest: of(&|line| line.shortest),
            longest: of(&|line| line.longest),
            oracle: of(&|line| line.oracle),
            picked: (0..policies).map(|policy| of(&|line| line.picked[policy])).collect(),
        })
    }
}

/// The table over instances; `policies` names what `picked` holds.
pub(super) fn rows(lines: &[Line], policies: &[&str]) -> Vec<Row> {
    let mut rows = vec![
        row(lines, "random", &|line| line.random),
        row(lines, "nonempty", &|line| line.nonempty),
        row(lines, "majority*", &|line| line.majority),
        row(lines, "shortest", &|line| line.shortest),
        row(lines, "longest", &|line| line.longest),
    ];
    let resamples = resamples(lines.len());
    for (at, name) in policies.iter().enumerate() {
        let value = |line: &Line| line.picked[at];
        let mut policy = row(lines, name, &value);
        let mut gaps: Vec<f64> = resamples
            .iter()
            .map(|sample| gap(sample.iter().map(|&line| &lines[line as usize]), &value))
            .collect();
        gaps.sort_unstable_by(f64::total_cmp);
        policy.interval =
            (!lines.is_empty()).then(|| [gaps[RESAMPLES / 40], gaps[RESAMPLES - RESAMPLES / 40 - 1]]);
        rows.push(policy);
    }
    rows.push(row(lines, "oracle", &|line| line.oracle));
    rows
}

fn row(lines: &[Line], name: &str, value: &dyn Fn(&Line) -> f64) -> Row {
    Row {
        name: name.to_owned(),
        resolved: 100.0 * lines.iter().map(value).sum::<f64>() / lines.len().max(1) as f64,
        gap_closed: gap(lines.iter(), value),
        interval: None,
    }
}

fn gap<'a>(lines: impl Iterator<Item = &'a Line>, value: &dyn Fn(&Line) -> f64) -> f64 {
    let (mut random, mut oracle, mut picked) = (0.0, 0.0, 0.0);
    for line in lines {
        random += line.random;
        oracle += line.oracle;
        picked += value(line);
    }
    100.0 * (picked - random) / f64::max(oracle - random, 1e-9)
}

/// The reference scorer's resamples: `random.Random(0)` draws instances one after the other.
fn resamples(instances: usize) -> Vec<Vec<u32>> {
    if instances == 0 {
        return Vec::new();
    }
    let mut random = Random::new(0);
    (0..RESAMPLES).map(|_| (0..instances).map(|_| random.below(instances as u32)).collect()).collect()
}

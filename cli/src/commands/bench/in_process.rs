//! Selecting among sixteen patches in this process, from text to result.

use std::time::Instant;

use common::{Candidate, Trajectory};
use selector::{Evidence, PolicyRequest, Pool, select};

use super::Figure;
use super::data::Issues;
use super::stats::Times;

/// Candidates of one selection.
pub(super) const CANDIDATES: usize = 16;

/// Times `rounds` selections, each on the next sixteen patches of an issue.
pub(super) fn sixteen(issues: &Issues, rounds: usize) -> Vec<Figure> {
    let pools: Vec<Pool> = pools(issues).take(rounds).collect();
    let request = PolicyRequest::default();
    let times = Times::new(pools.iter().map(|pool| {
        let start = Instant::now();
        let selection = select(pool, &Evidence::default(), &request);
        let time = start.elapsed();
        assert!(selection.is_ok_and(|selection| selection.candidates.len() == pool.candidates.len()));
        time
    }));
    let name = format!("16 patches in process, {} selections: median", pools.len());
    vec![
        Figure::new(name, times.percentile(50.0), "ms", "< 10 ms"),
        Figure::new("16 patches in process: 99th percentile", times.percentile(99.0), "ms", ""),
    ]
}

/// Sixteen patches at a time, issue after issue, round after round without end.
pub(super) fn pools(issues: &Issues) -> impl Iterator<Item = Pool> + '_ {
    (0..).flat_map(move |round: usize| {
        issues.iter().map(move |(instance_id, patches)| {
            let picked = (0..CANDIDATES).map(|at| &patches[(round * CANDIDATES + at) % patches.len()]);
            pool(format!("{instance_id}-{round}"), picked)
        })
    })
}

fn pool<'a>(instance_id: String, patches: impl Iterator<Item = &'a String>) -> Pool {
    let candidates = patches.enumerate().map(|(at, patch)| Candidate {
        candidate_id: at.to_string(),
        trajectory: Trajectory {
            instance_id: instance_id.clone(),
            patch: Some(patch.clone()),
            ..Trajectory::default()
        },
    });
    Pool { candidates: candidates.collect(), issue: None, instance_id }
}

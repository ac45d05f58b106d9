//! Making candidates ready for storing.

use common::Trajectory;
use rayon::prelude::*;
use server::Problem;
use store::NewCandidate;

use super::errors;

/// Bytes of trajectories from which on other threads help: fewer are done before these are awake.
const SHARED: usize = 256 << 10;

/// Serialises, hashes and compresses candidates, in their order: most of the cost of a large request, so on all cores.
pub(super) fn ready_to_store(trajectories: &[&Trajectory]) -> Result<Vec<NewCandidate>, Problem> {
    let one = |trajectory: &&Trajectory| NewCandidate::prepare(trajectory).map_err(errors::stored);
    if trajectories.iter().copied().map(size).sum::<usize>() < SHARED {
        trajectories.iter().map(one).collect()
    } else {
        trajectories.par_iter().map(one).collect()
    }
}

fn size(trajectory: &Trajectory) -> usize {
    let turns: usize = trajectory.turns.iter().map(|turn| turn.content.len()).sum();
    trajectory.patch.as_ref().map_or(0, String::len) + turns
}

//! Which runs make preference data: the paper's rules (EntroPO, data section), without reading a conversation.

use std::collections::BTreeMap;

use common::ExitStatus;
use store::{ContentId, LabelledCandidate};

/// A row to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Planned {
    /// Two runs of one prompt, of which one resolves the issue.
    Pair {
        /// The one that does.
        chosen: ContentId,
        /// The one that does not.
        rejected: ContentId,
    },
    /// A run and whether it resolves the issue.
    Single {
        /// The run.
        run: ContentId,
        /// Whether it does.
        resolved: bool,
    },
}

impl Planned {
    /// The runs to be read, in the order of the row.
    pub(super) fn ids(self) -> Vec<ContentId> {
        match self {
            Self::Pair { chosen, rejected } => vec![chosen, rejected],
            Self::Single { run, .. } => vec![run],
        }
    }
}

/// Runs that count: finished by the agent, with a conversation and a label.
fn usable(candidates: &[LabelledCandidate]) -> impl Iterator<Item = (&LabelledCandidate, bool)> {
    candidates
        .iter()
        .filter(|candidate| candidate.exit == ExitStatus::Submitted && candidate.turns > 0)
        .filter_map(|candidate| Some((candidate, candidate.resolved?)))
}

/// Pairs of one issue, at most `limit`: same prompt, exactly one success. Runs are used evenly: a run comes into a
/// second pair only when all others of its side have been in as many.
pub(super) fn pairs(candidates: &[LabelledCandidate], limit: usize) -> Vec<Planned> {
    let mut prompts: BTreeMap<&str, (Vec<ContentId>, Vec<ContentId>)> = BTreeMap::new();
    for (candidate, resolved) in usable(candidates) {
        let Some(prompt) = candidate.prompt_id.as_deref() else { continue };
        let (chosen, rejected) = prompts.entry(prompt).or_default();
        if resolved { chosen } else { rejected }.push(candidate.content_id);
    }
    let mut planned = Vec::new();
    for (chosen, rejected) in prompts.values_mut() {
        chosen.sort_unstable();
        rejected.sort_unstable();
        let offsets = 0..chosen.len().max(rejected.len());
        let both = offsets.flat_map(|offset| {
            (0..chosen.len().min(rejected.len())).map(move |index| (index, index + offset))
        });
        // The shorter side counts through, the longer side is shifted by one each round: every pair comes once.
        for (short, long) in both {
            if planned.len() == limit {
                return planned;
            }
            let pair = if chosen.len() <= rejected.len() {
                Planned::Pair { chosen: chosen[short], rejected: rejected[long % rejected.len()] }
            } else {
                Planned::Pair { chosen: chosen[long % chosen.len()], rejected: rejected[short] }
            };
            planned.push(pair);
        }
    }
    planned
}

/// Runs of one issue with their label, at most `limit`.
pub(super) fn singles(candidates: &[LabelledCandidate], limit: usize) -> Vec<Planned> {
    let mut planned: Vec<Planned> = usable(candidates)
        .map(|(candidate, resolved)| Planned::Single { run: candidate.content_id, resolved })
        .collect();
    planned.sort_unstable();
    planned.truncate(limit);
    planned
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn candidate(
        id: u128,
        prompt: Option<u8>,
        exit: ExitStatus,
        resolved: Option<bool>,
    ) -> LabelledCandidate {
        LabelledCandidate {
            instance_id: "a__b-1".into(),
            content_id: format!("{id:032x}").parse().unwrap(),
            resolved,
            reward: None,
            source: "user".into(),
            exit,
            turns: 3,
            prompt_id: prompt.map(|prompt| prompt.to_string()),
            bytes: 1,
        }
    }

    #[test]
    fn a_pair_needs_one_prompt_one_success_and_finished_runs() {
        let done = ExitStatus::Submitted;
        let one = candidate(1, Some(0), done, Some(true));
        let pair = |other: LabelledCandidate| pairs(&[one.clone(), other], 1).len();
        assert_eq!(pair(candidate(2, Some(0), done, Some(false))), 1);
        assert_eq!(pair(candidate(2, Some(1), done, Some(false))), 0);
        assert_eq!(pair(candidate(2, None, done, Some(false))), 0);
        assert_eq!(pair(candidate(2, Some(0), done, Some(true))), 0);
        assert_eq!(pair(candidate(2, Some(0), done, None)), 0);
        assert_eq!(pair(candidate(2, Some(0), ExitStatus::SubmittedAtLimit, Some(false))), 0);
        let patch_only = LabelledCandidate { turns: 0, ..candidate(2, Some(0), done, Some(false)) };
        assert_eq!(pair(patch_only), 0);
    }

    #[test]
    fn kto_takes_every_finished_run() {
        let runs = [
            candidate(1, Some(0), ExitStatus::Submitted, Some(true)),
            candidate(2, None, ExitStatus::Submitted, Some(false)),
            candidate(3, Some(0), ExitStatus::Limit, Some(true)),
            candidate(4, Some(0), ExitStatus::Submitted, None),
        ];
        let ids = |limit| singles(&runs, limit).into_iter().flat_map(Planned::ids).collect::<Vec<_>>();
        assert_eq!(ids(usize::MAX), [runs[0].content_id, runs[1].content_id]);
        assert_eq!(ids(1), [runs[0].content_id]);
    }

    proptest! {
        #[test]
        fn pairs_are_distinct_valid_and_even(
            runs in prop::collection::vec((any::<u128>(), 0_u8..2, any::<bool>()), 0..12),
            limit in 0_usize..40,
        ) {
            let runs: BTreeMap<u128, (u8, bool)> = runs.into_iter().map(|(id, prompt, ok)| (id, (prompt, ok))).collect();
            let candidates: Vec<_> = runs
                .iter()
                .map(|(id, (prompt, ok))| candidate(*id, Some(*prompt), ExitStatus::Submitted, Some(*ok)))
                .collect();
            let planned = pairs(&candidates, limit);
            let possible: usize = (0..2).map(|prompt| {
                let of = |wanted| runs.values().filter(|run| **run == (prompt, wanted)).count();
                of(true) * of(false)
            }).sum();
            prop_assert_eq!(planned.len(), possible.min(limit));
            prop_assert_eq!(planned.iter().collect::<BTreeSet<_>>().len(), planned.len());
            let mut reversed = candidates.clone();
            reversed.reverse();
            prop_assert_eq!(pairs(&reversed, limit), planned.clone());
            for pair in planned {
                let Planned::Pair { chosen, rejected } = pair else { panic!("not a pair") };
                let find = |id| candidates.iter().find(|candidate| candidate.content_id == id).unwrap();
                prop_assert_eq!((find(chosen).resolved, find(rejected).resolved), (Some(true), Some(false)));
                prop_assert_eq!(&find(chosen).prompt_id, &find(rejected).prompt_id);
            }
        }
    }
}

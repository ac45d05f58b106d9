//! The linear model as a back end.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use common::Trajectory;

use super::{
    features::{self, Facts},
    fit::{Sample, turns_to_learn},
    model::{LinearModel, ModelError, Row, Weights},
};
use crate::{
    Backend, BackendError, Example, Layout, ModelInfo, Payload, PrepareError, PrepareOptions, Prepared,
    Probability, RawScore,
};

/// The model that comes with the program.
const BUILT_IN: &[u8] = include_bytes!("../../models/linear.json");

/// A linear verifier.
#[derive(Debug, Clone)]
pub struct Linear {
    model: Arc<LinearModel>,
    info: ModelInfo,
    /// Scores with the member of this number instead of the whole model.
    member: Option<usize>,
}

impl Linear {
    /// The one that comes with the program.
    pub fn built_in() -> Self {
        static MODEL: OnceLock<Linear> = OnceLock::new();
        MODEL
            .get_or_init(|| {
                Self::from_json(BUILT_IN).expect("the model that comes with the program is checked by a test")
            })
            .clone()
    }

    /// One from a file that `entropo fit --verifier` wrote.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        Ok(Self::new(LinearModel::from_json(bytes)?))
    }

    /// A model that was fit.
    pub fn new(model: LinearModel) -> Self {
        let hash = blake3::hash(model.to_json().as_bytes()).to_hex();
        let info = ModelInfo {
            name: "linear".to_owned(),
            revision: hash[..16].to_owned(),
            backend: "linear".to_owned(),
            layout: Layout::FeaturesV1,
            max_tokens: 1 << 24,
            trained: true,
        };
        Self { model: Arc::new(model), info, member: None }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.info.name);
        self
    }

    /// The model.
    pub fn model(&self) -> &LinearModel {
        &self.model
    }

    /// The member that has not seen this issue, to measure on issues that the model was fit on.
    #[must_use]
    pub fn unseen(&self, instance_id: &str) -> Self {
        let member = self.model.fold(instance_id);
        let mut info = self.info.clone();
        info.revision = format!("{}/{member}", info.revision);
        Self { model: self.model.clone(), info, member: Some(member) }
    }

    /// What there is to learn from a labelled trajectory.
    pub fn sample(pool: &str, issue: &str, trajectory: &Trajectory, resolved: bool) -> Sample {
        let (turns, whole) = features::facts(issue, trajectory);
        Sample {
            pool: pool.to_owned(),
            instance_id: trajectory.instance_id.clone(),
            resolved,
            whole,
            turns: turns_to_learn(turns.len()).into_iter().map(|at| turns[at].clone()).collect(),
        }
    }

    /// The facts that weigh most in the logit of a trajectory, with what each adds.
    pub fn reasons(&self, example: &Example, most: usize) -> Vec<(String, f64)> {
        let (_, whole) = facts_of(example);
        let row = self.model.row(&self.model.index(), &whole);
        self.model.reasons(&row, most).into_iter().map(|(name, part)| (name.to_owned(), part)).collect()
    }

    /// Scores one prepared trajectory.
    pub fn score_one(&self, prepared: &Prepared) -> Result<RawScore, BackendError> {
        let Payload::Features(rows) = &prepared.payload else {
            return Err(BackendError::Failed("a linear verifier reads facts, not text or tokens".to_owned()));
        };
        let Some((whole, turns)) = rows.split_last() else {
            return Err(BackendError::Failed("no facts were prepared".to_owned()));
        };
        let (head, turn_head) = (self.weights(&self.model.whole), self.weights(&self.model.turn));
        Ok(RawScore {
            logit: Some(self.model.logit(head, whole)),
            turn_logits: turns.iter().map(|row| self.model.logit(turn_head, row)).collect(),
            spread: self.model.spread(whole),
            ..RawScore::default()
        })
    }

    fn weights<'a>(&self, head: &'a super::model::Head) -> &'a Weights {
        self.member.and_then(|member| head.members.get(member)).unwrap_or(&head.all)
    }
}

fn facts_of(example: &Example) -> (Vec<Facts>, Facts) {
    features::facts(&example.issue, &example.candidate.trajectory)
}

#[async_trait]
impl Backend for Linear {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Reads the facts. They take no tokens, so limits do not apply and nothing is condensed; the cost is how many
    /// numbers are read.
    fn prepare(&self, example: &Example, _options: PrepareOptions) -> Result<Prepared, PrepareError> {
        let (turns, whole) = facts_of(example);
        let index = self.model.index();
        let rows: Vec<Row> =
            turns.iter().chain([&whole]).map(|facts| self.model.row(&index, facts)).collect();
        let mut hasher = blake3::Hasher::new();
        for row in &rows {
            hasher.update(&(row.len() as u64).to_le_bytes());
            for (at, value) in row {
                hasher.update(&at.to_le_bytes());
                hasher.update(&value.to_le_bytes());
            }
        }
        Ok(Prepared {
            tokens: rows.iter().map(Vec::len).sum::<usize>().min(self.info.max_tokens),
            payload: Payload::Features(rows),
            shared_tokens: 0,
            content: *hasher.finalize().as_bytes(),
            condensed: None,
        })
    }

    async fn score(&self, batch: &[Arc<Prepared>]) -> Result<Vec<RawScore>, BackendError> {
        batch.iter().map(|prepared| self.score_one(prepared)).collect()
    }

    fn probability(&self, logit: f64) -> Probability {
        Probability { value: self.model.calibration.probability(logit), calibrated: true }
    }
}

#[cfg(test)]
mod tests {
    use common::{Candidate, Role, Turn};

    use super::*;

    fn example(patch: &str, turns: usize) -> Example {
        let turn = |at: usize| Turn {
            role: if at.is_multiple_of(2) { Role::Assistant } else { Role::User },
            content: format!("```bash\npytest {at}\n```"),
            ..Turn::default()
        };
        let trajectory = Trajectory {
            turns: (0..turns).map(turn).collect(),
            patch: Some(patch.to_owned()),
            ..Trajectory::default()
        };
        Example {
            issue: "`x` is wrong".into(),
            candidate: Arc::new(Candidate { candidate_id: "c".to_owned(), trajectory }),
        }
    }

    const PATCH: &str = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n";
    const OPTIONS: PrepareOptions = PrepareOptions { max_tokens: Some(1), condense: false };

    #[test]
    fn the_built_in_model_is_trained_and_small() {
        let linear = Linear::built_in();
        assert!(linear.info().trained && linear.model().facts.len() > 100);
        assert!(linear.model().training.trajectories > 1000);
        assert!(BUILT_IN.len() < 200_000, "{} bytes", BUILT_IN.len());
        // Written by the program as it is, so that its revision is that of the file.
        assert_eq!(linear.model().to_json().as_bytes(), BUILT_IN);
    }

    #[tokio::test]
    async fn scores_the_whole_and_every_turn() {
        let linear = Linear::built_in();
        let prepare = |example: &Example| Arc::new(linear.prepare(example, OPTIONS).unwrap());
        let rows = [prepare(&example(PATCH, 6)), prepare(&example("", 0)), prepare(&example(PATCH, 0))];
        let scores = linear.score(&rows).await.unwrap();
        let turns: Vec<usize> = scores.iter().map(|score| score.turn_logits.len()).collect();
        assert_eq!(turns, [3, 0, 0]);
        let logit = |at: usize| scores[at].logit.unwrap();
        assert!(logit(1) < logit(2), "an empty patch is worse than one");
        assert!(scores.iter().all(|score| score.spread.unwrap() >= 0.0));
        let alone = linear.score(&rows[..1]).await.unwrap();
        assert_eq!(alone[0], scores[0]);
        let probability = linear.probability(logit(0));
        assert!(probability.calibrated && probability.value > 0.0 && probability.value < 1.0);
        assert_ne!(rows[0].content, rows[2].content);
        let text = Prepared { payload: Payload::Messages(Vec::new()), ..(*rows[0]).clone() };
        assert!(linear.score(&[Arc::new(text)]).await.is_err());
    }

    #[test]
    fn reasons_add_up() {
        let linear = Linear::built_in();
        let example = example(PATCH, 4);
        let prepared = linear.prepare(&example, OPTIONS).unwrap();
        let logit = linear.score_one(&prepared).unwrap().logit.unwrap();
        let sum: f64 = linear.reasons(&example, usize::MAX).iter().map(|(_, part)| part).sum();
        assert!((linear.model().whole.all.intercept + sum - logit).abs() < 1e-9);
        assert_eq!(linear.reasons(&example, 3).len(), 3);
    }

    #[test]
    fn members_judge_what_they_have_not_seen() {
        let linear = Linear::built_in();
        let unseen = linear.unseen("django__django-11099");
        assert!(unseen.info().revision.starts_with(&linear.info().revision));
        let prepared = linear.prepare(&example(PATCH, 4), OPTIONS).unwrap();
        assert_ne!(linear.score_one(&prepared).unwrap().logit, unseen.score_one(&prepared).unwrap().logit);
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let text = String::from_utf8(BUILT_IN.to_vec()).unwrap();
        for (from, to) in [
            ("\"facts_version\": 1", "\"facts_version\": 9"),
            ("\"name\": \"a_assign\"", "\"name\": 3"),
            ("\"weights\": [", "\"weights\": [1.0,"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(Linear::from_json(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
    }
}

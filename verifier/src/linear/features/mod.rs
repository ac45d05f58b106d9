//! What the linear verifier sees of a trajectory: named facts of the run (`r_`), the patch (`p_`; its added lines `a_`,
//! its removed lines `d_`), the patch against the issue (`i_`) and the issue itself (`q_`). Nothing here knows who made
//! the trajectory.

mod change;
mod issue;
mod run;
mod shapes;
mod text;

use common::Trajectory;

use self::{change::Change, issue::Issue, run::Run};

/// Named facts of one trajectory, or of its beginning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// What is known; a fact that is not known is absent.
    pub values: Vec<(&'static str, f64)>,
}

impl Facts {
    fn put(&mut self, name: &'static str, value: f64) {
        self.values.push((name, if value.is_finite() { value } else { 0.0 }));
    }
}

/// The facts at the end of every turn of the assistant, and of the whole with its patch.
pub fn facts(issue: &str, trajectory: &Trajectory) -> (Vec<Facts>, Facts) {
    let told = if issue.is_empty() { trajectory.issue.as_deref().unwrap_or_default() } else { issue };
    let issue = Issue::of(told);
    let run = Run::of(trajectory);
    let mut shared = Facts::default();
    of_issue(&issue, &mut shared);
    let prefix = |count: usize| {
        let mut facts = shared.clone();
        run.facts(count, false, &mut facts);
        facts
    };
    let turns = (1..=run.len()).map(prefix).collect();
    let mut whole = shared.clone();
    let change = Change::of(&patch::parse(trajectory.patch_text()));
    whole.put("has_run", flag(run.len() > 0));
    whole.put("has_issue", flag(!told.is_empty()));
    change.facts(&mut whole);
    change.against(&issue, &mut whole);
    if run.len() > 0 {
        run.facts(run.len(), true, &mut whole);
        run.against(change.file_names(), &mut whole);
    }
    (turns, whole)
}

/// How much the issue says; the same for all its candidates.
fn of_issue(issue: &Issue, facts: &mut Facts) {
    if issue.length == 0 {
        return;
    }
    facts.put("q_length", log(issue.length as f64));
    facts.put("q_blocks", log(issue.blocks as f64));
    facts.put("q_code", log(issue.code.len() as f64));
    facts.put("q_paths", log(issue.paths.len() as f64));
    facts.put("q_trace", flag(!issue.frames.is_empty()));
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn log(count: f64) -> f64 {
    count.max(0.0).ln_1p()
}

#[cfg(test)]
mod tests {
    use common::{Role, Turn};

    use super::*;

    fn get(facts: &Facts, name: &str) -> Option<f64> {
        facts.values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn run() -> Trajectory {
        let turn = |role, content: &str| Turn { role, content: content.to_owned(), ..Turn::default() };
        Trajectory {
            turns: vec![
                turn(Role::User, "the issue"),
                turn(Role::Assistant, "```bash\npython repro.py\n```"),
                turn(Role::User, "Traceback (most recent call last):"),
                turn(Role::Assistant, "```bash\nsed -i 's/a/b/' pkg/query.py\n```"),
                turn(Role::User, ""),
                turn(Role::Assistant, "Now it works as expected.\n```bash\npython repro.py\n```"),
                turn(Role::User, "12"),
            ],
            patch: Some(
                "--- a/pkg/query.py\n+++ b/pkg/query.py\n@@ -1 +1 @@\n-old_name = 1\n+new_name = 2\n"
                    .to_owned(),
            ),
            ..Trajectory::default()
        }
    }

    #[test]
    fn facts_of_the_whole() {
        let (turns, whole) = facts("`old_name` is wrong in pkg/query.py", &run());
        assert_eq!(turns.len(), 3);
        for (name, value) in [
            ("r_turned", 1.0),
            ("r_rerun_fixed", log(1.0)),
            ("i_file_named", 1.0),
            ("i_code_removed", 1.0),
            ("p_one_line", 1.0),
            ("r_claims", 2.0),
        ] {
            assert_eq!(get(&whole, name), Some(value), "{name}");
        }
    }

    #[test]
    fn a_turn_knows_nothing_of_what_comes_after_it() {
        let (turns, _) = facts("an issue", &run());
        let mut shorter = run();
        shorter.turns.truncate(4);
        shorter.patch = None;
        assert_eq!(turns[..2], facts("an issue", &shorter).0[..]);
        assert!(get(&turns[1], "r_turned") == Some(0.0) && get(&turns[1], "p_added").is_none());
    }

    #[test]
    fn who_made_it_and_how_it_was_read_are_no_facts() {
        let mut other = run();
        other.source = common::SourceFormat::SweAgent;
        other.instance_id = "a__b-1".to_owned();
        other.cost = Some(3.0);
        other.steps = Some(99);
        assert_eq!(facts("x", &run()), facts("x", &other));
    }

    #[test]
    fn nothing_at_all_has_facts_too() {
        let (turns, whole) = facts("", &Trajectory::default());
        assert!(turns.is_empty());
        assert_eq!(get(&whole, "p_empty"), Some(1.0));
        assert_eq!(get(&whole, "has_issue"), Some(0.0));
    }
}

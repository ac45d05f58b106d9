//! A small invented selection, with markup and terminal codes wherever an agent or a caller could put them.

use common::{
    Degraded, DropStage, ExitStatus, Ranked, Role, Selection, SourceFormat, TestKind, TestRun, TestStatus,
    TestSummary, ToolCall, Trajectory, Turn, Votes,
};

use super::data::{CandidateData, Detail, Listed, Reported};

/// What a hostile agent would write.
pub(super) const EVIL: &str =
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b hx-get=/x>\u{1b}[31mred\u{202e}";

pub(super) const ID: &str = "0193a5c0-0000-7000-8000-000000000001";

fn patch(body: &str, test: bool) -> String {
    let mut text = format!(
        "diff --git a/textkit/case.py b/textkit/case.py
--- a/textkit/case.py
+++ b/textkit/case.py
@@ -18,9 +18,9 @@ def title(text, minor=MINOR):
     \"\"\"Title-case a sentence, keeping minor words small.\"\"\"
     words = text.split(' ')
     out = []
     for i, word in enumerate(words):
-        if word in minor:
-            out.append(word)
{body}
         else:
             out.append(word[:1].upper() + word[1:])  # {EVIL}
     return ' '.join(out)
"
    );
    if test {
        text.push_str(
            "diff --git a/tests/test_case.py b/tests/test_case.py
--- a/tests/test_case.py
+++ b/tests/test_case.py
@@ -4,3 +4,6 @@ from textkit import title
 def test_minor():
     assert title('the end of it') == 'The End of It'
+
+def test_first():
+    assert title('of mice') == 'Of Mice'
",
        );
    }
    text
}

fn ranked(
    rank: u32,
    id: &str,
    probability: f64,
    cluster: u32,
    votes: u32,
    dropped: Option<DropStage>,
) -> Ranked {
    Ranked {
        candidate_id: id.to_owned(),
        rank,
        score: 2.0 - f64::from(rank) * 0.7,
        probability: Some(probability),
        cluster,
        votes: Votes { exact: votes, cluster: votes, files: 5, similarity: 0.81 - f64::from(rank) * 0.06 },
        tests: Some(TestSummary {
            regression_passed: 41 - rank,
            regression_broken: rank / 4,
            reproduction_passed: 3 - rank / 2,
            reproduction_failed: rank / 2,
            unknown: 0,
            tampered: u32::from(rank == 3),
        }),
        verifier: (rank < 4).then_some(0.9 - f64::from(rank) * 0.1),
        verifier_spread: None,
        dropped,
        reasons: vec![
            format!("{votes} of 6 candidates make the same change"),
            "passes every reproduction test".to_owned(),
            EVIL.to_owned(),
        ],
    }
}

pub(super) fn detail() -> Detail {
    let ids = ["run-07", "run-02", EVIL, "a/../b?c=d&e#f", "run-11", "run-05"];
    let bodies = [
        "+        if i and word.lower() in minor:\n+            out.append(word.lower())",
        "+        if i > 0 and word in minor:\n+            out.append(word)",
        "+        if i != 0 and word in minor:\n+            out.append(word)",
        "+        if word in minor and out:\n+            out.append(word)",
        "+        if word in MINOR:\n+            out.append(word.capitalize())",
    ];
    let candidates = vec![
        ranked(1, ids[0], 0.83, 0, 3, None),
        ranked(2, ids[1], 0.71, 0, 3, None),
        ranked(3, ids[2], 0.55, 0, 3, Some(DropStage::Verifier)),
        ranked(4, ids[3], 0.31, 1, 2, Some(DropStage::Regression)),
        ranked(5, ids[4], 0.12, 1, 2, Some(DropStage::Reproduction)),
        ranked(6, ids[5], 0.01, 2, 1, Some(DropStage::EmptyPatch)),
    ];
    let data = ids.iter().enumerate().map(|(i, id)| CandidateData {
        candidate_id: (*id).to_owned(),
        patch: Some(bodies.get(i).map_or_else(String::new, |b| patch(b, i == 2))),
        steps: Some(20 + i as u32 * 7),
        turns: if i == 1 { 0 } else { 9 },
        exit: ExitStatus::Submitted,
        source: SourceFormat::SweAgent,
    });
    Detail {
        id: ID.to_owned(),
        created: "2026-03-01T09:30:12.000001Z".to_owned(),
        issue: Some(format!(
            "title() leaves a minor word small when it begins the sentence\n\n    >>> title('of mice')\n    'of Mice'\n\n{EVIL}"
        )),
        selection: Selection {
            instance_id: "acme__textkit-42".to_owned(),
            policy: "hybrid".to_owned(),
            model: Some("1".to_owned()),
            chosen: Some("run-07".to_owned()),
            confidence: Some(0.83),
            abstained: false,
            verifiers: vec!["linear@4f0c2a".to_owned()],
            degraded: vec![Degraded {
                evidence: "verifier".to_owned(),
                detail: format!("it did not answer in time {EVIL}"),
            }],
            candidates,
        },
        candidates: data.collect(),
        tests: runs(&ids),
        outcomes: vec![Reported {
            candidate_id: "run-07".to_owned(),
            resolved: true,
            source: EVIL.to_owned(),
        }],
    }
}

fn runs(ids: &[&str]) -> Vec<TestRun> {
    use TestStatus::{Error, Failed, Missing, Passed, Skipped};
    let run = |candidate: Option<&str>, kind, statuses: &[TestStatus]| {
        let names = [
            "tests/test_case.py::test_minor",
            "tests/test_wrap.py::test_long_word",
            EVIL,
            "tests/test_io.py::test_bom",
        ];
        TestRun {
            candidate_id: candidate.map(str::to_owned),
            kind,
            suite: "pytest".to_owned(),
            results: names.iter().map(|n| (*n).to_owned()).zip(statuses.iter().copied()).collect(),
        }
    };
    let mut out = vec![
        run(None, TestKind::Regression, &[Passed, Passed, Passed, Passed]),
        run(None, TestKind::Reproduction, &[Failed, Failed]),
    ];
    for (i, id) in ids.iter().enumerate() {
        let i_th =
            [Passed, if i == 3 { Failed } else { Passed }, [Passed, Error, Skipped, Missing][i % 4], Passed];
        out.push(run(Some(id), TestKind::Regression, &i_th));
        out.push(run(Some(id), TestKind::Reproduction, &[if i < 3 { Passed } else { Failed }, Passed]));
    }
    out.push(run(Some(ids[4]), TestKind::Regression, &[Failed]));
    out
}

pub(super) fn trajectory() -> Trajectory {
    let turn = |role, content: &str| Turn { role, content: content.to_owned(), ..Turn::default() };
    let call = |content: &str, name: &str, arguments: &str| Turn {
        role: Role::Assistant,
        content: content.to_owned(),
        reasoning: Some("The first word is special.".to_owned()),
        tool_calls: vec![ToolCall { id: None, name: name.to_owned(), arguments: arguments.to_owned() }],
        ..Turn::default()
    };
    Trajectory {
        instance_id: "acme__textkit-42".to_owned(),
        exit_raw: Some("submitted".to_owned()),
        cost: Some(0.42),
        turns: vec![
            turn(Role::System, "You fix issues in repositories."),
            turn(Role::User, &format!("Fix this issue: {EVIL}")),
            call(
                "I will look at the code.",
                "bash",
                r#"{"command":"grep -n 'def title' -r textkit | head"}"#,
            ),
            turn(Role::Tool, &format!("textkit/case.py:18:def title(text, minor=MINOR):\n{EVIL}")),
            call(
                "",
                "str_replace_editor",
                r#"{"command":"str_replace","path":"textkit/case.py","old_str":"if word in minor:","new_str":"if i and word.lower() in minor:"}"#,
            ),
            turn(Role::Tool, "The file was edited."),
            call("Now the tests.", "bash", "python -m pytest -q tests"),
            turn(Role::Tool, &"tests/test_case.py .\n".repeat(40)),
            turn(Role::Assistant, "Done: the first word is never minor."),
        ],
        ..Trajectory::default()
    }
}

pub(super) fn listed() -> Vec<Listed> {
    let one = |id: &str, chosen: Option<&str>, confidence, resolved| Listed {
        id: id.to_owned(),
        created: "2026-03-01T09:30:12.000001Z".to_owned(),
        instance_id: "acme__textkit-42".to_owned(),
        policy: "hybrid".to_owned(),
        chosen: chosen.map(str::to_owned),
        abstained: chosen.is_none(),
        confidence,
        candidates: 6,
        resolved,
    };
    vec![
        one(ID, Some("run-07"), Some(0.83), Some(true)),
        one("0193a5c0-0000-7000-8000-000000000002", None, Some(0.1), None),
        one("0193a5c0-0000-7000-8000-000000000003", Some(EVIL), None, Some(false)),
    ]
}

//! The test matrix: tests by candidates, with the tests that tell candidates apart first.

use std::collections::BTreeMap;

use common::{TestKind, TestRun, TestStatus};

use super::markup::Markup;
use super::text::{clean, clip, count};

/// Rows of a suite shown on the selection's page; the rest has a page of its own.
pub(super) const ROWS_ON_PAGE: usize = 60;
/// Rows of a suite shown on the page of tests. More than that is for the API.
pub(super) const ROWS_ON_TESTS_PAGE: usize = 5_000;
/// Bytes of a test's name that are shown.
const NAME_BYTES: usize = 300;

/// The matrix of one selection.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) columns: Vec<Column>,
    pub(super) suites: Vec<SuiteView>,
    pub(super) legend: Vec<Look>,
}

/// A candidate at the head of a column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) id: String,
    pub(super) rank: u32,
    pub(super) chosen: bool,
}

/// One suite of one kind.
#[derive(Debug)]
pub(super) struct SuiteView {
    pub(super) title: String,
    pub(super) words: String,
    pub(super) rows: Vec<RowView>,
    pub(super) hidden: Option<Hidden>,
}

/// A test and its cells, base first.
#[derive(Debug)]
pub(super) struct RowView {
    pub(super) name: String,
    pub(super) cells: Markup,
}

/// Rows that are not shown here.
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) words: String,
    pub(super) url: Option<String>,
}

/// How a cell looks: never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) class: &'static str,
    pub(super) symbol: &'static str,
    pub(super) word: &'static str,
}

const PASSED: Look = Look { class: "t-p", symbol: "✓", word: "passed" };
const FAILED: Look = Look { class: "t-f", symbol: "✗", word: "failed" };
const ERROR: Look = Look { class: "t-e", symbol: "!", word: "error" };
const SKIPPED: Look = Look { class: "t-s", symbol: "–", word: "skipped" };
const MISSING: Look = Look { class: "t-m", symbol: "·", word: "missing" };
const FLAKY: Look = Look { class: "t-y", symbol: "±", word: "reruns disagree" };
const TAMPERED: Look =
    Look { class: "t-t", symbol: "⊘", word: "does not count: the patch edits this test" };
const LOOKS: [Look; 7] = [PASSED, FAILED, ERROR, SKIPPED, MISSING, FLAKY, TAMPERED];

/// The statuses that the runs of one test on one candidate reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Runs([u16; 5]);

impl Runs {
    fn add(&mut self, status: TestStatus) {
        let n = &mut self.0[status as usize];
        *n = n.saturating_add(1);
    }

    fn look(self) -> Look {
        let [passed, failed, error, skipped, _] = self.0;
        match (passed > 0, failed + error > 0) {
            (true, true) => FLAKY,
            (true, false) => PASSED,
            (false, true) if failed >= error => FAILED,
            (false, true) => ERROR,
            (false, false) if skipped > 0 => SKIPPED,
            (false, false) => MISSING,
        }
    }
}

/// Builds the matrix. `columns` are in the order of the ranking; `tampered` says whether a candidate's patch (by
/// column) touches a test; `more` is the address of all rows.
pub(super) fn matrix(
    columns: Vec<Column>,
    runs: &[TestRun],
    tampered: impl Fn(usize, &str) -> bool,
    limit: usize,
    more: Option<&str>,
) -> Matrix {
    let by_id: BTreeMap<&str, usize> = columns.iter().enumerate().map(|(i, c)| (c.id.as_str(), i)).collect();
    let mut suites: BTreeMap<(TestKind, &str), BTreeMap<&str, Vec<Runs>>> = BTreeMap::new();
    for run in runs {
        // The base is column 0; a run on a candidate that the selection does not have is not shown.
        let Some(column) = run.candidate_id.as_deref().map_or(Some(0), |id| by_id.get(id).map(|i| i + 1))
        else {
            continue;
        };
        let tests = suites.entry((run.kind, run.suite.as_str())).or_default();
        for (test, status) in &run.results {
            tests.entry(test).or_insert_with(|| vec![Runs::default(); columns.len() + 1])[column]
                .add(*status);
        }
    }
    let suites = suites
        .into_iter()
        .map(|((kind, name), tests)| suite(kind, name, &tests, &tampered, limit, more))
        .collect();
    Matrix { columns, suites, legend: LOOKS.to_vec() }
}

fn suite(
    kind: TestKind,
    name: &str,
    tests: &BTreeMap<&str, Vec<Runs>>,
    tampered: &impl Fn(usize, &str) -> bool,
    limit: usize,
    more: Option<&str>,
) -> SuiteView {
    let mut rows: Vec<(&str, Vec<Look>)> = tests
        .iter()
        .map(|(test, runs)| {
            let looks = runs.iter().enumerate().map(|(column, r)| match column.checked_sub(1) {
                Some(candidate) if tampered(candidate, test) => TAMPERED,
                _ => r.look(),
            });
            (*test, looks.collect())
        })
        .collect();
    let telling = rows.iter().filter(|(_, looks)| tells_apart(looks)).count();
    // Stable: by name among equals.
    rows.sort_by_key(|(_, looks)| !tells_apart(looks));
    let hidden = rows.len().saturating_sub(limit);
    let what = match kind {
        TestKind::Regression => "Regression",
        TestKind::Reproduction => "Reproduction",
        TestKind::Generated => "Generated",
    };
    SuiteView {
        title: if name.is_empty() { what.to_owned() } else { format!("{what} · {}", clean(name)) },
        words: format!(
            "{}, {telling} of them {} the candidates apart",
            count(rows.len(), "test", "tests"),
            if telling == 1 { "tells" } else { "tell" }
        ),
        rows: rows.iter().take(limit).map(|(test, looks)| row(test, looks)).collect(),
        hidden: (hidden > 0).then(|| Hidden {
            words: format!("{} not shown here.", count(hidden, "more test is", "more tests are")),
            url: more.map(str::to_owned),
        }),
    }
}

/// Whether the candidates (not the base) differ.
fn tells_apart(looks: &[Look]) -> bool {
    looks.get(1..).is_some_and(|c| c.windows(2).any(|w| w[0] != w[1]))
}

fn row(test: &str, looks: &[Look]) -> RowView {
    let name = clean(test);
    let clipped = clip(&name, 1, NAME_BYTES);
    let mut cells = Markup::default();
    for look in looks {
        cells.tag("<td class=\"");
        cells.tag(look.class);
        cells.tag("\" title=\"");
        cells.tag(look.word);
        cells.tag("\"><span aria-hidden=\"true\">");
        cells.tag(look.symbol);
        cells.tag("</span><span class=\"vh\">");
        cells.tag(look.word);
        cells.tag("</span></td>");
    }
    let dots = if clipped.hidden_bytes > 0 { "…" } else { "" };
    RowView { name: format!("{}{dots}", clipped.shown), cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(candidate: Option<&str>, results: &[(&str, TestStatus)]) -> TestRun {
        TestRun {
            candidate_id: candidate.map(str::to_owned),
            kind: TestKind::Regression,
            suite: String::new(),
            results: results.iter().map(|(t, s)| ((*t).to_owned(), *s)).collect(),
        }
    }

    fn columns() -> Vec<Column> {
        ["a", "b"]
            .iter()
            .zip(1..)
            .map(|(id, rank)| Column { id: (*id).to_owned(), rank, chosen: rank == 1 })
            .collect()
    }

    #[test]
    fn telling_tests_come_first_and_words_are_there_for_readers() {
        use TestStatus::{Failed, Passed};
        let runs = [
            run(None, &[("same", Passed), ("zz", Passed)]),
            run(Some("a"), &[("same", Passed), ("zz", Passed)]),
            run(Some("b"), &[("same", Passed), ("zz", Failed)]),
            run(Some("unknown"), &[("zz", Failed)]),
        ];
        let m = matrix(columns(), &runs, |_, _| false, 60, None);
        assert_eq!(m.suites.len(), 1);
        assert_eq!(m.suites[0].rows[0].name, "zz");
        assert_eq!(m.suites[0].words, "2 tests, 1 of them tells the candidates apart");
        let cells = m.suites[0].rows[0].cells.to_string();
        assert!(cells.contains("✗") && cells.contains("<span class=\"vh\">failed</span>"));
        assert_eq!(cells.matches("<td").count(), 3);
    }

    #[test]
    fn reruns_missing_and_edited_tests() {
        use TestStatus::{Error, Failed, Passed, Skipped};
        let runs = [
            run(Some("a"), &[("t", Passed), ("u", Error), ("s", Skipped)]),
            run(Some("a"), &[("t", Failed), ("u", Error)]),
        ];
        let m = matrix(columns(), &runs, |c, t| c == 1 && t == "t", 60, None);
        let cell = |test: &str| {
            m.suites[0].rows.iter().find(|r| r.name == test).map(|r| r.cells.to_string()).unwrap()
        };
        assert!(cell("t").contains("±") && cell("t").contains("⊘"));
        assert!(cell("u").contains('!') && cell("u").contains("missing"));
        assert!(cell("s").contains("skipped"));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let many: Vec<(String, TestStatus)> = (0..5).map(|i| (format!("t{i}"), TestStatus::Passed)).collect();
        let runs = [TestRun { results: many.into_iter().collect(), ..run(Some("a"), &[]) }];
        let m = matrix(columns(), &runs, |_, _| false, 2, Some("/x/tests"));
        assert_eq!(m.suites[0].rows.len(), 2);
        let hidden = m.suites[0].hidden.as_ref().unwrap();
        assert_eq!(
            (hidden.words.as_str(), hidden.url.as_deref()),
            ("3 more tests are not shown here.", Some("/x/tests"))
        );
    }
}

//! The templates, and what each is filled from. Pure: data in, HTML out.

use askama::Template;
use common::Trajectory;
use patch::FileClass;

use super::assets::Chrome;
use super::data::{Detail, Listed};
use super::links::Links;
use super::list_view::{self, Choice, FilterView, ListQuery, Rows};
use super::matrix::{self, Column, Matrix};
use super::outcome_form::{self, Notice, OutcomeView};
use super::panel::{self, CompareForm, Pair, Panel};
use super::respond::{Html, WebError, html};
use super::selection_view::{self, SelectionView};
use super::text::clean;
use super::turns::{self, TurnsView};
use crate::Touched;

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    chrome: &'static Chrome,
    filter: FilterView,
    policies: Vec<Choice>,
    outcomes: Vec<Choice>,
    rows: Rows,
}

#[derive(Template)]
#[template(path = "rows.html")]
struct RowsPart {
    rows: Rows,
}

#[derive(Template)]
#[template(path = "selection.html")]
struct SelectionPage {
    chrome: &'static Chrome,
    s: SelectionView,
    panel: Option<Panel>,
    compare: CompareForm,
    matrix: Matrix,
    outcome: OutcomeView,
}

#[derive(Template)]
#[template(path = "candidate.html")]
struct CandidatePart {
    panel: Panel,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    chrome: &'static Chrome,
    instance_id: String,
    back: String,
    compare: CompareForm,
    pair: Pair,
}

#[derive(Template)]
#[template(path = "compared.html")]
struct ComparedPart {
    pair: Pair,
}

#[derive(Template)]
#[template(path = "tests.html")]
struct TestsPage {
    chrome: &'static Chrome,
    instance_id: String,
    back: String,
    matrix: Matrix,
}

#[derive(Template)]
#[template(path = "outcome.html")]
struct OutcomePart {
    outcome: OutcomeView,
}

#[derive(Template)]
#[template(path = "trajectory.html")]
struct TrajectoryPage {
    chrome: &'static Chrome,
    instance_id: String,
    candidate_id: String,
    back: String,
    turns: TurnsView,
}

#[derive(Template)]
#[template(path = "turns.html")]
struct TurnsPart {
    turns: TurnsView,
}

/// The list of selections: the page, or just more rows.
pub(super) fn list<'a>(
    query: &ListQuery,
    policies: impl Iterator<Item = &'a str>,
    listed: Vec<Listed>,
    next: Option<&str>,
    rows_only: bool,
) -> Result<Html, WebError> {
    let rows = list_view::rows(query, listed, next);
    if rows_only {
        return html(&RowsPart { rows });
    }
    html(&ListPage {
        chrome: Chrome::get(),
        filter: list_view::filter(query),
        policies: list_view::policies(query, policies),
        outcomes: list_view::outcomes(query),
        rows,
    })
}

/// One selection with a candidate in full: the one asked for, else the pick, else the first.
pub(super) fn selection(
    detail: &Detail,
    candidate: Option<&str>,
    notice: Option<Notice>,
) -> Result<Html, WebError> {
    let links = Links::new(&detail.id);
    let first = detail.selection.candidates.first().map(|r| r.candidate_id.as_str());
    let shown = candidate.or(detail.selection.chosen.as_deref()).or(first);
    let panel = shown.and_then(|id| panel::panel(detail, id, &links));
    if panel.is_none() && candidate.is_some() {
        return Err(no_candidate());
    }
    html(&SelectionPage {
        chrome: Chrome::get(),
        s: selection_view::view(detail, &links),
        panel,
        compare: panel::compare_form(detail, None, &links),
        matrix: matrix_of(detail, matrix::ROWS_ON_PAGE, Some(&links.tests())),
        outcome: outcome_form::view(detail, &links, notice),
    })
}

/// One candidate in full, as a part.
pub(super) fn candidate(detail: &Detail, id: &str) -> Result<Html, WebError> {
    let panel = panel::panel(detail, id, &Links::new(&detail.id)).ok_or_else(no_candidate)?;
    html(&CandidatePart { panel })
}

/// Two candidates.
pub(super) fn compare(detail: &Detail, ids: [&str; 2], part: bool) -> Result<Html, WebError> {
    let links = Links::new(&detail.id);
    let pair = panel::pair(detail, ids, &links).ok_or_else(no_candidate)?;
    if part {
        return html(&ComparedPart { pair });
    }
    html(&ComparePage {
        chrome: Chrome::get(),
        instance_id: clean(&detail.selection.instance_id).into_owned(),
        back: links.selection(),
        compare: panel::compare_form(detail, Some(ids), &links),
        pair,
    })
}

/// All tests.
pub(super) fn tests(detail: &Detail) -> Result<Html, WebError> {
    html(&TestsPage {
        chrome: Chrome::get(),
        instance_id: clean(&detail.selection.instance_id).into_owned(),
        back: Links::new(&detail.id).selection(),
        matrix: matrix_of(detail, matrix::ROWS_ON_TESTS_PAGE, None),
    })
}

/// The form for outcomes, as a part.
pub(super) fn outcome(detail: &Detail, notice: Notice) -> Result<Html, WebError> {
    html(&OutcomePart { outcome: outcome_form::view(detail, &Links::new(&detail.id), Some(notice)) })
}

/// Some turns of a candidate's trajectory.
pub(super) fn trajectory(
    selection_id: &str,
    candidate_id: &str,
    trajectory: &Trajectory,
    from: usize,
    part: bool,
) -> Result<Html, WebError> {
    let links = Links::new(selection_id);
    let turns = turns::view(trajectory, candidate_id, from, &links);
    if part {
        return html(&TurnsPart { turns });
    }
    html(&TrajectoryPage {
        chrome: Chrome::get(),
        instance_id: clean(&trajectory.instance_id).into_owned(),
        candidate_id: clean(candidate_id).into_owned(),
        back: links.candidate(candidate_id, 0).url,
        turns,
    })
}

fn no_candidate() -> WebError {
    WebError::not_found("this selection has no such candidate")
}

fn matrix_of(detail: &Detail, limit: usize, more: Option<&str>) -> Matrix {
    let chosen = detail.selection.chosen.as_deref();
    let columns: Vec<Column> = detail
        .selection
        .candidates
        .iter()
        .map(|r| Column {
            id: clean(&r.candidate_id).into_owned(),
            rank: r.rank,
            chosen: chosen == Some(r.candidate_id.as_str()),
        })
        .collect();
    let touched: Vec<Touched> = if detail.tests.is_empty() {
        Vec::new()
    } else {
        detail.selection.candidates.iter().map(|r| touched(detail, &r.candidate_id)).collect()
    };
    let tampered =
        |column: usize, test: &str| touched.get(column).is_some_and(|t| !t.is_empty() && t.covers(test));
    matrix::matrix(columns, &detail.tests, tampered, limit, more)
}

/// The tests that a candidate's patch touches.
fn touched(detail: &Detail, id: &str) -> Touched {
    let text = detail.candidate(id).and_then(|c| c.patch.as_deref()).unwrap_or_default();
    let parsed = patch::parse(text);
    let tests = parsed.files.iter().filter(|f| f.class == FileClass::Test);
    Touched::new(tests.map(|f| {
        let lines = f
            .hunks
            .iter()
            .flat_map(|h| std::iter::once(h.section.as_str()).chain(h.lines.iter().map(|l| l.text.as_str())));
        (f.path().to_owned(), lines.collect::<Vec<_>>().join("\n"))
    }))
}

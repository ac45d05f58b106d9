//! Why the learned ranker puts a candidate where it stands, in words.

use super::Context;
use crate::{facts::Outcome, ranker::RankerModel};

/// What a group of features is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theme {
    Agreement,
    Place,
    Form,
    Size,
    Leftovers,
    Comments,
    Configuration,
    Shape,
    Trajectory,
    Tests,
    Verifier,
}

const THEMES: [Theme; 11] = [
    Theme::Agreement,
    Theme::Place,
    Theme::Form,
    Theme::Size,
    Theme::Leftovers,
    Theme::Comments,
    Theme::Configuration,
    Theme::Shape,
    Theme::Trajectory,
    Theme::Tests,
    Theme::Verifier,
];

/// Sums of a theme's features below this move nothing worth a word.
const LEAST: f64 = 0.08;

/// The three themes that moved a candidate most, strongest first.
pub(super) fn reasons(
    context: &Context<'_>,
    model: &RankerModel,
    parts: &[Vec<f64>],
    row: usize,
    at: usize,
) -> Vec<String> {
    let mut sums: Vec<(Theme, f64)> = THEMES
        .into_iter()
        .map(|theme| {
            let of =
                model.features.iter().zip(parts).filter(|(weight, _)| self::theme(&weight.name) == theme);
            (theme, of.map(|(_, part)| part[row]).sum())
        })
        .filter(|(_, sum): &(Theme, f64)| sum.abs() >= LEAST)
        .collect();
    sums.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    sums.truncate(3);
    let words = sums.into_iter().map(|(theme, sum)| {
        let side = if sum > 0.0 { "for" } else { "against" };
        format!("{side} it ({sum:+.2}): {}", describe(context, theme, at))
    });
    words.collect()
}

fn theme(feature: &str) -> Theme {
    let column = feature.rsplit(':').next().unwrap_or(feature);
    match column {
        "m_near" | "x_near" | "mr_nearP" | "m_nearP" | "m_files" | "m_filesP" | "mr_filesP" | "m_loc"
        | "sc_loc" => Theme::Place,
        "l_broken" | "off_base" => Theme::Form,
        "l_pr" | "l_todo" | "l_addscr" | "l_nscr" | "l_newsrc" | "hasscr" | "sh_scr" => Theme::Leftovers,
        "comratio" | "l_com_add" | "hasdoc" | "l_docl" => Theme::Comments,
        "l_ncfg" | "l_noth" => Theme::Configuration,
        "l_A" | "l_R" | "l_files" | "l_nsrc" | "l_hunks" | "l_addsrc" | "l_ntok" => Theme::Size,
        "v_logit" => Theme::Verifier,
        _ if column.starts_with("t_") => Theme::Trajectory,
        _ if column.starts_with("e_") => Theme::Tests,
        _ if column.starts_with(['m', 'x', 'q'])
            || matches!(column, "nv_tri" | "d_chg" | "lsize" | "modal") =>
        {
            Theme::Agreement
        }
        _ => Theme::Shape,
    }
}

fn describe(context: &Context<'_>, theme: Theme, at: usize) -> String {
    let candidate = &context.pool.candidates[at];
    let counts = &candidate.sketch.counts;
    let votes = context.agreement.votes[at];
    let size = context.len();
    match theme {
        Theme::Agreement => format!(
            "{} of {size} candidates make this change, mean similarity to the others {:.2}",
            votes.exact, votes.similarity
        ),
        Theme::Place => {
            format!("{} of {size} candidates change the same files; how its places match theirs", votes.files)
        }
        Theme::Form if counts.broken > 0.0 => {
            "its hunks contradict their headers, so that git apply refuses it".to_owned()
        }
        Theme::Form => "how the code it was made against matches the others'".to_owned(),
        Theme::Size => format!(
            "{}, {}, {} added and {} removed lines of code, against the pool",
            count(counts.files, "file"),
            count(counts.hunks, "hunk"),
            counts.added,
            counts.removed
        ),
        Theme::Leftovers => format!(
            "{}, {}, {} that print or debug",
            count(counts.nscr, "scratch file"),
            count(counts.newsrc, "new file"),
            count(counts.pr, "line")
        ),
        Theme::Comments => format!("{} comment lines beside {} lines of code", counts.com_add, counts.added),
        Theme::Configuration => format!("{} configuration files", counts.ncfg),
        Theme::Shape => "what its lines do: definitions, imports, nesting".to_owned(),
        Theme::Trajectory => trajectory(context, at),
        Theme::Tests => {
            let summary = context.tests.summary(at);
            format!(
                "breaks {} tests, passes {} that show the issue and fails {}",
                summary.regression_broken, summary.reproduction_passed, summary.reproduction_failed
            )
        }
        Theme::Verifier => match context.verifier[at] {
            Some(opinion) => format!("verifier {:.3}", opinion.probability),
            None => "no verifier score".to_owned(),
        },
    }
}

/// A number of things: `1 file`, `2 files`.
fn count(number: f64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1.0 { "" } else { "s" })
}

fn trajectory(context: &Context<'_>, at: usize) -> String {
    let facts = &context.pool.candidates[at].facts;
    let mut words = Vec::new();
    if let Some(finished) = facts.finished {
        words.push(if finished { "its run finished" } else { "its run did not finish" }.to_owned());
    }
    if let Some(steps) = facts.steps {
        words.push(format!("{steps} steps"));
    }
    if let Some(work) = facts.work {
        let said = match work.last_test.or(work.last_run) {
            Some(Outcome::Passed) => "what it ran after its last edit passed",
            Some(Outcome::Failed) => "what it ran after its last edit failed",
            Some(Outcome::Silent) => "what it ran after its last edit said neither pass nor failure",
            None => "it ran nothing after its last edit",
        };
        words.push(said.to_owned());
    }
    if words.is_empty() { "no trajectory".to_owned() } else { words.join(", ") }
}

//! Whole pages of the invented selection: what must be there, and what must not.

use super::list_view::ListQuery;
use super::outcome_form::Notice;
use super::respond::{Html, WebError};
use super::sample::{EVIL, ID, detail, listed, trajectory};
use super::{pages, respond};

fn every_page() -> Vec<(&'static str, String)> {
    let d = detail();
    let text = |page: Result<Html, WebError>| page.map(|Html(_, text)| text).unwrap();
    let query = ListQuery { instance_id: EVIL.to_owned(), ..ListQuery::default() };
    let notice = Notice { class: "warn notice", words: format!("Not stored: {EVIL}") };
    vec![
        ("list", text(pages::list(&query, ["hybrid"].into_iter(), listed(), Some("cur<sor"), false))),
        ("rows", text(pages::list(&query, ["hybrid"].into_iter(), listed(), None, true))),
        ("selection", text(pages::selection(&d, None, None))),
        ("selection-evil", text(pages::selection(&d, Some(EVIL), Some(notice.clone())))),
        ("candidate", text(pages::candidate(&d, EVIL))),
        ("compare", text(pages::compare(&d, ["run-07", EVIL], false))),
        ("compared", text(pages::compare(&d, ["run-07", "run-05"], true))),
        ("tests", text(pages::tests(&d))),
        ("outcome", text(pages::outcome(&d, notice))),
        ("trajectory", text(pages::trajectory(ID, EVIL, &trajectory(), 0, false))),
        ("turns", text(pages::trajectory(ID, "run-07", &trajectory(), 2, true))),
    ]
}

/// With `ENTROPO_WEB_OUT` set, also writes the pages there, to be looked at.
#[test]
fn nothing_that_an_agent_wrote_becomes_markup() {
    for (name, page) in every_page() {
        if let Some(folder) = std::env::var_os("ENTROPO_WEB_OUT") {
            let html = page.replace("/assets/", "assets/");
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), html).unwrap();
        }
        assert!(
            page.contains("&lt;script&gt;") || page.contains("&#60;script&#62;"),
            "{name} does not show the text"
        );
        for bad in ["<script>alert", "<img src=x", "<b hx-get", "\u{1b}", "\u{202e}", "onerror=alert(2)>\""] {
            assert!(!page.contains(bad), "{name} holds {bad:?}");
        }
        for inline in ["<style", " style=", "<script>", "javascript:", " onclick", " onload"] {
            assert!(!page.contains(inline), "{name} has inline {inline:?}, which the content policy forbids");
        }
        let outside = page.matches("http://").count() + page.matches("https://").count();
        assert_eq!(outside, 0, "{name} names another host");
    }
}

#[test]
fn a_selection_shows_the_pick_the_reasons_and_the_evidence() {
    let Html(_, page) = pages::selection(&detail(), None, None).unwrap();
    for part in [
        "acme__textkit-42",
        "83 %",
        "3 of 6 candidates make the same change",
        "Decided without",
        "out at the verifier",
        "hx-trigger=\"toggle once\"",
        "name=\"resolved:a%2F..%2Fb%3Fc%3Dd%26e%23f\"",
        "candidate=a%2F..%2Fb%3Fc%3Dd%26e%23f",
        "✓ resolved",
        "does not count: the patch edits this test",
        "reruns disagree",
        "Cluster 3",
    ] {
        assert!(page.contains(part), "no {part:?} in the page");
    }
    assert!(pages::selection(&detail(), Some("nobody"), None).is_err());
    assert!(pages::compare(&detail(), ["run-07", "nobody"], true).is_err());
}

#[test]
fn a_selection_without_anything_still_has_a_page() {
    let mut d = detail();
    d.candidates.clear();
    d.tests.clear();
    d.outcomes.clear();
    d.issue = None;
    d.selection.chosen = None;
    d.selection.abstained = true;
    let Html(_, page) = pages::selection(&d, None, None).unwrap();
    assert!(page.contains("Abstained") && page.contains("No test results were sent"));
    d.selection.candidates.clear();
    d.selection.confidence = None;
    assert!(pages::selection(&d, None, None).is_ok());
}

#[test]
fn no_template_prints_unescaped_text() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("|safe") && !text.contains("| safe") && !text.contains("autoescape"),
            "{path:?}"
        );
    }
}

#[test]
fn the_policy_allows_no_inline_code_and_no_other_host() {
    assert!(!respond::CONTENT_POLICY.contains("unsafe") && !respond::CONTENT_POLICY.contains("http"));
    assert!(respond::CONTENT_POLICY.starts_with("default-src 'none'"));
}

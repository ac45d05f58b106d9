//! The example of `docs/verifier-input.md` is what the code makes of it. `UPDATE_EXPECTED=1` renews the page.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;

use verifier::input::lay_out;
use verifier::{Example, Layout};

const ISSUE: &str = "Hands of equal rank tie wrongly";

/// Where the fenced block after a place in the page begins and ends.
fn block(page: &str, after: &str, fence: &str) -> std::ops::Range<usize> {
    let from = page.find(after).unwrap_or_else(|| panic!("the page has no {after}"));
    let start = from + page[from..].find(fence).unwrap() + fence.len();
    start..start + page[start..].find("```").unwrap()
}

#[test]
fn the_example_of_the_page_is_what_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verifier-input.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains(&format!("*{ISSUE}*")));
    let candidate = serde_json::from_str(&page[block(&page, "## A complete example", "```json\n")]).unwrap();
    let example = Example { issue: ISSUE.into(), candidate: Arc::new(candidate) };
    let mut shown = Vec::new();
    for layout in [Layout::CompactV1, Layout::JudgeV1] {
        for (role, text) in lay_out(&example, layout).unwrap().chat() {
            let name =
                if layout == Layout::CompactV1 { layout.to_string() } else { format!("{layout} {role}") };
            shown.push((format!("<!-- {name} -->"), format!("{text}\n")));
        }
    }
    assert_eq!(shown.len(), 3);
    let renew = std::env::var_os("UPDATE_EXPECTED").is_some();
    for (place, text) in shown {
        let range = block(&page, &place, "```text\n");
        if renew {
            page.replace_range(range, &text);
        } else {
            assert_eq!(page[range], text, "{place}");
        }
    }
    if renew {
        std::fs::write(path, page).unwrap();
    }
}

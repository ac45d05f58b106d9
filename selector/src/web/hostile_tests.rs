//! Whatever agents and callers write, a page has the tags and attributes of its templates and no others.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::data::Detail;
use super::list_view::ListQuery;
use super::outcome_form::Notice;
use super::pages;
use super::respond::{Html, WebError};
use super::sample::{EVIL, ID, detail, listed, trajectory};

/// The same value with another text wherever the sample is hostile.
fn with<T: Serialize + DeserializeOwned>(value: &T, text: &str) -> T {
    fn swap(value: Value, text: &str) -> Value {
        match value {
            Value::String(old) => Value::String(old.replace(EVIL, text)),
            Value::Array(list) => list.into_iter().map(|one| swap(one, text)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(key, one)| (key.replace(EVIL, text), swap(one, text))).collect()
            }
            other => other,
        }
    }
    serde_json::from_value(swap(serde_json::to_value(value).unwrap(), text)).unwrap()
}

fn hostile(text: &str) -> Detail {
    let mut d = detail();
    d.selection = with(&d.selection, text);
    d.tests = with(&d.tests, text);
    d.issue = d.issue.map(|issue| issue.replace(EVIL, text));
    for candidate in &mut d.candidates {
        candidate.candidate_id = candidate.candidate_id.replace(EVIL, text);
        candidate.patch = candidate.patch.take().map(|patch| patch.replace(EVIL, text));
    }
    for outcome in &mut d.outcomes {
        outcome.source = text.to_owned();
    }
    d
}

fn pages_with(text: &str) -> Vec<String> {
    let (d, run) = (hostile(text), with(&trajectory(), text));
    let page = |page: Result<Html, WebError>| page.map_or_else(|_| String::new(), |Html(_, text)| text);
    let query = ListQuery { instance_id: text.to_owned(), ..ListQuery::default() };
    let notice = Notice { class: "warn notice", words: format!("Not stored: {text}") };
    let mut lines = listed();
    lines[2].chosen = Some(text.to_owned());
    lines[2].instance_id = text.to_owned();
    vec![
        page(pages::list(&query, ["hybrid"].into_iter(), lines, Some(text), false)),
        page(pages::selection(&d, None, Some(notice.clone()))),
        page(pages::selection(&d, Some(text), None)),
        page(pages::candidate(&d, text)),
        page(pages::compare(&d, ["run-07", text], true)),
        page(pages::tests(&d)),
        page(pages::outcome(&d, notice)),
        page(pages::trajectory(ID, text, &run, 0, false)),
    ]
}

/// Names of the tags and of their attributes, as a browser's tokenizer finds them.
fn names(page: &str) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let tag: String =
            rest.chars().take_while(|c| !c.is_whitespace() && !matches!(c, '>' | '/')).collect();
        if !tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            continue;
        }
        rest = &rest[tag.len()..];
        names.insert((tag.clone(), String::new()));
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if rest.is_empty() || rest.starts_with('>') {
                break;
            }
            let end =
                rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len());
            names.insert((tag.clone(), rest[..end.max(1).min(rest.len())].to_owned()));
            rest = rest[end..].trim_start();
            let Some(value) = rest.strip_prefix('=') else { continue };
            let value = value.trim_start();
            let (quote, value) = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => (Some(quote), &value[1..]),
                _ => (None, value),
            };
            let end = match quote {
                Some(quote) => value.find(quote),
                None => value.find(|c: char| c.is_whitespace() || c == '>'),
            };
            rest = &value[end.unwrap_or(value.len())..];
            rest = quote.map_or(rest, |quote| rest.strip_prefix(quote).unwrap_or(rest));
        }
    }
    names
}

/// Text that means something to HTML, to URLs, to templates or to terminals, among text that does not.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<",
        ">",
        "</",
        "/>",
        "\"",
        "'",
        "`",
        "&",
        "&lt;",
        "&#60;",
        "&#x3c;",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?",
        "<script>",
        "</script>",
        "</textarea>",
        "</title>",
        "</pre>",
        "</span>",
        "<svg/onload=alert(1)>",
        "<img src=x",
        " onerror=alert(1)",
        " hx-get=/x ",
        " style=x ",
        "javascript:alert(1)",
        "data:text/html,<b>",
        "//evil.example",
        "{{ 7*7 }}",
        "{% raw %}",
        "\u{1b}[31m",
        "\u{1b}]8;;http://evil\u{7}",
        "\u{202e}",
        "\u{2066}",
        "\u{feff}",
        "\0",
        "\r\n",
        "\n+",
        "\n-",
        "\n@@ -1 +1 @@\n",
        "\ndiff --git a/<b> b/<i>\n",
        "%3Cscript%3E",
        "=",
        "a",
        " ",
        "é",
        "𝄞",
    ]);
    let piece = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 1..14).prop_map(|pieces| pieces.concat())
}

#[test]
fn the_reader_of_tags_sees_what_a_browser_would() {
    let seen = names("<a href='x>y' hx-get=/z>t &lt;b&gt;<br/><img src=x onerror=alert(1)>");
    let seen: Vec<String> = seen.into_iter().map(|(tag, name)| format!("{tag}.{name}")).collect();
    assert_eq!(seen, ["a.", "a.href", "a.hx-get", "br.", "img.", "img.onerror", "img.src"]);
}

/// What the templates and the colouring of code make of plain text and of the sample.
static KNOWN: LazyLock<BTreeSet<(String, String)>> = LazyLock::new(|| {
    let texts = [EVIL, "plain", "def f(x): return 'y' # z"];
    let known: BTreeSet<_> =
        texts.iter().flat_map(|text| pages_with(text)).flat_map(|page| names(&page)).collect();
    assert!(!known.iter().any(|(tag, name)| name.starts_with("on") || name == "style" || tag == "iframe"));
    known
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_text_adds_a_tag_or_an_attribute(text in text()) {
        let known = &*KNOWN;
        for page in pages_with(&text) {
            for name in names(&page) {
                prop_assert!(known.contains(&name), "{name:?} comes from {text:?}");
            }
            let links = page.match_indices("href=\"").map(|(at, found)| &page[at + found.len()..]);
            for link in links {
                let end = link.find('"').unwrap_or(link.len());
                let here = link.starts_with('/') && !link.starts_with("//") || link.starts_with('#') || link.starts_with('?');
                prop_assert!(here, "a link leads to {:?}", &link[..end]);
            }
        }
    }
}

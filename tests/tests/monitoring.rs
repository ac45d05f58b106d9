//! The dashboard, the alerts, the pages and the code name the same metrics, and every alert is explained.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// How names of our metrics begin.
const OURS: [&str; 8] =
    ["http_", "outgoing_", "store_", "selector_", "verifier_", "trainer_", "process_", "entropo_"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The metrics of docs/metrics.md with their kinds and labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = read("docs/metrics.md");
    let mut metrics = BTreeMap::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        assert!(metrics.insert(name, (cells[1].to_owned(), labels)).is_none(), "{row} is there twice");
    }
    metrics
}

/// Words of a text that look like names of metrics.
fn words(text: &str) -> BTreeSet<String> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !of_name(c));
    words.filter(|word| OURS.iter().any(|start| word.starts_with(start))).map(str::to_owned).collect()
}

/// Fails unless a query asks for metrics and labels that there are.
fn check(place: &str, query: &str) {
    let documented = documented();
    let names = words(query);
    assert!(!names.is_empty() || query.contains("up{") || query.contains("ALERTS"), "{place}: {query}");
    let mut labels: BTreeSet<&str> = ["job", "instance", "le", "alertstate"].into();
    for name in &names {
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let histogram =
            bare.filter(|bare| documented.get(*bare).is_some_and(|(kind, _)| kind == "histogram"));
        let found = documented.get(histogram.unwrap_or(name));
        let (kind, own) = found.unwrap_or_else(|| panic!("{place}: docs/metrics.md has no {name}: {query}"));
        assert!(kind != "histogram" || histogram.is_some(), "{place}: {name} is a histogram: {query}");
        labels.extend(own.iter().map(String::as_str));
    }
    // Labels stand before a comparison inside braces, and behind `by`.
    let mut used: BTreeSet<String> = BTreeSet::new();
    for part in query.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        used.extend(part.split(',').filter_map(|one| Some(one.split(['=', '!']).next()?.trim().to_owned())));
    }
    for part in query.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()) {
        used.extend(part.split(',').map(|label| label.trim().to_owned()));
    }
    for label in used.iter().filter(|label| !label.is_empty()) {
        assert!(labels.contains(label.as_str()), "{place}: nothing there has the label {label}: {query}");
    }
}

/// Every string of the sources that is named like a metric, without those of tests.
fn in_the_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in ["store", "server", "selector", "verifier", "trainer"] {
        for entry in walkdir::WalkDir::new(root().join(name).join("src")) {
            let path = entry.unwrap().into_path();
            if path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let measures = ["counter!(", "gauge!(", "histogram!(", "# TYPE"];
            if !measures.iter().any(|word| code.contains(word)) {
                continue;
            }
            for literal in code.split('"').skip(1).step_by(2) {
                let named = words(literal).len() == 1 && words(literal).contains(literal);
                if named && literal.matches('_').count() > 0 && !literal.ends_with('_') {
                    found.insert(literal.to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn the_page_has_every_metric_of_the_code_and_no_other() {
    let (code, page) = (in_the_code(), documented());
    let page: BTreeSet<String> = page.into_keys().collect();
    let missing: Vec<&String> = code.difference(&page).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    let gone: Vec<&String> = page.difference(&code).collect();
    assert!(gone.is_empty(), "docs/metrics.md has metrics that nothing measures: {gone:?}");
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboards/entropo.json")).unwrap();
    let mut asked = String::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id is there twice");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{title} is off the page");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            check(title, query);
            asked += query;
            asked.push('\n');
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    for note in dashboard["annotations"]["list"].as_array().unwrap() {
        check("annotations", note["expr"].as_str().unwrap());
    }
    // What operators ask for first.
    for metric in [
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "selector_degraded_total",
        "verifier_queue_tokens",
        "verifier_batch_padding_ratio_sum",
        "verifier_cache_lookups_total",
        "trainer_loss",
        "trainer_reward_margin",
        "trainer_entropy",
        "trainer_tokens_per_second",
        "process_resident_memory_bytes",
        "store_connections",
    ] {
        assert!(words(&asked).contains(metric), "no panel shows {metric}");
    }
    let source = read("deploy/grafana/provisioning/datasources/prometheus.yml");
    assert!(source.contains("url: http://prometheus:9090"), "the name in deploy/docker-compose.yml");
}

/// The alerts: name, query, address of the explanation.
fn alerts() -> Vec<(String, String, String)> {
    let text = read("deploy/prometheus/alerts.yml");
    let field = |part: &str, name: &str| {
        let line = part.lines().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is missing in {part}")).trim().to_owned()
    };
    let parts = text.split("- alert: ").skip(1);
    parts
        .map(|part| {
            let severity = field(part, "labels: {severity: ");
            assert!(["page}", "ticket}"].contains(&severity.as_str()), "{part}");
            field(part, "summary:");
            let name = part.lines().next().unwrap().to_owned();
            (name, field(part, "expr:"), field(part, "runbook_url:"))
        })
        .collect()
}

#[test]
fn every_alert_asks_for_metrics_that_there_are_and_is_explained() {
    let page = read("docs/operations.md");
    let (_, explained) = page.split_once("\n## Alerts\n").unwrap();
    let headings: BTreeSet<&str> = explained.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    assert!(alerts.len() > 15, "{alerts:?}");
    for (name, query, link) in &alerts {
        check(name, query);
        assert!(headings.contains(name.as_str()), "docs/operations.md does not say what to do about {name}");
        let (file, anchor) = link.split_once('#').unwrap();
        assert!(file.ends_with("/docs/operations.md"), "{name}: {link}");
        assert_eq!(anchor, name.to_lowercase(), "{name}: {link}");
        let (_, rest) = explained.split_once(&format!("### {name}\n")).unwrap();
        let section = rest.split("\n### ").next().unwrap();
        assert!(section.contains("**Do:**"), "docs/operations.md: {name} lacks what to do");
    }
    let names: BTreeSet<&str> = alerts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, headings, "one section an alert, and no other");
    for service in ["selector", "verifier", "trainer"] {
        let scraped = read("deploy/prometheus/prometheus.yml").contains(&format!("job_name: {service}\n"));
        assert!(scraped, "{service} is not scraped");
    }
}

//! What `/metrics` says after real traffic: every metric is explained and documented, and nothing that clients send
//! makes labels grow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{patch, request, workspace};
use crate::training::{Process, config, place, post, until};

/// A metric as it is shown.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    /// Values by their labels, as shown.
    series: BTreeMap<String, f64>,
}

fn scrape(url: &str) -> BTreeMap<String, Family> {
    let (status, text) = request(reqwest::Client::new().get(format!("{url}/metrics")));
    assert_eq!(status, 200, "{text}");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let ends = ["_bucket", "_sum", "_count"];
            let of_histogram = ends.iter().find_map(|end| name.strip_suffix(end));
            let of_histogram = of_histogram.filter(|base| families.contains_key(*base));
            let family = families.get_mut(of_histogram.unwrap_or(name));
            let family = family.unwrap_or_else(|| panic!("{line} comes before its type"));
            family.series.insert(format!("{name}{{{labels}"), value.parse().unwrap());
        }
    }
    families
}

/// The metrics of the page, with their kinds.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(workspace().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned())).collect()
}

fn check(families: &BTreeMap<String, Family>) {
    let documented = documented();
    for (name, family) in families {
        let kind = documented.get(name).unwrap_or_else(|| panic!("docs/metrics.md does not have {name}"));
        assert_eq!(&family.kind, kind, "{name}");
        assert!(!family.help.is_empty(), "{name} has no help");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        let milli = ["_ms", "_millis", "_milliseconds", "_percent", "_kb", "_mb"];
        assert!(!milli.iter().any(|end| name.ends_with(end)), "{name}: base units only");
    }
}

fn series(families: &BTreeMap<String, Family>) -> BTreeSet<String> {
    families.values().flat_map(|family| family.series.keys().cloned()).collect()
}

fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[&str]) -> f64 {
    let family = &families[name];
    let fits = |series: &&String| labels.iter().all(|label| series.contains(label));
    let found = family.series.keys().find(fits);
    family.series[found.unwrap_or_else(|| panic!("{name} {labels:?}: {family:#?}"))]
}

fn pool(id: &str) -> serde_json::Value {
    let candidate = |id: &str, line: &str| {
        json!({"candidate_id": id, "patch": patch("src/x.py", line), "exit": "submitted", "turns": [
            {"role": "user", "content": "the issue"}, {"role": "assistant", "content": format!("I am {id}")},
        ]})
    };
    json!({"instance_id": id, "issue": "b should be 3", "candidates": [candidate("one", "b = 3"), candidate("two", "b = 4")]})
}

#[test]
fn every_metric_is_documented_and_has_help_and_unit() {
    let dir = place();
    let up = Process::start(dir.path(), &["up"]);
    let (selector, verifier, trainer) = (up.url("selector"), up.url("verifier"), up.url("trainer"));
    let made = post(&format!("{selector}/v1/selections"), &pool("a__b-1"));
    let outcomes = json!({"outcomes": [{"candidate_id": "one", "resolved": true}]});
    post(&format!("{selector}/v1/selections/{}/outcomes", made["id"].as_str().unwrap()), &outcomes);
    let runs = format!("{trainer}/v1/runs");
    let run = post(&runs, &json!({"config": config("bradley-terry", 400)}));
    let run = format!("{runs}/{}", run["id"].as_str().unwrap());
    until(&run, |run| run["progress"]["step"].as_u64() > Some(1));
    let during = scrape(&trainer);
    check(&during);
    for name in ["trainer_loss", "trainer_reward_margin", "trainer_step", "trainer_tokens_per_second"] {
        assert!(value(&during, name, &["worker=\"0\""]).is_finite(), "{name}");
    }
    assert_eq!(value(&during, "trainer_workers_busy", &[]), 1.0);
    post(&format!("{run}/cancel"), &json!({}));
    until(&run, |run| run["state"] == "cancelled");

    let after = scrape(&verifier);
    check(&after);
    assert!(scrape(&selector).keys().eq(after.keys()), "one process, one set");
    for (name, labels, least) in [
        ("selector_selections_total", &["policy=\"hybrid\"", "outcome=\"chosen\""][..], 1.0),
        ("selector_selection_seconds", &["_count", "policy=\"hybrid\""], 1.0),
        ("selector_candidates", &["_sum"], 2.0),
        ("selector_degraded_total", &["evidence=\"regression\"", "reason=\"missing\""], 1.0),
        ("selector_verifier_requests_total", &["outcome=\"scored\""], 1.0),
        ("selector_outcomes_total", &["resolved=\"true\""], 1.0),
        ("verifier_tokens_total", &["model=\"linear\""], 1.0),
        ("verifier_batch_rows", &["_count", "model=\"linear\""], 1.0),
        ("verifier_batch_padding_ratio", &["_count"], 1.0),
        ("verifier_cache_lookups_total", &["result=\"miss\""], 1.0),
        ("verifier_model_ready", &["model=\"linear\""], 1.0),
        ("http_requests_total", &["service=\"selector\"", "route=\"/v1/selections\"", "status=\"201\""], 1.0),
        ("http_request_duration_seconds", &["_count", "service=\"trainer\"", "route=\"/v1/runs\""], 1.0),
        ("trainer_attempts_total", &["outcome=\"cancelled\""], 1.0),
        ("store_connections_max", &["pool=\"readers\""], 1.0),
        ("store_wait_seconds", &["_count", "pool=\"writer\""], 1.0),
        ("process_resident_memory_bytes", &[], 1e6),
        ("process_open_fds", &[], 3.0),
        ("entropo_build_info", &["version="], 1.0),
    ] {
        assert!(value(&after, name, labels) >= least, "{name} {labels:?}");
    }
    assert!(value(&after, "trainer_loss", &["worker=\"0\""]).is_nan(), "there is no run");
    assert_eq!(value(&after, "verifier_model_tokens", &["model=\"linear\""]), 0.0, "nothing is left over");
    let seen: BTreeSet<&str> = during.keys().chain(after.keys()).map(String::as_str).collect();
    let rare = [
        "http_requests_shed_total",
        "http_connections_put_out_total",
        "outgoing_",
        "trainer_alarms_total",
        "trainer_promotions_total",
        "trainer_checkpoints_total",
        "verifier_condensed_total",
        "verifier_refused_total",
        "verifier_stuck_batches_total",
        "verifier_shadow_",
    ];
    let never: Vec<String> = documented().into_keys().filter(|name| !seen.contains(name.as_str())).collect();
    let odd: Vec<&String> =
        never.iter().filter(|name| !rare.iter().any(|rare| name.starts_with(rare))).collect();
    assert!(odd.is_empty(), "documented and never shown: {odd:?}");
}

#[test]
fn nothing_that_clients_send_makes_labels_grow() {
    let dir = tempfile::tempdir().unwrap();
    let up = Process::start(dir.path(), &["up"]);
    let (selector, verifier) = (up.url("selector"), up.url("verifier"));
    let hostile = |number: usize| {
        let client = reqwest::Client::new();
        let odd = format!("x{number}%22%7D%0A%00{{route=\"/\"}}");
        for url in [
            format!("{selector}/{odd}"),
            format!("{selector}/v1/selections/{odd}"),
            format!("{verifier}/v1/models/{odd}"),
            format!("{verifier}/v1/{odd}?x={number}"),
        ] {
            request(client.get(&url).header("x-request-id", format!("id-{number}")));
            request(client.request(format!("VERB{number}").parse().unwrap(), &url));
        }
        let body = json!({"model": format!("model-{number}"), "issue": "i", "candidates": [{"candidate_id": format!("c-{number}"), "patch": "p"}]});
        request(client.post(format!("{verifier}/v1/score")).json(&body));
        let mut pool = pool(&format!("a__b-{number}"));
        pool["policy"] = json!(format!("policy-{number}"));
        request(client.post(format!("{selector}/v1/selections")).json(&pool));
        pool["policy"] = json!("majority");
        request(client.post(format!("{selector}/v1/selections")).json(&pool));
        let source = json!({"outcomes": [{"resolved": true}], "source": format!("s-{number}")});
        request(client.post(format!("{selector}/v1/selections/{odd}/outcomes")).json(&source));
    };
    for number in 0..3 {
        hostile(number);
    }
    // What is asked for appears in the metrics of the next time.
    scrape(&selector);
    let before = series(&scrape(&selector));
    for number in 3..40 {
        hostile(number);
    }
    let after = scrape(&selector);
    let grown: Vec<String> = series(&after).difference(&before).cloned().collect();
    assert!(grown.is_empty(), "{grown:#?}");
    assert!(!after.values().any(|family| family.kind == "summary"), "quantiles cannot be added up");
    assert!(value(&after, "http_requests_total", &["route=\"unmatched\"", "method=\"OTHER\""]) > 30.0);
}

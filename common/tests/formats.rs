//! Every format, from fixtures written for this project: what is read, under which ids, and that no label stays.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::formats::{ReadContext, ReadReport, Record, inspect, parse_json, read, read_value};
use common::{Role, SourceFormat};

/// In every field of a fixture that must not reach selection.
const SENTINEL: &str = "LABEL-SENTINEL";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixtures() -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder()).unwrap().to_string_lossy().replace('\\', "/");
                names.push(name);
            }
        }
    }
    names.sort();
    names
}

fn records(name: &str) -> (Vec<Record>, ReadReport) {
    let mut found = Vec::new();
    let file = BufReader::new(File::open(folder().join(name)).unwrap());
    let report = read(file, &ReadContext::named(name), &mut |record| {
        found.push(record);
        ControlFlow::Continue(())
    });
    (found, report.unwrap())
}

/// One line a record, with everything that the reader decided.
fn line(record: &Record) -> String {
    match record {
        Record::Candidate(record) => {
            let run = &record.candidate.trajectory;
            let roles: String = run
                .turns
                .iter()
                .map(|turn| match turn.role {
                    Role::System => 's',
                    Role::User => 'u',
                    Role::Assistant => 'a',
                    Role::Tool => 't',
                })
                .collect();
            let calls: usize = run.turns.iter().map(|turn| turn.tool_calls.len()).sum();
            let thoughts = run.turns.iter().filter(|turn| turn.reasoning.is_some()).count();
            let patch = run.patch.as_deref().map_or_else(
                || "none".to_owned(),
                |patch| {
                    if patch.is_empty() { "empty".to_owned() } else { format!("{}", patch.lines().count()) }
                },
            );
            let outcome = record.outcome.as_ref();
            let label = outcome.map_or_else(
                || "-".to_owned(),
                |outcome| format!("{:?}/{:?} by {}", outcome.resolved, outcome.reward, outcome.label_source),
            );
            format!(
                "{} {} [{roles}] calls={calls} thoughts={thoughts} steps={:?} exit={:?} ({:?}) cost={:?} patch={patch} issue={} {label} path={:?} choice={:?}",
                run.instance_id,
                record.candidate.candidate_id,
                run.steps,
                run.exit,
                run.exit_raw.as_deref().unwrap_or_default(),
                run.cost,
                run.issue.as_deref().unwrap_or("-").lines().next().unwrap_or_default(),
                record.trajectory_path,
                record.scaffold_choice,
            )
        }
        Record::Outcome(outcome) => {
            let paths: Vec<&String> = outcome.stripped.keys().collect();
            format!(
                "outcome {} {:?} by {:?} with {paths:?}",
                outcome.instance_id, outcome.resolved, outcome.label_source
            )
        }
        Record::TestRun { instance_id, run } => format!(
            "tests {instance_id} of {:?}: {:?} {} {:?}",
            run.candidate_id, run.kind, run.suite, run.results
        ),
        Record::Issue { instance_id, text } => {
            format!("issue {instance_id}: {}", text.lines().next().unwrap_or_default())
        }
    }
}

#[test]
fn every_fixture_is_read_as_expected() {
    let mut seen = String::new();
    for name in fixtures().iter().filter(|name| name.as_str() != "expected.txt") {
        let (records, report) = records(name);
        let formats: Vec<&str> = report.formats.keys().map(|format| format.name()).collect();
        writeln!(seen, "# {name}: {}", formats.join(", ")).unwrap();
        for problem in &report.problems {
            writeln!(seen, "! {problem}").unwrap();
        }
        for record in &records {
            writeln!(seen, "{}", line(record)).unwrap();
        }
    }
    let expected = std::fs::read_to_string(folder().join("expected.txt")).unwrap_or_default();
    if seen != expected && std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(folder().join("expected.txt"), &seen).unwrap();
        return;
    }
    for (index, (seen, expected)) in seen.lines().zip(expected.lines()).enumerate() {
        assert_eq!(seen, expected, "line {} of expected.txt", index + 1);
    }
    assert_eq!(seen.lines().count(), expected.lines().count());
}

#[test]
fn every_format_has_a_fixture() {
    let mut missing: Vec<SourceFormat> = SourceFormat::ALL.to_vec();
    for name in fixtures().iter().filter(|name| name.as_str() != "expected.txt") {
        let (_, report) = records(name);
        missing.retain(|format| !report.formats.contains_key(format));
    }
    assert_eq!(missing, []);
}

/// Labels, reference patches and names of agents never survive into what selection sees.
#[test]
fn no_label_reaches_a_candidate() {
    let mut candidates = 0;
    for name in fixtures() {
        for record in records(&name).0 {
            if let Record::Candidate(record) = record {
                candidates += 1;
                let text = serde_json::to_string(&record.candidate).unwrap();
                assert!(!text.contains(SENTINEL), "{name}: {text}");
                for field in ["resolved", "reward", "FAIL_TO_PASS", "my-agent"] {
                    assert!(!text.contains(&format!("\"{field}\"")), "{name}: {field}");
                }
                assert!(record.trajectory_path.is_none_or(|path| !path.contains(SENTINEL)));
            } else if let Record::TestRun { .. } | Record::Issue { .. } = record {
                assert!(!format!("{record:?}").contains(SENTINEL), "{name}");
            }
        }
    }
    assert!(candidates > 30, "{candidates}");
}

/// A document posted inside a request reads like the file.
#[test]
fn a_parsed_document_reads_like_the_file() {
    for name in fixtures().iter().filter(|name| !name.contains(".jsonl") && !name.contains(".txt")) {
        let value = parse_json(&std::fs::read(folder().join(name)).unwrap()).unwrap();
        let mut found = Vec::new();
        let report = read_value(value, &ReadContext::named(name), &mut |record| {
            found.push(record);
            ControlFlow::Continue(())
        });
        assert_eq!((found, report.unwrap()), records(name), "{name}");
    }
}

/// Forcing the format that detection finds changes nothing.
#[test]
fn a_forced_format_reads_the_same() {
    for name in fixtures().iter().filter(|name| name.as_str() != "expected.txt") {
        let (expected, report) = records(name);
        let [format] = *report.formats.keys().copied().collect::<Vec<_>>() else {
            panic!("{name} has several formats")
        };
        let mut found = Vec::new();
        let ctx = ReadContext { format: Some(format), strict: true, ..ReadContext::named(name) };
        let file = BufReader::new(File::open(folder().join(name)).unwrap());
        read(file, &ctx, &mut |record| {
            found.push(record);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn inspection_sums_up() {
    let file = BufReader::new(File::open(folder().join("pool.jsonl")).unwrap());
    let seen = inspect(file, &ReadContext::named("pool.jsonl")).unwrap();
    assert_eq!(
        (seen.report.candidates, seen.instances, seen.labelled, seen.resolved, seen.with_patch),
        (2, 1, 2, 1, 2)
    );
    assert_eq!(seen.stripped["resolved"], 2);
    assert_eq!(seen.stripped["ds.patch"], 1);
    assert_eq!(seen.examples, ["clockwork__clock-7"]);
}

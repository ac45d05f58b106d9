//! How files are read, whatever their format: odd bytes, bad lines, compression, bounds, and that nothing panics.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::ops::ControlFlow;

use common::formats::{Limits, ReadContext, ReadError, ReadReport, Record, parse_json, read, read_value};
use common::{Candidate, ExitStatus, Role, SourceFormat, ToolCall, Trajectory, Turn};
use proptest::prelude::*;

fn read_bytes(bytes: &[u8], ctx: &ReadContext) -> Result<(Vec<Record>, ReadReport), ReadError> {
    let mut found = Vec::new();
    let report = read(Cursor::new(bytes), ctx, &mut |record| {
        found.push(record);
        ControlFlow::Continue(())
    })?;
    Ok((found, report))
}

fn plain(bytes: &[u8]) -> (Vec<Record>, ReadReport) {
    read_bytes(bytes, &ReadContext::named("preds.jsonl")).unwrap()
}

fn patches(records: &[Record]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for record in records {
        if let Record::Candidate(record) = record {
            let run = &record.candidate.trajectory;
            found.push((run.instance_id.as_str(), run.patch_text()));
        }
    }
    found
}

const GOOD: &str = r#"{"instance_id":"a__b-1","model_patch":"x"}"#;
const GOOD2: &str = r#"{"instance_id":"a__b-2","model_patch":"y"}"#;

#[test]
fn a_bad_line_is_reported_with_its_place_and_the_rest_goes_on() {
    let text = format!(
        "{GOOD}\n{{\"instance_id\": \"a\n\n[1]\n{{\"foo\": 1}}\n{{\"instance_id\":\"\",\"model_patch\":\"\"}}\n{GOOD2}\n"
    );
    let ctx = ReadContext::named("all_preds.jsonl");
    let (records, report) = read_bytes(text.as_bytes(), &ctx).unwrap();
    assert_eq!(patches(&records), [("a__b-1", "x"), ("a__b-2", "y")]);
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(
        problems[0].starts_with("all_preds.jsonl:2: not JSON: EOF while parsing a string"),
        "{problems:?}"
    );
    assert!(problems[1].starts_with("all_preds.jsonl:4: element 0: "), "{problems:?}");
    assert!(problems[2].starts_with("all_preds.jsonl:5: "), "{problems:?}");
    assert_eq!(
        problems[3],
        "all_preds.jsonl:6: cannot be read as predictions: field `instance_id` is missing"
    );
    let strict = read_bytes(text.as_bytes(), &ReadContext { strict: true, ..ctx });
    assert!(matches!(strict, Err(ReadError::Strict(problem)) if problem.line == Some(2)));
}

#[test]
fn a_bad_first_line_does_not_swallow_the_file() {
    for bad in ["{\"instance_id\": \"a", "nonsense", "{\"a\" 1}", "{"] {
        let (records, report) = plain(format!("{bad}\n{GOOD}\n{GOOD2}\n").as_bytes());
        assert_eq!(patches(&records).len(), 2, "{bad}");
        assert_eq!(report.problems.len(), 1, "{bad}");
        assert_eq!(report.problems[0].line, Some(1));
    }
}

#[test]
fn odd_bytes_are_accepted() {
    let bom = [b"\xef\xbb\xbf", GOOD.as_bytes(), b"\r\n\r\n", GOOD2.as_bytes(), b"\r\n"].concat();
    assert_eq!(patches(&plain(&bom).0), [("a__b-1", "x"), ("a__b-2", "y")]);
    let odd = br#"{"instance_id":"a__b-1","cost":NaN,"model_patch":"\u0000\u001b[31m\udc80 "}"#;
    assert_eq!(patches(&plain(odd).0), [("a__b-1", "\u{0}\u{1b}[31m\u{fffd} ")]);
    let invalid = [&br#"{"instance_id":"a__b-1","model_patch":""#[..], b"\xff\xfe", br#""}"#].concat();
    assert_eq!(patches(&plain(&invalid).0), [("a__b-1", "\u{fffd}\u{fffd}")]);
}

#[test]
fn a_document_may_be_pretty() {
    for text in [
        format!("[\n  {GOOD},\n  {GOOD2}\n]\n"),
        format!("\n\n[{GOOD},\n{GOOD2}]"),
        format!("{{\n\"a__b-1\":\n{GOOD},\n\"a__b-2\":{GOOD2}}}"),
        format!("\u{feff}[\r\n  {GOOD},\r\n  {GOOD2}\r\n]"),
        format!("[{GOOD},{GOOD2}]"),
    ] {
        assert_eq!(patches(&plain(text.as_bytes()).0), [("a__b-1", "x"), ("a__b-2", "y")], "{text}");
    }
    let (records, report) = plain(format!("[\n{GOOD},\n{{\n]").as_bytes());
    assert!(records.is_empty());
    assert_eq!(report.problems[0].line, Some(4));
}

#[test]
fn empty_files_and_unknown_content_say_so() {
    let reason = |bytes: &[u8]| plain(bytes).1.problems[0].reason.clone();
    assert_eq!(reason(b""), "the file is empty");
    assert_eq!(reason(b"\n \n"), "the file is empty");
    assert_eq!(reason(b"[]"), "the list is empty");
    assert!(reason(br#"{"foo":1,"bar":2}"#).contains("an object with the fields foo, bar"));
    assert!(reason(b"3").contains("neither an object nor a list"));
    assert!(reason(&[b'['; 5000]).starts_with("not JSON: recursion limit exceeded"));
}

#[test]
fn bounds_hold_and_are_reported() {
    let limits = Limits { line_bytes: 200, document_bytes: 300 };
    let ctx = ReadContext { limits, ..ReadContext::named("p.jsonl") };
    let long = format!(r#"{{"instance_id":"a__b-3","model_patch":"{}"}}"#, "z".repeat(400));
    let (records, report) = read_bytes(format!("{GOOD}\n{long}\n{GOOD2}").as_bytes(), &ctx).unwrap();
    assert_eq!(patches(&records), [("a__b-1", "x"), ("a__b-2", "y")]);
    assert_eq!(report.problems[0].line, Some(2));
    assert!(report.problems[0].reason.contains("over the limit of 200"));
    let rows = vec![GOOD; 20].join(",\n");
    let (records, report) = read_bytes(format!("[\n{rows}\n]").as_bytes(), &ctx).unwrap();
    assert!(records.is_empty());
    assert!(report.problems[0].reason.contains("over the limit of 300 bytes"), "{}", report.problems[0]);
}

#[test]
fn a_cut_archive_gives_what_it_holds() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(format!("{GOOD}\n").repeat(5000).as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let (records, report) = plain(&packed[..packed.len() / 2]);
    assert!(records.len() > 1000);
    assert!(report.problems.last().unwrap().reason.starts_with("the file is damaged from here"));
    let whole = plain(&packed);
    assert_eq!((whole.0.len(), whole.1.problems.len()), (5000, 0));
}

#[test]
fn the_sink_may_stop_the_reading() {
    let mut seen = 0;
    let report = read(Cursor::new(format!("{GOOD}\n").repeat(100)), &ReadContext::default(), &mut |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen, 3);
    assert!(report.stopped);
}

#[test]
fn candidates_of_one_issue_get_different_ids() {
    let (records, _) = plain(format!("{GOOD}\n{GOOD}\n{GOOD2}\n").as_bytes());
    let ids: Vec<String> = records
        .iter()
        .map(|record| match record {
            Record::Candidate(record) => record.candidate.candidate_id.clone(),
            _ => String::new(),
        })
        .collect();
    assert_eq!(ids, ["preds", "preds#2", "preds"]);
}

/// Makes lines as they are asked for and remembers the most that was waiting at once.
struct Endless {
    left: u64,
    line: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.line.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            self.at = 0;
        }
        let count = buffer.len().min(self.line.len() - self.at);
        buffer[..count].copy_from_slice(&self.line[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// 300 MB of JSON lines pass through a reader that may hold 2 MB: each record is handed over before the next line is
/// asked for, so nothing gathers.
#[test]
fn json_lines_are_never_gathered() {
    const LINES: u64 = 300;
    let line = format!("{{\"instance_id\":\"a__b-1\",\"model_patch\":\"{}\"}}\n", "z".repeat(1_000_000));
    let length = line.len() as u64;
    let limits = Limits { line_bytes: 2_000_000, document_bytes: 2_000_000 };
    let ctx = ReadContext { limits, ..ReadContext::named("big.jsonl") };
    let asked = std::cell::Cell::new(0u64);
    let source =
        Counting { inner: Endless { left: LINES, at: line.len(), line: line.into_bytes() }, asked: &asked };
    let mut handed = 0u64;
    let report = read(BufReader::with_capacity(64 << 10, source), &ctx, &mut |record| {
        drop(record);
        handed += 1;
        // One line ahead, for telling lines from a document, and one buffer.
        assert!(
            asked.get() <= (handed + 1) * length + (64 << 10),
            "{} bytes for {handed} records",
            asked.get()
        );
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((report.candidates, report.problems.len()), (LINES, 0));
}

struct Counting<'a> {
    inner: Endless,
    asked: &'a std::cell::Cell<u64>,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.asked.set(self.asked.get() + count as u64);
        Ok(count)
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z \n\u{0}\u{1b}\u{fffd}é\u{1f600}\"\\\\]{0,20}".prop_map(String::from)]
}

fn turn() -> impl Strategy<Value = Turn> {
    let role = prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant), Just(Role::Tool)];
    let call = (proptest::option::of(text()), text(), text()).prop_map(|(id, name, arguments)| ToolCall {
        id,
        name,
        arguments,
    });
    (
        role,
        text(),
        proptest::option::of(text()),
        proptest::collection::vec(call, 0..3),
        proptest::option::of(text()),
    )
        .prop_map(|(role, content, reasoning, tool_calls, tool_call_id)| Turn {
            role,
            content,
            reasoning,
            tool_calls,
            tool_call_id,
        })
}

fn trajectory() -> impl Strategy<Value = Trajectory> {
    let exit = prop_oneof![Just(ExitStatus::Submitted), Just(ExitStatus::Limit), Just(ExitStatus::Unknown)];
    let source = proptest::sample::select(SourceFormat::ALL.to_vec());
    let cost = proptest::option::of(proptest::num::f64::NORMAL | proptest::num::f64::ZERO);
    let some = || proptest::option::of(text());
    (
        "[a-z]{1,5}__[a-z]{1,5}-[0-9]{1,4}",
        some(),
        proptest::collection::vec(turn(), 0..5),
        some(),
        exit,
        some(),
        any::<Option<u32>>(),
        cost,
        source,
    )
        .prop_map(|(instance_id, issue, turns, patch, exit, exit_raw, steps, cost, source)| Trajectory {
            instance_id,
            issue,
            turns,
            patch,
            exit,
            exit_raw,
            steps,
            cost,
            source,
        })
}

/// Documents in the shape of known formats, with values of any type in their fields.
fn shaped() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        text().prop_map(|t| serde_json::to_string(&t).unwrap()),
    ];
    let key = proptest::sample::select(KEYS.to_vec());
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let object = proptest::collection::vec((key.clone(), inner.clone()), 0..6).prop_map(|fields| {
            let fields: Vec<String> =
                fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", fields.join(","))
        });
        let list = proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![3 => object, 1 => list]
    })
}

const KEYS: &[&str] = &[
    "instance_id",
    "candidate_id",
    "patch",
    "model_patch",
    "trajectory",
    "history",
    "info",
    "messages",
    "role",
    "content",
    "attempts",
    "test_result",
    "git_patch",
    "trajectory_steps",
    "action",
    "observation",
    "args",
    "kind",
    "patches",
    "diffs",
    "success_id",
    "regressions",
    "resolved",
    "resolved_ids",
    "tests_status",
    "agent_steps",
    "tool_calls",
    "function",
    "arguments",
    "source",
    "exit",
    "turns",
    "ds",
    "instance",
    "submission",
    "exit_status",
    "best_attempt_idx",
    "passed",
    "results",
    "context",
    "regression",
    "reproduction",
    "normalized_patch",
    "problem_statement",
    "replay_config",
    "report",
    "eval_outcomes",
    "llm_response",
    "llm_message",
    "tool_call",
    "generated_patch",
    "text",
    "id",
    "reward",
    "event_type",
    "timestamp",
    "session_id",
    "git_diff",
    "diff_text",
    "conversations",
    "chosen",
    "rejected",
    "from",
    "value",
    "org",
    "repo",
    "number",
    "fix_patch",
    "valid",
    "resolved_issues",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What is written is read back the same, through serde and through the native reader.
    #[test]
    fn trajectories_round_trip(trajectory in trajectory(), id in "[ -~]{1,12}") {
        let text = serde_json::to_string(&trajectory).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Trajectory>(&text).unwrap(), &trajectory);
        let candidate = Candidate { candidate_id: id, trajectory };
        let text = serde_json::to_vec(&candidate).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Candidate>(&text).unwrap(), &candidate);
        let (records, report) = plain(&text);
        prop_assert_eq!(report.problems, vec![]);
        match records.as_slice() {
            [Record::Candidate(record)] => {
                prop_assert_eq!(&record.candidate, &candidate);
                prop_assert_eq!(&record.outcome, &None);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = plain(&bytes);
    }

    #[test]
    fn no_shape_panics_in_any_format(text in shaped(), format in proptest::sample::select(SourceFormat::ALL.to_vec())) {
        for format in [None, Some(format)] {
            let ctx = ReadContext { format, ..ReadContext::named("x.jsonl") };
            let _ = read_bytes(text.as_bytes(), &ctx);
            if let Ok(value) = parse_json(text.as_bytes()) {
                let _ = read_value(value, &ctx, &mut |_| ControlFlow::Continue(()));
            }
        }
    }

    /// A fixture with any bytes damaged is read or reported, and what is read is free of labels.
    #[test]
    fn no_damage_panics(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), by in proptest::collection::vec(any::<u8>(), 0..4)) {
        let files = fixtures();
        let (name, bytes) = which.get(&files);
        let mut bytes = bytes.clone();
        let at = at.index(bytes.len());
        let end = (at + by.len()).min(bytes.len());
        bytes.splice(at..end, by);
        let _ = read_bytes(&bytes, &ReadContext::named(name.clone()));
    }
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_reader_that_fails_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
        }
    }
    impl BufRead for Broken {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied))
        }
        fn consume(&mut self, _: usize) {}
    }
    let result = read(Broken, &ReadContext::named("f"), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(ReadError::Io { file, .. }) if file == "f"));
}

//! Reads the shared data set, where it is at hand: every trajectory parses, and agrees with its pool row.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests; a skipped test says so")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use common::formats::{CandidateRecord, ReadContext, Record, decompress, read};
use common::{Role, SourceFormat};
use serde::de::IgnoredAny;

fn data() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !found.join("trajectories.tar.xz").exists() {
        eprintln!("skipped: the shared data set is not here");
        return None;
    }
    Some(found)
}

fn candidates(bytes: impl Read, name: &str) -> Vec<CandidateRecord> {
    let mut found = Vec::new();
    let ctx = ReadContext { strict: true, ..ReadContext::named(name) };
    read(BufReader::new(bytes), &ctx, &mut |record| {
        if let Record::Candidate(record) = record {
            found.push(*record);
        }
        ControlFlow::Continue(())
    })
    .expect("the data set is read without a problem");
    found
}

fn pools(data: &Path) -> Vec<(String, CandidateRecord)> {
    let mut rows = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(data.join("pools")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        rows.extend(candidates(File::open(&file).unwrap(), &name).into_iter().map(|row| (name.clone(), row)));
    }
    rows
}

#[test]
fn every_pool_row_is_a_candidate_with_its_label_apart() {
    let Some(data) = data() else { return };
    let rows = pools(&data);
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (pool, row) in &rows {
        let count = counts.entry(pool).or_default();
        count.0 += 1;
        count.1 += u32::from(row.outcome.as_ref().is_some_and(|outcome| outcome.resolved.is_some()));
        assert_eq!(row.candidate.trajectory.source, SourceFormat::Pool);
    }
    assert_eq!(counts["verified-leaderboard.jsonl.xz"], (16_146, 16_146));
    assert_eq!(counts["verified-top11.jsonl.xz"], (3_247, 3_247));
    assert_eq!(counts["lite-agents.jsonl.xz"], (701, 701));
    assert_eq!(counts["agentless.jsonl.xz"].0, 2_894);
}

#[test]
fn issues_and_test_evidence_are_read() {
    let Some(data) = data() else { return };
    let mut files = vec![data.join("issues.jsonl.xz")];
    files.extend(std::fs::read_dir(data.join("tests")).unwrap().map(|entry| entry.unwrap().path()));
    let (mut issues, mut runs) = (0, 0);
    for file in files {
        let ctx = ReadContext { strict: true, ..ReadContext::named(file.to_string_lossy()) };
        read(BufReader::new(File::open(&file).unwrap()), &ctx, &mut |record| {
            match record {
                Record::Issue { text, .. } => issues += u32::from(!text.is_empty()),
                Record::TestRun { run, .. } => runs += u32::from(!run.suite.is_empty()),
                other => panic!("unexpected: {other:?}"),
            }
            ControlFlow::Continue(())
        })
        .expect("the data set is read without a problem");
    }
    assert_eq!((issues, runs), (473, 18_457));
}

/// What the raw file holds: how many messages, and how many steps where it says.
#[derive(serde::Deserialize)]
struct Raw {
    history: Option<Vec<IgnoredAny>>,
    messages: Option<Vec<IgnoredAny>>,
    trajectory: Option<Vec<IgnoredAny>>,
}

#[test]
fn every_trajectory_parses_and_agrees_with_its_pool_row() {
    let Some(data) = data() else { return };
    let rows: BTreeMap<String, CandidateRecord> =
        pools(&data).into_iter().filter_map(|(_, row)| Some((row.trajectory_path.clone()?, row))).collect();
    let (send, receive) = sync_channel::<(String, Vec<u8>)>(64);
    let receive = Mutex::new(receive);
    let (mut files, mut compared, mut wrong) = (0, 0, Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| check_all(&receive, &rows))).collect();
        let packed = BufReader::new(File::open(data.join("trajectories.tar.xz")).unwrap());
        let mut archive = tar::Archive::new(decompress(packed).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.header().entry_type().is_file() {
                let name = entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                send.send((name, bytes)).unwrap();
            }
        }
        drop(send);
        for worker in workers {
            let done = worker.join().unwrap();
            files += done.0;
            compared += done.1;
            wrong.extend(done.2);
        }
    });
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((files, compared), (1_657, rows.len()));
}

/// A worker: takes files until there are no more. It never panics, so that the reader of the archive cannot wait for
/// workers that are gone.
fn check_all(
    files: &Mutex<Receiver<(String, Vec<u8>)>>,
    rows: &BTreeMap<String, CandidateRecord>,
) -> (usize, usize, Vec<String>) {
    let (mut count, mut compared, mut wrong) = (0, 0, Vec::new());
    loop {
        let next = files.lock().unwrap().recv();
        let Ok((name, bytes)) = next else { return (count, compared, wrong) };
        count += 1;
        compared += usize::from(rows.contains_key(&name));
        match std::panic::catch_unwind(|| check_file(&name, &bytes, rows.get(&name))) {
            Ok(faults) => wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}"))),
            Err(_) => wrong.push(format!("{name}: panicked")),
        }
    }
}

fn check_file(name: &str, bytes: &[u8], row: Option<&CandidateRecord>) -> Vec<String> {
    let found = candidates(Cursor::new(bytes), name);
    let [record] = found.as_slice() else { return vec![format!("{} candidates", found.len())] };
    let run = &record.candidate.trajectory;
    let raw: Raw = serde_json::from_slice(bytes).unwrap();
    let messages = raw.history.or(raw.messages).map_or(0, |messages| messages.len());
    let steps = raw.trajectory.map(|steps| steps.len());
    let silent =
        run.turns.iter().filter(|turn| turn.content.is_empty() && turn.tool_calls.is_empty()).count();
    let mut faults = Vec::new();
    let mut expect = |what: &str, holds: bool| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    expect("has turns", !run.turns.is_empty());
    expect("a turn for each message", messages == 0 || run.turns.len() == messages);
    // A run that never got to act leaves no patch.
    let speaks = run.turns.iter().any(|turn| turn.role == Role::Assistant);
    expect("the agent speaks", speaks || run.patch_text().is_empty());
    expect("few empty turns", messages < 4 || silent * 4 <= run.turns.len());
    expect("steps", steps.is_none_or(|steps| run.steps == Some(steps as u32)));
    if let Some(row) = row {
        let row = &row.candidate.trajectory;
        expect("the row's patch", run.patch_text() == row.patch_text());
        expect("the row's instance", run.instance_id == row.instance_id);
        expect("the row's exit status", row.exit_raw.is_none() || run.exit_raw == row.exit_raw);
        expect("the row's steps", row.steps.is_none() || run.steps == row.steps);
    }
    faults
}

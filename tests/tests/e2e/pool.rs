//! Picking for whole pools.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{patch, run_in};

/// 20 issues: three candidates agree, one differs, one is empty; the last issue has only empty patches.
fn rows(resolved: bool) -> Vec<Value> {
    let mut rows = Vec::new();
    for issue in 0..20 {
        for candidate in 0..5 {
            let text = match candidate {
                _ if issue == 19 => String::new(),
                0..3 => patch("src/x.py", &format!("b = {issue} + 40")),
                3 => patch("src/y.py", "b = None"),
                _ => String::new(),
            };
            rows.push(json!({
                "instance_id": format!("a__b-{issue}"),
                "candidate_id": format!("c{candidate}"),
                "run": format!("agent {candidate}"),
                "patch": text,
                "resolved": resolved == (candidate == 3),
                "exit_status": "submitted",
                "n_steps": 10 + candidate,
            }));
        }
    }
    // Rows of an issue need not be neighbours.
    rows.sort_by_key(|row| row["candidate_id"].as_str().unwrap().to_owned());
    rows
}

fn write(path: &Path, rows: &[Value]) {
    let mut file = std::fs::File::create(path).unwrap();
    for row in rows {
        writeln!(file, "{row}").unwrap();
    }
}

fn picks(folder: &Path, args: &[&str]) -> Vec<Value> {
    let all = [&["select", "--pool", "pool.jsonl", "--picks", "picks.jsonl"], args].concat();
    run_in(folder, &all).ok();
    let text = std::fs::read_to_string(folder.join("picks.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_line_an_issue_with_id_and_probability() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("pool.jsonl"), &rows(true));
    let picks = picks(dir.path(), &[]);
    assert_eq!(picks.len(), 20);
    for pick in &picks {
        let keys: Vec<_> = pick.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["instance_id", "candidate_id", "probability"]);
        if pick["instance_id"] != "a__b-19" {
            assert!(["c0", "c1", "c2"].contains(&pick["candidate_id"].as_str().unwrap()), "{pick}");
        }
        let probability = pick["probability"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&probability), "{pick}");
    }
}

#[test]
fn labels_and_names_of_agents_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("pool.jsonl"), &rows(true));
    let with = picks(dir.path(), &[]);
    let mut flipped = rows(false);
    for row in &mut flipped {
        row["run"] = json!("another");
        row["model"] = json!("another");
        row["label_kind"] = json!("none");
        row["FAIL_TO_PASS"] = json!(["test_secret"]);
    }
    write(&dir.path().join("pool.jsonl"), &flipped);
    assert_eq!(picks(dir.path(), &[]), with);
    for row in &mut flipped {
        row.as_object_mut().unwrap().shift_remove("resolved");
    }
    write(&dir.path().join("pool.jsonl"), &flipped);
    assert_eq!(picks(dir.path(), &[]), with, "a pool without labels");
}

#[test]
fn a_bar_makes_lines_with_null() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("pool.jsonl"), &rows(true));
    let picks = picks(dir.path(), &["--min-confidence", "1"]);
    assert_eq!(picks.len(), 20);
    assert!(picks.iter().all(|pick| pick["candidate_id"].is_null()));
}

#[test]
fn trajectories_are_found_in_an_archive_and_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let chat = |id: &str| {
        json!({
            "trajectory_format": "mini-swe-agent-1.1", "instance_id": "a__b-0",
            "info": {"exit_status": "Submitted", "submission": ""},
            "messages": [
                {"role": "system", "content": "s"}, {"role": "user", "content": id},
                {"role": "assistant", "content": "look", "extra": {"actions": [{"command": "ls"}]}},
                {"role": "user", "content": "a.py"},
            ],
        })
    };
    let mut rows = rows(true);
    let file = std::fs::File::create(dir.path().join("runs.tar")).unwrap();
    let mut archive = tar::Builder::new(file);
    for row in rows.iter_mut().filter(|row| row["instance_id"] == "a__b-0") {
        let path = format!("pool/a__b-0/{}.traj.json", row["candidate_id"].as_str().unwrap());
        let bytes = chat(row["candidate_id"].as_str().unwrap()).to_string().into_bytes();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("backup/{path}"), bytes.as_slice()).unwrap();
        let on_disk = dir.path().join("folder").join(&path);
        std::fs::create_dir_all(on_disk.parent().unwrap()).unwrap();
        std::fs::write(on_disk, &bytes).unwrap();
        row["trajectory"] = json!(path);
    }
    archive.into_inner().unwrap();
    write(&dir.path().join("pool.jsonl"), &rows);
    let from_archive = picks(dir.path(), &["--trajectories", "runs.tar"]);
    assert_eq!(from_archive, picks(dir.path(), &["--trajectories", "folder"]));
    assert_eq!(from_archive.len(), 20);

    std::fs::remove_file(dir.path().join("folder/pool/a__b-0/c0.traj.json")).unwrap();
    let args = ["select", "--pool", "pool.jsonl", "--picks", "p", "--trajectories", "folder"];
    let ran = run_in(dir.path(), &args).ok();
    assert!(ran.err.contains("1 of 5 trajectories"), "{}", ran.err);
}

#[test]
fn eval_and_fit_work_on_a_pool() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("pool.jsonl"), &rows(true));
    let ran = run_in(dir.path(), &["eval", "pool.jsonl", "--folds", "2"]).ok();
    for part in ["instances 20, candidates 100", "hybrid", "majority", "oracle", "gap closed"] {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}", ran.out);
    }
    run_in(dir.path(), &["fit", "pool.jsonl", "-o", "model.json"]).ok();
    let before = picks(dir.path(), &[]);
    let after = picks(dir.path(), &["--model", "model.json"]);
    assert_eq!(before.len(), after.len());
    std::fs::write(dir.path().join("model.json"), "{}").unwrap();
    let bad =
        run_in(dir.path(), &["select", "--pool", "pool.jsonl", "--picks", "p", "--model", "model.json"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("model.json") && bad.err.contains("entropo fit"), "{}", bad.err);
}

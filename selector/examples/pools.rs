//! Fits and measures the ranker on labelled pools, without the command line tool.
//!
//! `cargo run --release -p selector --example pools -- eval POOL.jsonl.xz… [--sample N] [--seeds K]`
//! `cargo run --release -p selector --example pools -- fit MODEL.json POOL.jsonl.xz…`
#![expect(clippy::print_stdout, reason = "an example that prints its figures")]

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use common::{Candidate, Outcome, TestKind, TestRun, TestStatus, Trajectory};
use selector::{
    Evidence, Pool,
    eval::{EvalOptions, LabelledIssue, LabelledPool, evaluate},
    fit,
};
use serde::Deserialize;

type Failure = Box<dyn Error>;

#[derive(Deserialize)]
struct Row {
    instance_id: String,
    candidate_id: String,
    patch: String,
    resolved: Option<bool>,
    n_steps: Option<u32>,
}

#[derive(Deserialize)]
struct TestRow {
    instance_id: String,
    candidate_id: Option<String>,
    kind: TestKind,
    suite: String,
    passed: Vec<String>,
    failed: Vec<String>,
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>, Failure> {
    Ok(BufReader::new(liblzma::read::XzDecoder::new(File::open(path)?)).lines())
}

fn tests(path: &Path) -> Result<HashMap<String, Vec<TestRun>>, Failure> {
    let mut tests: HashMap<String, Vec<TestRun>> = HashMap::new();
    if !path.exists() {
        return Ok(tests);
    }
    for line in lines(path)? {
        let row: TestRow = serde_json::from_str(&line?)?;
        let with = |names: Vec<String>, status| names.into_iter().map(move |name| (name, status));
        let results =
            with(row.passed, TestStatus::Passed).chain(with(row.failed, TestStatus::Failed)).collect();
        let run = TestRun { candidate_id: row.candidate_id, kind: row.kind, suite: row.suite, results };
        tests.entry(row.instance_id).or_default().push(run);
    }
    Ok(tests)
}

fn load(path: &Path) -> Result<LabelledPool, Failure> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut pools: Vec<(Pool, Vec<Outcome>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(path)? {
        let row: Row = serde_json::from_str(&line?)?;
        let at = *places.entry(row.instance_id.clone()).or_insert_with(|| {
            pools.push((Pool { instance_id: row.instance_id.clone(), ..Pool::default() }, Vec::new()));
            pools.len() - 1
        });
        let trajectory = Trajectory { patch: Some(row.patch), steps: row.n_steps, ..Trajectory::default() };
        pools[at].0.candidates.push(Candidate { candidate_id: row.candidate_id.clone(), trajectory });
        pools[at].1.push(Outcome {
            instance_id: row.instance_id,
            candidate_id: Some(row.candidate_id),
            resolved: row.resolved,
            ..Outcome::default()
        });
    }
    let mut tests = tests(&path.join("../../tests").join(&file))?;
    let issues = pools
        .iter()
        .map(|(pool, outcomes)| {
            let tests = tests.remove(&pool.instance_id).unwrap_or_default();
            LabelledIssue::new(pool, Evidence { tests, ..Evidence::default() }, outcomes)
        })
        .collect();
    Ok(LabelledPool { name: file.split('.').next().unwrap_or_default().to_owned(), issues })
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let mut options = EvalOptions::default();
    let mut model = None;
    if command == "fit" {
        model = args.next();
    }
    let mut pools = Vec::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--sample" => options.sample = Some(args.next().unwrap_or_default().parse()?),
            "--seeds" => options.seeds = args.next().unwrap_or_default().parse()?,
            "--folds" => options.folds = args.next().unwrap_or_default().parse()?,
            "--features" => {
                options.fit.features =
                    args.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
            }
            "--more" => {
                let more = args.next().unwrap_or_default();
                options.fit.features.extend(more.split_whitespace().map(str::to_owned));
            }
            "--l2" => options.fit.l2 = args.next().unwrap_or_default().parse()?,
            "--only" => options.policies = vec![args.next().unwrap_or_default().parse()?],
            path => pools.push(load(Path::new(path))?),
        }
    }
    if let Some(path) = model {
        let model = fit(pools.iter().flat_map(|pool| &pool.issues), &options.fit)?;
        std::fs::write(path, model.to_json())?;
    } else {
        println!("{}", evaluate(&pools, &options)?);
    }
    Ok(())
}

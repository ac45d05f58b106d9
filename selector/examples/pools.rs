//! Fits and measures the ranker on labelled pools, without the command line tool.
//!
//! `cargo run --release -p selector --example pools -- eval POOL.jsonl.xz… [--sample N] [--seeds K]`
//! `cargo run --release -p selector --example pools -- fit MODEL.json POOL.jsonl.xz…`
#![expect(clippy::print_stdout, reason = "an example that prints its figures")]

use std::{
    collections::HashMap, error::Error, fs::File, io::BufReader, ops::ControlFlow, path::Path, sync::Arc,
};

use common::{
    Outcome, TestRun,
    formats::{ReadContext, Record, decompress, read},
};
use selector::{
    Evidence, Facts, Pool,
    eval::{EvalOptions, LabelledIssue, LabelledPool, evaluate},
    fit,
};

type Failure = Box<dyn Error>;

/// Where a trajectory belongs: pool, issue, candidate.
type Place = (usize, usize, usize);

#[derive(Default)]
struct Loaded {
    pools: Vec<LabelledPool>,
    trajectories: HashMap<String, Vec<Place>>,
}

fn records(path: &Path, mut sink: impl FnMut(Record)) -> Result<(), Failure> {
    let context = ReadContext::named(path.to_string_lossy());
    let mut each = |record| {
        sink(record);
        ControlFlow::Continue(())
    };
    read(BufReader::new(File::open(path)?), &context, &mut each)?;
    Ok(())
}

fn load(path: &Path, loaded: &mut Loaded) -> Result<(), Failure> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut pools: Vec<(Pool, Vec<Outcome>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let here = loaded.pools.len();
    records(path, |record| {
        let Record::Candidate(row) = record else { return };
        let instance_id = row.candidate.trajectory.instance_id.clone();
        let at = *places.entry(instance_id.clone()).or_insert_with(|| {
            pools.push((Pool { instance_id, ..Pool::default() }, Vec::new()));
            pools.len() - 1
        });
        let (pool, outcomes) = &mut pools[at];
        if let Some(path) = row.trajectory_path {
            loaded.trajectories.entry(path).or_default().push((here, at, pool.candidates.len()));
        }
        outcomes.extend(row.outcome);
        pool.candidates.push(row.candidate);
    })?;
    let mut tests: HashMap<String, Vec<TestRun>> = HashMap::new();
    let beside = path.with_file_name("../tests").join(&file);
    if beside.exists() {
        records(&beside, |record| {
            if let Record::TestRun { instance_id, run } = record {
                tests.entry(instance_id).or_default().push(run);
            }
        })?;
    }
    let issues = pools
        .iter()
        .map(|(pool, outcomes)| {
            let tests = tests.remove(&pool.instance_id).unwrap_or_default();
            LabelledIssue::new(pool, Evidence { tests, ..Evidence::default() }, outcomes)
        })
        .collect();
    loaded.pools.push(LabelledPool { name: file.split('.').next().unwrap_or_default().to_owned(), issues });
    Ok(())
}

fn attach(archive: &Path, loaded: &mut Loaded) -> Result<(), Failure> {
    let mut archive = tar::Archive::new(decompress(BufReader::new(File::open(archive)?))?);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let Some(places) = loaded.trajectories.get(&path) else { continue };
        let mut facts = None;
        let mut each = |record| {
            if let Record::Candidate(row) = record {
                facts.get_or_insert_with(|| Facts::of(&row.candidate.trajectory));
            }
            ControlFlow::Continue(())
        };
        read(BufReader::new(entry), &ReadContext::named(path.clone()), &mut each)?;
        let Some(facts) = facts else { continue };
        for &(pool, issue, candidate) in places {
            let prepared = &mut loaded.pools[pool].issues[issue].pool.candidates[candidate];
            Arc::make_mut(prepared).facts = facts.clone();
        }
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let mut options = EvalOptions::default();
    let mut model = None;
    if command == "fit" {
        model = args.next();
    }
    let mut loaded = Loaded::default();
    let mut archive = None;
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
            "--trajectories" => archive = args.next(),
            path => load(Path::new(path), &mut loaded)?,
        }
    }
    if let Some(archive) = archive {
        attach(Path::new(&archive), &mut loaded)?;
    }
    let pools = loaded.pools;
    if let Some(path) = model {
        let model = fit(pools.iter().flat_map(|pool| &pool.issues), &options.fit)?;
        std::fs::write(path, model.to_json())?;
    } else {
        println!("{}", evaluate(&pools, &options)?);
    }
    Ok(())
}

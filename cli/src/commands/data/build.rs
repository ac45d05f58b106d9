//! `entropo data build`: rows of training data from labelled runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::Candidate;
use serde_json::{Value, json};
use server::ConfigArgs;
use store::Tenant;
use trainer::data::{
    Choice, Mask, Needs, PairRules, RowKind, RunRules, converted, demonstration_row, labelled_row, load_rows,
    pair_row, plan_pairs, plan_runs, row_json, verifier_row,
};

use super::{named, report::Report, sources::Source};
use crate::exit::{BadInput, Usage};
use crate::input::attach;
use crate::input::gather::{self, EvidenceFiles};
use crate::input::load::{Labels, Options};
use crate::input::shared_args::ReadArgs;
use crate::output::{atomic, progress::Progress};
use crate::service::{self, Settings};

/// Help that follows the flags.
pub(super) const EXAMPLES: &str = crate::examples!(
    "  entropo data build run1/ run2/ -o pairs.jsonl\n  \
       entropo data build runs/ --per-issue all --choice hardest --scores scores.jsonl -o pairs.jsonl\n  \
       entropo data build pool.jsonl --trajectories runs.tar.xz --kind verifier -o verifier.jsonl\n  \
       entropo data build --store --database sqlite://entropo-data/entropo.db --kind kto -o kto.jsonl\n  \
       entropo data build --rows llama_factory.json --kind sft -o sft.jsonl --json"
);

/// Flags of `entropo data build`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(super) struct Args {
    /// Files and folders of runs with labels, in any known format
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What to make: pairs, kto, sft or verifier
    #[arg(long, value_name = "KIND", default_value = "pairs", value_parser = named::<RowKind>)]
    kind: RowKind,
    /// Where the rows go, as JSON lines; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Take the labelled runs of the store (see --database)
    #[arg(long)]
    store: bool,
    /// Whose runs of the store
    #[arg(long, value_name = "NAME", default_value = "default")]
    tenant: Tenant,
    /// Files of rows of other trainers, to be written as this kind too; may be repeated
    #[arg(long, value_name = "FILE")]
    rows: Vec<PathBuf>,
    /// Where the trajectories that the rows of a pool name are: a folder, or a tar archive
    #[arg(long, value_name = "PATH")]
    trajectories: Option<PathBuf>,
    /// Texts of issues: rows with instance_id and problem_statement; may be repeated
    #[arg(long, value_name = "FILE")]
    issues: Vec<PathBuf>,
    /// Scores of a verifier, for --choice hardest; may be repeated
    #[arg(long, value_name = "FILE")]
    scores: Vec<PathBuf>,
    /// Rows of one issue (verifier: candidates) at most, or `all`; 1 for pairs and all for other kinds without it
    #[arg(long, value_name = "N", value_parser = limit)]
    per_issue: Option<Limit>,
    /// Which pairs where there are more: even, hardest or diverse
    #[arg(long, value_name = "CHOICE", default_value = "even", value_parser = named::<Choice>)]
    choice: Choice,
    /// Also take runs that a limit of cost, steps, context or time ended
    #[arg(long)]
    unfinished: bool,
    /// Of single runs only those that resolve their issue
    #[arg(long)]
    successes: bool,
    /// For a verifier: also take patches without a conversation
    #[arg(long)]
    patches: bool,
    /// For a verifier: only issues with both outcomes
    #[arg(long)]
    contrast: bool,
    /// Schemas of tools, a JSON list, that every row made of runs gets
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// Also write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// How many rows.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<usize>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "all" => Ok(Limit(None)),
        _ => match text.parse() {
            Ok(0) | Err(_) => Err("expected a number from 1, or `all`".to_owned()),
            Ok(number) => Ok(Limit(Some(number))),
        },
    }
}

/// Plans, writes, reports.
pub(super) fn run(args: &Args) -> Result<()> {
    check(args)?;
    let tools = args.tools.as_deref().map(read_tools).transpose()?;
    let Some(source) = source(args)? else { return Ok(()) };
    let mut report =
        Report { kind: args.kind, output: args.output.display().to_string(), ..Report::default() };
    let plan = source.as_ref().map(|source| plan(args, source, &mut report)).transpose()?.unwrap_or_default();
    let from_rows = rows_of_files(args, &mut report)?;
    report.rows_of_runs = plan.len();
    report.rows = plan.len() + from_rows.len();
    if report.rows == 0 {
        bail!(BadInput(format!("no row can be made\n{}", report.text().trim_end())));
    }
    let progress = Progress::new("writing", report.rows, args.read.quiet);
    let mut hasher = blake3::Hasher::new();
    atomic::write(&args.output, |out| {
        let mut put = |row: &Value| -> Result<()> {
            let line = format!("{row}\n");
            hasher.update(line.as_bytes());
            out.write_all(line.as_bytes())?;
            progress.step();
            Ok(())
        };
        if let Some(source) = &source {
            for planned in &plan {
                put(&row_of_runs(source, planned, tools.as_deref())?)?;
            }
        }
        from_rows.iter().try_for_each(put)
    })?;
    progress.finish();
    report.hash = hasher.finalize().to_hex().to_string();
    let as_json = || serde_json::to_string_pretty(&report).map(|text| text + "\n");
    if let Some(path) = &args.report {
        let text = as_json()?;
        atomic::write(path, |out| Ok(out.write_all(text.as_bytes())?))?;
    }
    let text = if args.json { as_json()? } else { report.text() };
    if args.output == Path::new("-") {
        std::io::stderr().lock().write_all(text.as_bytes())?;
    } else {
        std::io::stdout().lock().write_all(text.as_bytes())?;
    }
    Ok(())
}

/// Flags that do nothing for what was asked are mistakes.
fn check(args: &Args) -> Result<()> {
    let usage = |text: &str| -> Result<()> { bail!(Usage(text.to_owned())) };
    if args.paths.is_empty() && !args.store && args.rows.is_empty() {
        return usage("give files or folders of runs, --store, or --rows FILE");
    }
    if args.store && !args.paths.is_empty() {
        return usage("give paths or --store, not both; `entropo ingest` puts files into the store");
    }
    if args.choice != Choice::Even && args.kind != RowKind::Pairs {
        return usage("--choice is for pairs");
    }
    if args.choice == Choice::Hardest && args.scores.is_empty() {
        return usage("--choice hardest needs --scores FILE");
    }
    if args.store && !(args.scores.is_empty() && args.issues.is_empty() && args.trajectories.is_none()) {
        return usage("--scores, --issues and --trajectories go with files, not with --store");
    }
    if (args.patches || args.contrast) && args.kind != RowKind::Verifier {
        return usage("--patches and --contrast are for --kind verifier");
    }
    if args.successes && matches!(args.kind, RowKind::Pairs | RowKind::Verifier) {
        return usage("--successes is for --kind sft and --kind kto");
    }
    Ok(())
}

fn read_tools(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        BadInput(format!("{}: not a JSON list of tool schemas: {error}", path.display())).into()
    })
}

/// The runs; none of them where only rows are given. `None` when the configuration was only to be printed.
#[expect(clippy::option_option, reason = "to stop, and to have no runs, are two things")]
fn source(args: &Args) -> Result<Option<Option<Source>>> {
    if args.store {
        let Some(settings) = service::settings(&args.config, &Settings::default())? else { return Ok(None) };
        return Source::of_store(&settings, &args.tenant).map(|source| Some(Some(source)));
    }
    if args.paths.is_empty() {
        return Ok(Some(None));
    }
    let options = Options { whole: true, labels: Labels::Resolved, ..args.read.options() };
    let evidence = EvidenceFiles { scores: &args.scores, issues: &args.issues, ..EvidenceFiles::default() };
    let issues = gather::from_paths(&args.paths, &evidence, options, args.read.quiet)?.issues;
    let mut pools = [issues];
    if let Some(trajectories) = &args.trajectories {
        let attached = attach::attach(&mut pools, trajectories)?;
        let progress = Progress::new("trajectories", 0, args.read.quiet);
        if attached.absent > 0 {
            let (absent, all) = (attached.absent, attached.absent + attached.found);
            progress
                .note(&format!("note: {absent} of {all} trajectories are not in {}", trajectories.display()));
        }
        progress.finish();
    }
    let [issues] = pools;
    Ok(Some(Some(Source::of_files(issues))))
}

/// A row to be made.
enum Planned {
    Pair(usize, usize),
    Labelled(usize),
    Demonstration(usize),
    Candidates(Vec<usize>),
}

fn plan(args: &Args, source: &Source, report: &mut Report) -> Result<Vec<Planned>> {
    let runs = &source.runs;
    report.runs = runs.len();
    let issues = |picked: &mut dyn Iterator<Item = usize>| {
        picked.map(|run| runs[run].instance_id.as_str()).collect::<BTreeSet<_>>().len()
    };
    report.issues = issues(&mut (0..runs.len()));
    let mut used = BTreeSet::new();
    let planned: Vec<Planned> = if args.kind == RowKind::Pairs {
        let per_issue = args.per_issue.map_or(1, |limit| limit.0.unwrap_or(usize::MAX));
        let rules = PairRules { per_issue, choice: args.choice, unfinished: args.unfinished };
        report.rules = json!({"pairs": {"per_issue": args.per_issue.map_or(json!(1), |limit| json!(limit.0)),
            "choice": rules.choice, "unfinished": rules.unfinished}});
        let digests = if args.choice == Choice::Diverse { source.digests()? } else { Vec::new() };
        let distance = |a: usize, b: usize| 1.0 - patch::similarity(&digests[a], &digests[b]).mean();
        let plan = plan_pairs(runs, rules, distance);
        report.dropped = plan.dropped;
        used.extend(plan.rows.iter().flat_map(|pair| [pair.0, pair.1]));
        plan.rows.into_iter().map(|(chosen, rejected)| Planned::Pair(chosen, rejected)).collect()
    } else {
        let needs = match args.kind {
            _ if args.successes => Needs::Success,
            RowKind::Sft => Needs::Nothing,
            _ => Needs::Label,
        };
        let per_issue = args.per_issue.and_then(|limit| limit.0);
        let rules = RunRules { per_issue, needs, unfinished: args.unfinished, patches: args.patches };
        report.rules = json!({"runs": rules, "contrast": args.contrast});
        let plan = plan_runs(runs, rules);
        report.dropped = plan.dropped;
        let rows = match args.kind {
            RowKind::Verifier => by_issue(source, &plan.rows, args.contrast, report),
            RowKind::Kto => plan.rows.into_iter().map(Planned::Labelled).collect(),
            _ => plan.rows.into_iter().map(Planned::Demonstration).collect(),
        };
        for row in &rows {
            match row {
                Planned::Candidates(runs) => used.extend(runs.iter().copied()),
                Planned::Labelled(run) | Planned::Demonstration(run) => drop(used.insert(*run)),
                Planned::Pair(..) => {}
            }
        }
        rows
    };
    report.runs_used = used.len();
    report.issues_with_rows = issues(&mut used.into_iter());
    Ok(planned)
}

/// The candidates of every issue, by content address.
fn by_issue(source: &Source, runs: &[usize], contrast: bool, report: &mut Report) -> Vec<Planned> {
    let mut issues: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &run in runs {
        issues.entry(&source.runs[run].instance_id).or_default().push(run);
    }
    let mut rows = Vec::new();
    for mut candidates in issues.into_values() {
        candidates.sort_by_key(|&run| &source.runs[run].id);
        let first = source.runs[candidates[0]].resolved;
        if contrast && candidates.iter().all(|&run| source.runs[run].resolved == first) {
            report.without_contrast += candidates.len();
        } else {
            rows.push(Planned::Candidates(candidates));
        }
    }
    rows
}

fn row_of_runs(source: &Source, planned: &Planned, tools: Option<&[Value]>) -> Result<Value> {
    let label = |run: usize| source.runs[run].resolved.unwrap_or(false);
    Ok(match planned {
        Planned::Pair(chosen, rejected) => {
            pair_row(&source.candidate(*chosen)?, &source.candidate(*rejected)?, tools)
        }
        Planned::Labelled(run) => labelled_row(&source.candidate(*run)?, label(*run), tools),
        Planned::Demonstration(run) => demonstration_row(&source.candidate(*run)?, tools),
        Planned::Candidates(runs) => {
            let instance_id = &source.runs[runs[0]].instance_id;
            let candidates = runs
                .iter()
                .map(|&run| Ok((source.candidate(run)?, label(run))))
                .collect::<Result<Vec<(Candidate, bool)>>>()?;
            verifier_row(instance_id, &source.issue(instance_id)?, &candidates)
        }
    })
}

/// Rows made of rows.
fn rows_of_files(args: &Args, report: &mut Report) -> Result<Vec<Value>> {
    let mut made = Vec::new();
    for path in &args.rows {
        let name = path.display().to_string();
        let loaded = load_rows(path, Mask::Policy)?;
        super::inspect::refuse(&name, &loaded.refused, args.read.strict)?;
        report.lines_refused += loaded.refused.len();
        report.rows_read += loaded.rows.len();
        // The name alone: a path says more of a machine than of the data.
        let file = path.file_name().map_or(name, |file| file.to_string_lossy().into_owned());
        for row in loaded.rows {
            let rows = converted(row, args.kind);
            report.rows_of_other_kinds += usize::from(rows.is_empty());
            made.extend(rows.iter().map(|row| row_json(row, &file)));
        }
        report.files_of_rows.push((file, loaded.hash));
    }
    report.rows_of_rows = made.len();
    Ok(made)
}

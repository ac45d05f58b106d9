//! `entropo demo`: the whole system on the bundled example set.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use selector::Policy;
use server::ConfigArgs;
use server::config::Log;
use verifier::Service;

use crate::examples;
use crate::input::gather::{self, EvidenceFiles};
use crate::input::load::Options;
use crate::output::table::{self, Facts, Look};
use crate::remote::{Client, SelectionRequest};
use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo demo                       start on SQLite, pick, print, and go on serving at http://127.0.0.1:8080\n  \
       entropo demo --bind 127.0.0.1:9000 on another port\n  \
       entropo demo --exit                stop after printing"
);

/// How long the service may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of `entropo demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stop after printing instead of going on serving
    #[arg(long)]
    pub exit: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub config: ConfigArgs,
}

/// Starts, picks, prints, serves.
pub fn run(args: &Args) -> Result<()> {
    // The tables are what the person came for; requests are logged only if asked for.
    let quiet = Settings { log: Log { level: "warn".to_owned(), ..Log::default() }, ..Settings::default() };
    let Some(settings) = service::settings(&args.config, &quiet)? else { return Ok(()) };
    service::runtime()?.block_on(async {
        let stop = service::until_asked();
        let running = service::start_both(&settings, stop.clone()).await?;
        let url = service::url(running.selector.addr);
        let token = settings.auth.admin_token.expose();
        let client = Client::new(&url, (!token.is_empty()).then_some(token))?;
        client.wait_until_ready(PATIENCE).await?;
        if let Some(verifier) = &running.verifier {
            warm(&verifier.service).await;
        }
        pick(&client).await?;
        let database = settings.database.redacted();
        let mut out = std::io::stdout();
        if args.exit {
            stop.cancel();
        } else {
            writeln!(out, "The service goes on at {url} (page at /, API at /docs), storing in {database}.")?;
            writeln!(out, "Stop it with Ctrl-C; `entropo up` starts it again.")?;
        }
        running.wait().await
    })
}

/// Waits until the active model scores, so that the tables have its word; without it they say what is missing.
async fn warm(verifier: &Service) {
    let started = Instant::now();
    let works = || verifier.registry.find(None).is_ok_and(|model| model.is_working());
    while !works() && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends the example set, issue by issue, and prints what comes back.
async fn pick(client: &Client) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    examples::write(folder.path())?;
    let options = Options { whole: true, ..Options::default() };
    let paths = [folder.path().to_owned()];
    let mut issues = gather::from_paths(&paths, &EvidenceFiles::default(), options, true)?.issues;
    let look = Look::of_stdout();
    let mut out = std::io::stdout();
    for issue in issues.values_mut() {
        let request = SelectionRequest::of(issue, Policy::default(), None);
        let reply = client.select(&request).await?;
        let facts = |id: &str| Facts { steps: issue.details.get(id).and_then(|details| details.steps) };
        writeln!(out, "{}", table::selection(&reply.selection, facts, look))?;
    }
    Ok(())
}

//! `entropo up`: every service in one process.

use anyhow::Result;
use server::{ConfigArgs, telemetry};

use crate::output::progress::say;
use crate::service::{self, Settings};

/// Help that follows the flags.
pub const EXAMPLES: &str = crate::examples!(
    "  entropo up                                             on SQLite in ./entropo-data, at http://127.0.0.1:8080\n  \
       entropo up --database postgres://me@localhost/entropo\n  \
       entropo up --bind 0.0.0.0:8080                         needs a token: entropo token create --name me\n  \
       entropo up --set up.verifier=off                       without the verifier at port 8082\n  \
       entropo up --set up.trainer=off                        without the trainer at port 8081\n  \
       entropo up --print-config                              what would count, and where it comes from"
);

/// Flags of `entropo up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub config: ConfigArgs,
}

/// Runs until the process is asked to end.
pub fn run(args: &Args) -> Result<()> {
    let Some(settings) = service::settings(&args.config, &Settings::default())? else { return Ok(()) };
    service::run(async {
        // One process, one name: the services in it are told apart by their routes.
        telemetry::init(&settings.log, &settings.telemetry, "entropo")?;
        let stop = service::until_asked();
        let running = service::start_both(&settings, stop.clone()).await?;
        let trainer = service::start_trainer_beside(&settings, running.verifier.as_ref(), stop.clone()).await;
        let trainer = match trainer {
            Ok(trainer) => trainer,
            Err(error) => {
                stop.cancel();
                running.wait().await?;
                return Err(error);
            }
        };
        if let Some(verifier) = &running.verifier {
            let model = &verifier.service.registry.table().aliases.active;
            say(&format!("verifier at {} with the model `{model}`", service::url(verifier.addr)));
        }
        if let Some(trainer) = &trainer {
            say(&format!("trainer at {}", service::url(trainer.addr)));
        }
        say(&format!(
            "selector at {} on {}; Ctrl-C stops it",
            service::url(running.selector.addr),
            settings.database.redacted()
        ));
        let ended = running.wait().await;
        stop.cancel();
        if let Some(trainer) = trainer {
            trainer.wait().await?;
        }
        ended
    })
}

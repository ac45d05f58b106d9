//! Trains by a configuration and prints what happens as JSON lines: what `benches/trainer_speed.py` measures.
//!
//! `cargo run --release -p trainer --example train -- RUN.toml OUT`

use std::{io::Write, path::Path, process::ExitCode, time::Instant};

use trainer::{
    config::RunConfig,
    engine::Native,
    run::{Engine, Event, Observer},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Print(Instant);

impl Observer for Print {
    fn event(&self, event: &Event) {
        let line = serde_json::json!({ "seconds": self.0.elapsed().as_secs_f64(), "event": event });
        // Nobody reads it any more: then there is nothing to tell.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(config), Some(out)) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(std::io::stderr(), "usage: train RUN.toml OUT");
        return ExitCode::from(2);
    };
    let config = match RunConfig::load(Path::new(&config), &[]) {
        Ok(config) => config,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            return ExitCode::from(2);
        }
    };
    match Native.train(&config, Path::new(&out), &Print(Instant::now())) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

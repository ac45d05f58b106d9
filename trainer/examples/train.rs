//! Trains by a configuration and prints what happens as JSON lines: what `benches/trainer_speed.py` measures.
//!
//! `cargo run --release -p trainer --example train -- RUN.toml OUT`, or `-- --peak` for the rate of a large matrix product
//! on this machine, in operations a second.

use std::{io::Write, path::Path, process::ExitCode, time::Instant};

use burn::tensor::Tensor;
use model::{Device, meter, ops};
use serde_json::json;
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
        let spent: serde_json::Map<_, _> = meter::totals()
            .into_iter()
            .map(|total| (total.name.to_owned(), json!([total.time.as_secs_f64(), total.operations])))
            .collect();
        let line = json!({ "seconds": self.0.elapsed().as_secs_f64(), "spent": spent, "event": event });
        // Nobody reads it any more: then there is nothing to tell.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// The best rate of several products of large matrices, by the same kernels.
fn peak() -> f64 {
    const SIZE: usize = 2048;
    let matrix = || Tensor::<2>::ones([SIZE, SIZE], &Device::flex());
    let (x, weight) = (matrix(), matrix());
    let rate = |_| {
        let start = Instant::now();
        drop(ops::linear(x.clone(), weight.clone(), None));
        2.0 * (SIZE as f64).powi(3) / start.elapsed().as_secs_f64()
    };
    (0..20).map(rate).fold(0.0, f64::max)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if std::env::args().any(|argument| argument == "--peak") {
        let _ = writeln!(std::io::stdout(), "{}", peak());
        return ExitCode::SUCCESS;
    }
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

//! What loading a model costs in time and memory.
//!
//! ```text
//! cargo run --release -p model --example load -- make DIR f32|f16|bf16    writes a random model of 125 M parameters
//! cargo run --release -p model --example load -- DIR [TOKENS]             loads one, and reads so many tokens
//! ```
#![expect(clippy::print_stdout, reason = "an example's output")]

use std::{env, error::Error, fs, path::Path, sync::Arc, time::Instant};

use model::{Config, Dtype, LanguageModel, Layout, LoadOptions, SaveOptions, device};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", dir, dtype] => make(Path::new(dir), dtype),
        [dir] => load(Path::new(dir), 0),
        [dir, tokens] => load(Path::new(dir), tokens.parse()?),
        _ => Err("use: load make DIR f32|f16|bf16, or load DIR [TOKENS]".into()),
    }
}

fn make(dir: &Path, dtype: &str) -> Result<(), Box<dyn Error>> {
    let config = json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 32_000, "hidden_size": 768,
        "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 2,
        "max_position_embeddings": 8192, "tie_word_embeddings": true,
    });
    let dtype = match dtype {
        "f32" => Dtype::F32,
        "f16" => Dtype::F16,
        "bf16" => Dtype::Bf16,
        _ => return Err(format!("{dtype} is not f32, f16 or bf16").into()),
    };
    let model = LanguageModel::init(Config::parse(&config.to_string())?, 0, &device::cpu());
    model.save(dir, &SaveOptions { dtype: Some(dtype), ..SaveOptions::default() })?;
    println!("{} parameters", model.parameters());
    Ok(())
}

fn load(dir: &Path, tokens: usize) -> Result<(), Box<dyn Error>> {
    let before = memory()?;
    let start = Instant::now();
    let model = LanguageModel::load(dir, &device::cpu(), &LoadOptions::default())?;
    println!("loaded {} parameters in {:.3} s", model.parameters(), start.elapsed().as_secs_f64());
    println!("  before {before}\n  after  {}", memory()?);
    if tokens > 0 {
        let ids: Vec<u32> =
            (0..tokens as u32).map(|id| id * 7919 % model.config().vocabulary as u32).collect();
        let layout = Arc::new(Layout::packed(&[tokens])?);
        let start = Instant::now();
        let hidden = model.hidden(&ids, &layout)?;
        let checksum = hidden.abs().mean().into_scalar::<f32>();
        println!("read {tokens} tokens in {:.3} s (mean {checksum})", start.elapsed().as_secs_f64());
        println!("  after  {}", memory()?);
    }
    Ok(())
}

/// Resident memory of this process, in MiB: at its highest, now, and how much of it is the process's own.
fn memory() -> Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    let mebibytes = |name| field(name).map_or_else(|| "?".to_owned(), |kib| format!("{:.0}", kib / 1024.0));
    Ok(format!(
        "highest {} MiB, now {} MiB, of it anonymous {} MiB and of files {} MiB",
        mebibytes("VmHWM"),
        mebibytes("VmRSS"),
        mebibytes("RssAnon"),
        mebibytes("RssFile")
    ))
}

//! How fast files are read: `cargo run --release -p common --example read_speed -- FILE…`.
//!
//! Prints for each file the size after decompression, the time of decompression alone and of reading, and megabytes
//! (10^6 bytes) a second of reading from memory. Each is the best of three.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use common::formats::{ReadContext, decompress, read};

const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: read_speed FILE…");
    }
    println!("{:>9} {:>9} {:>9} {:>9} {:>8}  file", "MB", "unpack s", "read s", "MB/s", "records");
    for name in &files {
        measure(name)?;
    }
    Ok(())
}

fn measure(name: &str) -> Result<(), Box<dyn Error>> {
    let (mut unpack, mut parse) = (Duration::MAX, Duration::MAX);
    let (mut bytes, mut records) = (0, 0u64);
    for _ in 0..ROUNDS {
        let mut plain = Vec::new();
        let start = Instant::now();
        decompress(BufReader::new(File::open(name)?))?.read_to_end(&mut plain)?;
        unpack = unpack.min(start.elapsed());
        let start = Instant::now();
        records = 0;
        read(plain.as_slice(), &ReadContext::named(name), &mut |_| {
            records += 1;
            ControlFlow::Continue(())
        })?;
        parse = parse.min(start.elapsed());
        bytes = plain.len();
    }
    let megabytes = bytes as f64 / 1e6;
    let rate = megabytes / parse.as_secs_f64();
    let (unpack, parse) = (unpack.as_secs_f64(), parse.as_secs_f64());
    println!("{megabytes:9.1} {unpack:9.2} {parse:9.2} {rate:9.0} {records:8}  {name}");
    Ok(())
}

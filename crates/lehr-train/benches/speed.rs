//! Trains a model on given tokens and prints losses, times and memory as JSON; also measures the machine's sgemm peak.
//!
//! `tools/bench_train.py` runs it beside PyTorch on the same weights and tokens. By hand:
//! `cargo bench -p lehr-train --bench speed -- peak 2` or `… -- train request.json`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a bench prints and may panic"
)]

use lehr_train::engine::matmul::{Into, View, ViewMut, matmul};
use lehr_train::{Batches, CpuTrainer, RunConfig, TrainError, Trainer};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What to train on what.
#[derive(Deserialize)]
struct Request {
    config: RunConfig,
    /// Little-endian u32, updates × rows × (T + 1).
    tokens: PathBuf,
    lanes: usize,
    lr: f64,
    updates: usize,
    /// Where the initial weights are written, for the other side.
    initial: Option<PathBuf>,
}

/// Tokens held in memory, batch after batch.
struct Held {
    rows: usize,
    context: usize,
    vocabulary: u32,
    tokens: Vec<u32>,
}

impl Batches for Held {
    fn rows(&self) -> usize {
        self.rows
    }
    fn context(&self) -> usize {
        self.context
    }
    fn vocabulary(&self) -> u32 {
        self.vocabulary
    }
    fn training(&self, update: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        let held = self.tokens.len() / tokens.len();
        let at = (update as usize - 1) % held * tokens.len();
        tokens.copy_from_slice(&self.tokens[at..at + tokens.len()]);
        Ok(())
    }
    fn validation_len(&self) -> u64 {
        0
    }
    fn validation(&self, _: u64, _: &mut [u32]) -> Result<(), TrainError> {
        Ok(())
    }
}

/// Largest resident size so far, MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn train(file: &str) {
    let request: Request = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let bytes = std::fs::read(&request.tokens).unwrap();
    let tokens = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
    let held = Held {
        rows: request.config.batch as usize,
        context: request.config.model.context as usize,
        vocabulary: request.config.model.vocabulary,
        tokens,
    };
    let before = memory();
    let mut trainer = CpuTrainer::new(&request.config, Arc::new(held), request.lanes).unwrap();
    if let Some(file) = &request.initial {
        trainer.save(file).unwrap();
    }
    let (mut losses, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..request.updates {
        let start = Instant::now();
        losses.push(trainer.update(request.lr).unwrap().loss);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mib = memory() - before;
    println!("{}", serde_json::json!({ "losses": losses, "seconds": seconds, "mib": mib }));
}

/// Largest of several measured rates of large products on `threads` threads, GFLOP/s.
fn peak(threads: usize) -> f64 {
    let n = 1024;
    let one = || {
        let (a, b, mut c) = (vec![1.0f32; n * n], vec![1.0f32; n * n], vec![0.0f32; n * n]);
        let start = Instant::now();
        for _ in 0..4 {
            matmul(ViewMut::new(&mut c, n, n), Into::Replace, 1.0, View::new(&a, n, n), View::new(&b, n, n));
        }
        8.0 * (n as f64).powi(3) / start.elapsed().as_secs_f64() / 1e9
    };
    let round = || {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum::<f64>()
        })
    };
    (0..8).map(|_| round()).fold(0.0, f64::max)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["train", file] => train(file),
        ["peak", threads] => println!("{}", serde_json::json!({ "gflops": peak(threads.parse().unwrap()) })),
        _ => eprintln!("usage: speed peak THREADS | speed train REQUEST.json"),
    }
}

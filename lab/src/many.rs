//! Very many long runs, to measure the memory that reading and fitting them takes.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes `runs` CSV files of `points` rows each (`step,lr,loss`) into a directory: one run a file, a row every update.
///
/// The runs differ in peak rate, annealing ratio and noise. Their losses follow the noise-relaxation law with one size and
/// no batch, coarsely: what matters is their number.
pub fn write(folder: &Path, runs: u64, points: u64) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut state = 20_260_102_u64;
    let mut noise = || {
        // A linear congruential generator is random enough for noise that only has to be there.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5
    };
    let mut line = String::new();
    for run in 0..runs {
        let peak = [2.5e-4, 5e-4, 1e-3, 2e-3][(run % 4) as usize];
        let ratio = [0.0, 0.1, 0.2, 0.4, 0.7][(run / 4 % 5) as usize];
        let (warmup, anneal) = (points / 50, (ratio * points as f64).round() as u64);
        let path = folder.join(format!("run-{run:05}.csv"));
        let mut file = BufWriter::with_capacity(1 << 18, std::fs::File::create(path)?);
        file.write_all(b"step,lr,loss\n")?;
        let (mut s, mut y) = (0.0_f64, 0.0_f64);
        let run_noise = 1e-3 * noise();
        let scale = 1e4 / points as f64;
        for t in 1..=points {
            let rate = if t <= warmup {
                peak * t as f64 / warmup as f64
            } else if anneal > 0 && t > points - anneal {
                peak * (points - t) as f64 / anneal as f64
            } else {
                peak
            };
            let e = rate * 1e3;
            s += e / (1.0 + e / 0.8) * 1e-3 * scale;
            y += (e.sqrt() - y) * (7.0 * e / (peak * 1e3) * 1e-3 * scale).min(1.0);
            let loss = 2.9 + 0.6 / (s + 0.1).sqrt() + 0.15 * y + run_noise + 2e-3 * noise();
            line.clear();
            // Writing to a string cannot fail.
            let _ = writeln!(line, "{t},{rate:.6e},{loss:.5}");
            file.write_all(line.as_bytes())?;
        }
        file.flush()?;
    }
    println!("{runs} runs of {points} points in {}", folder.display());
    Ok(())
}

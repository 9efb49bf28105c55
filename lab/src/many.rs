//! Very many runs, to measure the time and the memory that reading and fitting them takes.

use crate::scaling::{Line, draw, duration};
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

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

/// Numbers of runs that are measured.
const RUNS: [u64; 3] = [100, 1_000, 5_000];
/// Points of each.
const POINTS: u64 = 2_000;
/// What is asked of them, with the words of the command; `{runs}` is their folder.
const QUESTIONS: [(&str, &[&str]); 4] = [
    ("inspect", &["inspect", "{runs}", "--json"]),
    ("fit, one start", &["fit", "{runs}", "--starts", "1", "--accept-caveats", "--json"]),
    (
        "compare, two laws, one start",
        &[
            "compare",
            "{runs}",
            "--train",
            "run-*0",
            "--laws",
            "noise-relaxation,exponential-memory",
            "--starts",
            "1",
            "--json",
        ],
    ),
    ("transfer", &["transfer", "{runs}", "--json"]),
];

/// What one command took.
struct Taken {
    /// Processor time, both threads together, seconds.
    processor: f64,
    /// Largest resident set, MiB.
    memory: f64,
}

/// Runs the command and watches it: processor time and memory as the kernel counts them, which other work on the machine does
/// not change much.
fn watched(lehr: &Path, words: &[String]) -> io::Result<Taken> {
    let mut child = Command::new(lehr)
        .args(words)
        .env("RAYON_NUM_THREADS", "2")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let place = format!("/proc/{}", child.id());
    let mut taken = Taken { processor: 0.0, memory: 0.0 };
    let status = loop {
        // The process may end between two looks: what was read last counts.
        if let Ok(text) = std::fs::read_to_string(format!("{place}/stat"))
            && let Some((_, rest)) = text.rsplit_once(')')
        {
            let ticks: f64 =
                rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
            taken.processor = taken.processor.max(ticks / 100.0);
        }
        if let Ok(text) = std::fs::read_to_string(format!("{place}/status")) {
            let kib = text
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
            taken.memory = taken.memory.max(kib.unwrap_or(0.0) / 1024.0);
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    match status.code() {
        Some(0 | 3) => Ok(taken),
        _ => Err(io::Error::other(format!("lehr {} ended with {status}", words.join(" ")))),
    }
}

/// Measures every question at 100, 1,000 and 5,000 runs of 2,000 points, prints tables and writes a picture.
///
/// The exponent is that of a power of the number of runs between the last two columns: 1 is linear.
pub fn measure(lehr: &Path, picture: &Path) -> io::Result<()> {
    let place = std::env::temp_dir().join(format!("lehr-many-{}", std::process::id()));
    let mut lines: Vec<(Line, Vec<f64>)> = QUESTIONS
        .iter()
        .map(|(name, _)| (Line { name: (*name).to_owned(), points: Vec::new() }, Vec::new()))
        .collect();
    for runs in RUNS {
        let folder = place.join(runs.to_string());
        write(&folder, runs, POINTS)?;
        for ((_, words), (line, memory)) in QUESTIONS.iter().zip(&mut lines) {
            let words: Vec<String> =
                words.iter().map(|word| word.replace("{runs}", &folder.to_string_lossy())).collect();
            let taken = watched(lehr, &words)?;
            line.points.push((runs as f64, taken.processor));
            memory.push(taken.memory);
        }
        std::fs::remove_dir_all(&folder)?;
    }
    drop(std::fs::remove_dir(&place));
    println!(
        "\n| processor time, memory | {} | exponent |",
        RUNS.map(|runs| format!("{runs} runs")).join(" | ")
    );
    println!("|---|{}---|", "---|".repeat(RUNS.len()));
    for (line, memory) in &lines {
        let cells: Vec<String> = line
            .points
            .iter()
            .zip(memory)
            .map(|((_, seconds), mib)| format!("{}, {mib:.0} MiB", duration(*seconds)))
            .collect();
        let [.., (x0, y0), (x1, y1)] = line.points[..] else { continue };
        println!("| {} | {} | {:.2} |", line.name, cells.join(" | "), (y1 / y0).ln() / (x1 / x0).ln());
    }
    let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
    std::fs::write(picture, draw(&[("processor time of a command", "runs of 2,000 points", lines)]))?;
    println!("\nwrote {}", picture.display());
    Ok(())
}

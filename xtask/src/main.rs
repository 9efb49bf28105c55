//! Development tasks: `cargo xtask TASK`.

mod check;
mod python;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask TASK

tasks:
  test                       run every check: format, lints, tests, documentation, parity with Python
  browser                    scripts linted; the report and the explorer in headless Chromium (needs Node; installs Chromium where there is none)
  parity                     recompute fixtures/reference/parity.json with NumPy and compare
  parity --write             write it
  bench-scipy                speed against SciPy and NumPy on the same objective, data and start
  bench-train ARGUMENTS      training speed against PyTorch on the same weights and tokens (docs/results/training-speed.md)
  bench-import [--mb N] [--files N]
                             speed of the log readers against pandas, polars and TensorBoard (docs/results/import.md)
  bench-scaling              cost against updates, runs and starts; writes docs/results/speed.svg
  bench-many LEHR            time and memory of a command (its path) against the number of runs; writes docs/results/many-runs.svg
  law-pictures               draw the pictures of docs/laws/noise-relaxation.md into docs/pictures
  record-exports ARGUMENTS   record the trainers' own rates for what lehr exports (docs/guides/exporters.md)
  remote                     read logs from a local S3 server and compare with the disk (minutes: builds the feature `remote`)
  make-runs DIR --runs N --points M
                             write N CSV files of M rows, to measure memory with (docs/results/memory.md)
  torture [--minutes M] [--inputs N] [--seed S] [--only command|inside] [--no-fixtures] [--lehr PATH]
                             hostile inputs through the command and the library (docs/results/robustness.md)
  simulate-fixture           write fixtures/runs: simulated loss curves with known coefficients
  simulate-fixture --check   compare fixtures/runs with what the simulation gives
  simulate-fixture --optima  print the best annealing ratio of each simulated cell
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["test"] => check::test(),
        ["record-exports", ref rest @ ..] => python::record_exports(rest),
        ["browser"] => python::browser(),
        ["parity"] => python::parity(&["--check"]),
        ["parity", "--write"] => python::parity(&[]),
        ["bench-scipy", ref rest @ ..] => python::bench_scipy(rest),
        ["bench-train", ref rest @ ..] => python::bench_train(rest),
        ["remote"] => python::remote(),
        ["bench-import", ref rest @ ..] => python::bench_import(rest),
        [
            "simulate-fixture" | "make-runs" | "bench-scaling" | "bench-many" | "law-pictures" | "torture",
            ..,
        ] => python::lab(&words),
        [] | ["--help" | "-h" | "help"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("error: unknown task `{}`\n\n{HELP}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    xtask::finish(outcome)
}

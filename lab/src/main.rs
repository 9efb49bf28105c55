//! Tasks that compute with the library: `cargo xtask TASK` builds and calls them.

mod bench;
mod law_pictures;
mod many;
mod scaling;
mod simulate;
mod torture;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["simulate-fixture"] => simulate::write(),
        ["simulate-fixture", "--check"] => simulate::check(),
        ["simulate-fixture", "--optima"] => {
            simulate::optima();
            Ok(())
        }
        ["make-runs", folder, "--runs", runs, "--points", points] => {
            match (runs.parse::<u64>(), points.parse::<u64>()) {
                (Ok(runs), Ok(points)) if points >= 100 => many::write(folder.as_ref(), runs, points),
                _ => Err(std::io::Error::other("--runs takes a number, --points one of at least 100")),
            }
        }
        ["bench-many", lehr] => {
            many::measure(lehr.as_ref(), &xtask::root().join("docs/results/many-runs.svg"))
        }
        ["bench-scaling"] => scaling::scaling(&xtask::root().join("docs/results/speed.svg")),
        ["law-pictures"] => law_pictures::draw_all(&xtask::root().join("docs/pictures")),
        ["torture", ref rest @ ..] => torture::torture(rest),
        ["bench-side", ref rest @ ..] => bench::side(rest),
        _ => {
            eprintln!("error: unknown task `{}`; `cargo xtask --help` lists them", words.join(" "));
            return ExitCode::from(2);
        }
    };
    xtask::finish(outcome)
}

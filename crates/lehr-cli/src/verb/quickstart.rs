//! `lehr quickstart`: the main job on bundled runs, from curves to a recommendation.

use crate::failure::Failure;
use crate::output::{data, write_file};
use std::path::PathBuf;

/// Runs the main job on bundled runs: inspect, fit, compare, forecast, recommend.
///
/// The runs are simulated with known coefficients (their README says how), so the answers can be held against the
/// truth. Every step is printed as the command that does it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lehr quickstart
  lehr quickstart --dir try")]
pub struct Args {
    /// Where the runs, the fit and the pictures go.
    #[arg(long, value_name = "DIR", default_value = "lehr-quickstart")]
    dir: PathBuf,
}

const FILES: [(&str, &[u8]); 3] = [
    ("runs/curves.csv", include_bytes!("../../../../fixtures/runs/curves.csv")),
    ("runs/manifest.csv", include_bytes!("../../../../fixtures/runs/manifest.csv")),
    ("README.md", include_bytes!("../../../../fixtures/runs/README.md")),
];

/// Runs the verb; `step` runs one command line (without the program's name).
pub fn run(args: Args, step: &dyn Fn(&[String]) -> Result<(), Failure>) -> Result<(), Failure> {
    let runs = args.dir.join("runs");
    std::fs::create_dir_all(&runs)
        .map_err(|error| Failure::new(format_args!("{}: {error}", runs.display())))?;
    for (name, bytes) in FILES {
        write_file(&args.dir.join(name), bytes)?;
    }
    let path = |name: &str| args.dir.join(name).to_string_lossy().into_owned();
    let (runs, fit) = (path("runs"), path("fit.json"));
    let target = ["--peak-lr", "1e-3", "--steps", "40k"];
    let commands: [(&str, Vec<&str>); 5] = [
        ("What is in the runs?", vec!["inspect", &runs]),
        ("Fit the law to them.", vec!["fit", &runs, "-o", &fit]),
        (
            "Does it hold where the fit did not look? Fit every law on the short runs, judge on the long ones.",
            vec!["compare", &runs, "--train", "*T10000*"],
        ),
        (
            "What will a longer run at a peak rate that no run had reach, annealing over its last fifth?",
            [&["forecast", &fit][..], &target, &["--ratio", "0.2", "--plot", "FORECAST"]].concat(),
        ),
        (
            "And which share of it should be spent annealing?",
            [&["recommend", &fit][..], &target, &["--plot", "RATIO"]].concat(),
        ),
    ];
    for (why, words) in commands {
        let words: Vec<String> = words
            .into_iter()
            .map(|word| match word {
                "FORECAST" => path("forecast.svg"),
                "RATIO" => path("ratio.svg"),
                word => word.to_owned(),
            })
            .collect();
        let shown: Vec<String> =
            words.iter().map(|w| if w.contains(['*', ' ']) { format!("'{w}'") } else { w.clone() }).collect();
        data(&format!("\n# {why}\n$ lehr {}\n", shown.join(" ")))?;
        step(&words)?;
    }
    data(&format!(
        "\nThe runs, the fit and two pictures are in {}. With your own logs: lehr fit PATH… -o fit.json\n",
        args.dir.display()
    ))
}

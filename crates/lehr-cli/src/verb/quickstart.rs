//! `lehr quickstart`: the main job on bundled runs, from curves to a recommendation.

use crate::failure::Failure;
use crate::output::{Output, write_file};
use lehr_app::documents::Document;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Runs the main job on bundled runs: inspect, fit, compare, forecast, recommend, transfer.
///
/// The runs are the atlas: small language models trained by lehr itself on the sources of Python's standard library, four
/// dense sizes and two mixtures of experts. Every step is printed as the command that does it; report.md keeps all of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lehr quickstart
  lehr quickstart --dir try")]
pub struct Args {
    /// Where the runs, the fit, the pictures and the report go.
    #[arg(long, value_name = "DIR", default_value = "lehr-quickstart")]
    dir: PathBuf,
}

/// The atlas, bundled; a static, so that the program holds its megabytes once.
pub static ATLAS: [(&str, &[u8]); 2] = [
    ("atlas/points.parquet", include_bytes!("../../../../fixtures/atlas/source/points.parquet")),
    ("atlas/manifest.toml", include_bytes!("../../../../fixtures/atlas/source/manifest.toml")),
];
const README: (&str, &[u8]) = ("README.md", include_bytes!("quickstart/readme.md"));

/// Lines of an answer that are shown; the report has all.
const HEAD: usize = 5;

/// Lines of a recommendation that are its answer.
const ANSWER: usize = 3;

/// One step: why, and the words of the command; `DIR/` stands for the folder.
const STEPS: [(&str, &[&str]); 6] = [
    (
        "What is in the runs? (One size and peak rate; without --run it lists all of them.)",
        &["inspect", "DIR/atlas", "--run", "dense-0.1m-lr8e-3-b8-s0-*"],
    ),
    (
        "Fit the law to the runs of one size: every peak rate, horizon and ratio.",
        &["fit", "DIR/atlas", "--run", "dense-0.1m-*-b8-s0-*", "-o", "DIR/fit.json"],
    ),
    (
        "Does it hold where the fit did not look? Fit every law without annealing and with r = 0.2, judge on all other ratios.",
        &["compare", "DIR/atlas", "--run", "dense-0.1m-*-b8-s0-*", "--train", "*-constant,*-r0.2-*"],
    ),
    (
        "What will a run of twice the longest horizon reach, annealing over its last fifth?",
        &[
            "forecast",
            "DIR/fit.json",
            "--peak-lr",
            "8e-3",
            "--steps",
            "3200",
            "--ratio",
            "0.2",
            "--plot",
            "DIR/forecast.svg",
        ],
    ),
    (
        "And which share of it should be spent annealing?",
        &["recommend", "DIR/fit.json", "--peak-lr", "8e-3", "--steps", "3200", "--plot", "DIR/ratio.svg"],
    ),
    (
        "How does the best ratio, measured, move with peak rate, horizon and size?",
        &["transfer", "DIR/atlas", "--run", "dense-*-b8-s0-*"],
    ),
];

/// Runs the verb. Each step is parsed and run as its own command line, with what it says kept.
pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let mut steps = Vec::new();
    let mut answer = String::new();
    let mut digest = String::new();
    output.say(format_args!("note: {} commands run on the bundled runs, about 10 s", STEPS.len()));
    let folder = args.dir.join("atlas");
    std::fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
    for (name, bytes) in ATLAS.into_iter().chain([README]) {
        write_file(&args.dir.join(name), bytes)?;
    }
    let mut report = "# The main job on the bundled runs\n".to_owned();
    for (why, words) in STEPS {
        let place = |word: &&str| match word.strip_prefix("DIR/") {
            Some(name) => args.dir.join(name).to_string_lossy().into_owned(),
            None => (*word).to_owned(),
        };
        let words: Vec<String> = words.iter().map(place).collect();
        let shown: Vec<String> =
            words.iter().map(|w| if w.contains(['*', ' ']) { format!("'{w}'") } else { w.clone() }).collect();
        let command = format!("lehr {}", shown.join(" "));
        let kept = Output::kept();
        crate::run_words(&words, &kept).map_err(|failure| {
            let told = Failure::new(format_args!("{command}: {failure}"));
            match failure.remedy() {
                Some(remedy) => told.hint(remedy),
                None => told,
            }
        })?;
        let (out, err) = kept.texts();
        if words[0] == "recommend" {
            answer = out.lines().take(ANSWER).collect::<Vec<_>>().join("\n");
        }
        // Writing to a String cannot fail.
        let _ = write!(digest, "\n# {why}\n$ {command}\n{}\n", head(&out));
        let _ = write!(report, "\n## {why}\n\n```console\n$ {command}\n{out}{err}```\n");
        for plot in words.iter().filter_map(|word| word.strip_suffix(".svg")) {
            let name = plot.rsplit(['/', '\\']).next().unwrap_or(plot);
            let _ = write!(report, "\n![{name}]({name}.svg)\n");
        }
        steps.push(Step { why, command });
    }
    let file = args.dir.join("report.md");
    write_file(&file, report.as_bytes())?;
    if output.json {
        return output.answer(&QuickstartAnswer { folder: args.dir.clone(), report: file, steps });
    }
    output.data(&format!(
        "A run of 3,200 updates at the peak rate 0.008, twice as long as any of 82 small runs:\n{answer}\n{digest}\nThe runs, the fit, two pictures and report.md are in {}. With logs of your own, for the run that you plan:\n  \
         lehr recommend runs/ --peak-lr 1e-3 --steps 50k\n",
        args.dir.display()
    ))
}

/// The answer that an output begins with: its first paragraph, as far as it is short.
fn head(out: &str) -> String {
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(0);
    let paragraph = lines[first..].iter().position(|line| line.is_empty()).unwrap_or(lines.len() - first);
    let shown = paragraph.min(HEAD);
    let mut text = lines[first..first + shown].join("\n");
    let left = lines.len() - first - shown;
    if left > 0 {
        text.push_str(&format!("\n… {left} more lines in report.md"));
    }
    text
}

/// One question and the command that answers it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Step {
    /// The question.
    why: &'static str,
    /// The command that answers it; with `--json` it gives its own document.
    command: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct QuickstartAnswer {
    /// Where everything was written.
    folder: PathBuf,
    /// The report: every command with what it said.
    report: PathBuf,
    /// The commands, in order.
    steps: Vec<Step>,
}

impl Document for QuickstartAnswer {
    const SCHEMA: &'static str = "lehr.quickstart/1";
}

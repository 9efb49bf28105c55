//! `lehr report`: everything about a fit and a target, as one HTML file, Markdown or a folder.

use crate::failure::Failure;
use crate::fit_args::FitArgs;
use crate::load::{count, positive};
use crate::output::{Output, check_target, write_file};
use crate::target::{SettingArgs, final_rate, rate, shape};
use lehr::Shape;
use lehr_app::report::{ReportRequest, lines::hashed};
use lehr_app::{Reading, laws};
use lehr_page::{ReportFormat, render};
use std::path::{Path, PathBuf};

/// Writes a report: the answer first, then every figure and table behind it.
///
/// Give a fit, runs, or a fit and the runs that it was made of: with runs the report also shows their curves, what the law
/// misses of each, all laws on runs held out, and measured optima.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr report fit.json -o report.html --peak-lr 1e-3 --steps 50k
  lehr report fit.json runs/ -o report.html
  lehr report runs/ -o report.md
  lehr report fit.json runs/ -o paper --peak-lr 1e-3 --steps 50k   # a folder: SVG, PNG, CSV, LaTeX")]
pub struct Args {
    /// A fit from `lehr fit -o` (a name that ends in .json), runs, or both.
    #[arg(value_name = "FIT|PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Where it goes: a file that ends in .html or .md, or a folder.
    #[arg(short, long, value_name = "FILE|DIR", default_value = "report.html")]
    output: PathBuf,
    /// Peak rate; default: that of the longest run fitted.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true, help_heading = "Target")]
    peak_lr: Option<f64>,
    /// Horizon in updates (k M B are understood); default: twice the longest run fitted.
    #[arg(long, value_name = "UPDATES", value_parser = positive, help_heading = "Target")]
    steps: Option<u64>,
    /// Warm-up updates; default: as in the runs fitted.
    #[arg(long, value_name = "UPDATES", value_parser = count, help_heading = "Target")]
    warmup: Option<u64>,
    /// How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA.
    #[arg(long, value_name = "SHAPE", value_parser = shape, default_value = "linear", help_heading = "Target")]
    shape: Shape,
    /// Final rate.
    #[arg(long, value_name = "RATE", value_parser = final_rate, allow_hyphen_values = true, default_value = "0", help_heading = "Target")]
    final_lr: f64,
    #[command(flatten)]
    setting: SettingArgs,
    /// Takes only runs whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Reading")]
    run: Vec<String>,
    /// The law, where runs are fitted; `lehr laws` describes them.
    #[arg(long, default_value = "noise-relaxation", help_heading = "Fitting")]
    law: String,
    #[command(flatten)]
    fit: FitArgs,
    /// Leaves out the comparison of all laws on runs held out, which takes a fit a law.
    #[arg(long)]
    skip_laws: bool,
}

/// Whether a path names a fit: a file of that ending which says that it is one. Logs in JSON are runs.
fn is_fit(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
        && std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"coefficients\""))
}

/// Fits and runs among the paths.
///
/// # Errors
/// [`Failure`] for two fits.
pub fn split(paths: &[PathBuf]) -> Result<(Option<PathBuf>, Vec<PathBuf>), Failure> {
    let (fits, runs): (Vec<PathBuf>, Vec<PathBuf>) = paths.iter().cloned().partition(|path| is_fit(path));
    if fits.len() > 1 {
        return Err(Failure::usage(format_args!(
            "{} and {}: one fit at a time",
            fits[0].display(),
            fits[1].display()
        )));
    }
    Ok((fits.into_iter().next(), runs))
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let format = ReportFormat::from_name(&args.output.to_string_lossy())?;
    if format == ReportFormat::Folder {
        std::fs::create_dir_all(&args.output).map_err(Failure::at(&args.output))?;
    } else {
        check_target(Some(&args.output))?;
    }
    let desk = args.fit.desk(output)?;
    let (fit_path, runs) = split(&args.paths)?;
    let mut inputs = Vec::new();
    let fit = match &fit_path {
        Some(path) => {
            let name = path.display().to_string();
            inputs.push(hashed(&name, desk.files().text(path)?.as_bytes()));
            Some(desk.read_fit(path)?)
        }
        None => None,
    };
    let reading = (!runs.is_empty()).then(|| {
        let mut reading = Reading::of(runs);
        reading.options.runs.clone_from(&args.run);
        reading
    });
    let words: Vec<String> =
        crate::Program::given_words().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let request = ReportRequest {
        fit,
        reading,
        law: laws::named(&args.law)?,
        options: args.fit.options()?,
        peak_lr: args.peak_lr,
        total: args.steps,
        warmup: args.warmup,
        shape: args.shape,
        final_lr: args.final_lr,
        setting: args.setting.setting(),
        compare: !args.skip_laws,
        command: format!("lehr {}", words.join(" ")),
        inputs,
    };
    let answer = desk.report(&request)?;
    output.notes(&answer.notes);
    let name = args.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = match format {
        ReportFormat::Folder => args.output.clone(),
        _ => args.output.parent().map(Path::to_path_buf).unwrap_or_default(),
    };
    let files = render(&answer.value, format, &name)?;
    if format == ReportFormat::Folder && !lehr_report::HAS_PNG {
        output.say("note: figures are written as SVG alone: this lehr was built without the feature `png`");
    }
    for (file, bytes) in &files {
        let path = folder.join(file);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(Failure::at(parent))?;
        }
        write_file(&path, bytes)?;
    }
    output.say(format_args!(
        "wrote {}{}",
        args.output.display(),
        if files.len() > 1 { format!(" and {} files with it", files.len() - 1) } else { String::new() }
    ));
    if output.json {
        output.answer(&answer.value)?;
    } else {
        let found = &answer.value.recommend;
        output.data(&format!(
            "anneal over the last {:.1} % of {} updates, from update {} on: loss {:.4} ({:.4} … {:.4})\n",
            found.ratio * 100.0,
            answer.value.target.steps,
            found.start_step,
            answer.value.forecast.last.value,
            answer.value.forecast.last.lower,
            answer.value.forecast.last.upper,
        ))?;
    }
    output.close(&answer)
}

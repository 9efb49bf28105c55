//! `lehr fit`: a law's coefficients from curves, with everything needed to judge them.

use crate::clock;
use crate::failure::Failure;
use crate::fit_args::FitArgs;
use crate::load::LoadArgs;
use crate::output::{Output, check_picture, check_target, table};
use lehr::fit::{Fit, Made, Metrics};
use lehr_app::failure::{flag, worded};
use lehr_app::fit::{FitAnswer, FitRequest};
use lehr_app::{laws, pictures, tables};
use std::path::PathBuf;

mod text;

/// Fits a law of the loss curve.
///
/// Reads logs or tables of runs, fits the law's coefficients, refits with runs left out for the intervals, and says
/// which coefficients the data determine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr fit runs/ -o fit.json
  lehr fit runs/ --law multi-power --fix alpha=0.5 --bound b=0.01..10
  lehr fit runs/ --plot residuals.svg
  lehr fit runs/ --run 'constant*,wsd*' --profile")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// The law; `lehr laws` describes them.
    #[arg(long, default_value = "noise-relaxation")]
    law: String,
    #[command(flatten)]
    fit: FitArgs,
    /// Writes the fit here, for `lehr forecast` and `lehr recommend`; a name ending in .csv, .md or .tex gets the table of its coefficients.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Draws what the law misses of each run into a file (svg, png, pdf or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Profiles every coefficient: how far it can be moved before the fit gets worse.
    #[arg(long)]
    profile: bool,
    /// Also refits this many block-bootstrap resamples and prints their intervals (a lower bound, for comparison).
    #[arg(long, value_name = "N")]
    bootstrap: Option<u64>,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let law = laws::named(&args.law)?;
    let options = args.fit.options()?;
    check_target(args.output.as_deref())?;
    check_picture(args.plot.as_deref())?;
    let level = options.level;
    let request = FitRequest {
        reading: args.load.reading()?,
        law,
        options,
        profile: args.profile,
        bootstrap: args.bootstrap,
    };
    let answer = args.fit.desk(output)?.fit(&request)?;
    let FitAnswer { fit, profiles, bootstrap, curves } = &answer.value;
    output.notes(&answer.notes);
    if let Some(path) = &args.output {
        let made = Made {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: clock::now(),
            command: command_line(),
            inputs: output.desk().inputs(&request.reading, &answer.notes)?,
        };
        let kept = Fit { made: Some(made), ..fit.clone() };
        output.write(path, worded(&tables::fit_contents(path, &kept)?, flag).as_bytes())?;
    }
    if let Some(path) = &args.plot {
        output.draw(path, pictures::residuals(fit, law, curves))?;
    }
    if output.json {
        output.answer(&answer.value)?;
    } else {
        output.data(&text::text(&answer.value, law, output, args.output.as_deref()))?;
        if let Some(bootstrap) = bootstrap {
            let mut rows = table(["coefficient", "value", "block bootstrap (lower bound)"]);
            for (i, c) in fit.coefficients.iter().enumerate().filter(|(_, c)| c.free) {
                let log = law.coefficients()[i].scale == lehr::law::Scale::Log;
                let interval = bootstrap.interval(level, log, c.value, |theta| theta[i]);
                rows.add_row([c.name.clone(), short(c.value), interval.map_or_else(String::new, between)]);
            }
            output.data(&format!("\n{rows}"))?;
        }
        if !profiles.is_empty() {
            let mut rows = table(["coefficient", "profile interval (90 %)", "says"]);
            for p in profiles {
                let end = |v: Option<f64>| v.map_or_else(|| "bound".to_owned(), short);
                let says = match p.interval {
                    (Some(_), Some(_)) => "determined",
                    (None, None) => "not determined by these data",
                    _ => "determined on one side",
                };
                rows.add_row([
                    p.name.clone(),
                    format!("{} … {}", end(p.interval.0), end(p.interval.1)),
                    says.to_owned(),
                ]);
            }
            output.data(&format!("\n{rows}"))?;
        }
    }
    // A fit is no answer yet: what blocks one is judged where it is asked for.
    output.say_caveats(&answer.caveats);
    Ok(())
}

/// The command as it was given, words with blanks or quotes in quotes.
fn command_line() -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=,:+@%".contains(c))
    };
    let words = crate::Program::given_words().iter().map(|word| {
        let word = word.to_string_lossy().into_owned();
        if plain(&word) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    std::iter::once("lehr".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Four significant digits.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&value.abs()) {
        let digits = (3 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.3e}")
    }
}

/// An interval in words.
pub fn between((low, high): (f64, f64)) -> String {
    format!("{} … {}", short(low), short(high))
}

/// R² with five digits; a dash where the losses have no spread to explain.
pub fn r2_text(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.5}"))
}

/// A fraction as a percentage; a dash for one that is no number, as the error of a law that gives a run no loss.
pub fn percent(value: f64) -> String {
    if value.is_finite() { format!("{:.3} %", value * 100.0) } else { "–".to_owned() }
}

/// The error by which a law is judged; of single batches that of bins, with what points scatter beside it.
pub fn mape(metrics: &Metrics) -> String {
    match (metrics.binned, metrics.noise) {
        (None, _) => percent(metrics.mape),
        (Some(binned), None) => format!("{} (raw {})", percent(binned), percent(metrics.mape)),
        (Some(binned), Some(noise)) => {
            format!("{} (raw {}, noise {})", percent(binned), percent(metrics.mape), percent(noise))
        }
    }
}

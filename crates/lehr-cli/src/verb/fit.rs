//! `lehr fit`: a law's coefficients from curves, with everything needed to judge them.

use crate::failure::Failure;
use crate::fit_args::{FitArgs, held_points, law_named};
use crate::load::{LoadArgs, load_condensed};
use crate::output::{Output, check_target, data, say, table, write_file};
use lehr::fit::{Fit, FitError, fit_point, profile, resample};
use std::path::PathBuf;

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
    /// Writes the fit here, for `lehr forecast` and `lehr recommend`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Draws what the law misses of each run into a file (svg, png or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Profiles every coefficient: how far it can be moved before the fit gets worse.
    #[arg(long)]
    profile: bool,
    /// Also refits this many block-bootstrap resamples and prints their intervals (a lower bound, for comparison).
    #[arg(long, value_name = "N")]
    bootstrap: Option<u64>,
}

/// What went wrong in a fit, with the way out.
pub fn failure(error: FitError) -> Failure {
    let hint = match &error {
        FitError::TooFewObservations { .. } => Some("give more runs, or hold coefficients with --fix"),
        FitError::Plan(_) => Some("`lehr laws NAME` lists the coefficients with their ranges"),
        FitError::NoSolution { .. } => {
            Some("widen bounds with --bound, raise --starts, or try another --law")
        }
        FitError::DuplicateName(_) => Some("give the runs different names, or leave one out with --run"),
        FitError::NoPoints { .. } => {
            Some("leave the run out with --run, or begin earlier with --skip-warmup or --first-update")
        }
        FitError::NoTokens { .. } => {
            Some("state it with --tokens-per-step or in the manifest, or fit chinchilla-steps")
        }
        FitError::AllUnsound(_) => Some("look at the runs with `lehr inspect`"),
        FitError::NoCurves => None,
    };
    let failure = match error {
        FitError::Plan(_) => Failure::usage(error),
        _ => Failure::new(error),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let law = law_named(&args.law)?;
    let options = args.fit.options()?;
    check_target(args.output.as_deref())?;
    crate::plot::check_target(args.plot.as_deref())?;
    let loaded = load_condensed(&args.load, held_points(&options), output)?;
    let bar = output.wait("fitting");
    let mut fit = lehr::fit::fit(law, &loaded.curves, &options).map_err(failure)?;
    bar.finish_and_clear();
    fit.caveats.extend(loaded.caveats.iter().cloned());
    let point = if args.profile || args.bootstrap.is_some() {
        Some(fit_point(law, &loaded.curves, &options).map_err(failure)?)
    } else {
        None
    };
    let profiles = match &point {
        Some(point) if args.profile => profile::profiles(law, point, &options, 24),
        _ => Vec::new(),
    };
    let bootstrap = match (&point, args.bootstrap) {
        (Some(point), Some(count)) => {
            Some(resample::bootstrap(law, &loaded.curves, point, &options, count.max(2)))
        }
        _ => None,
    };
    if let Some(path) = &args.output {
        let text = serde_json::to_string_pretty(&fit).map_err(Failure::new)?;
        write_file(path, format!("{text}\n").as_bytes())?;
        say(format_args!("wrote {}", path.display()));
    }
    if let Some(path) = &args.plot {
        crate::plot::residuals(path, &fit, law, &loaded.curves)?;
    }
    if output.json {
        let mut value = serde_json::to_value(&fit).map_err(Failure::new)?;
        if let Some(object) = value.as_object_mut() {
            if !profiles.is_empty() {
                object.insert("profiles".to_owned(), serde_json::to_value(&profiles).map_err(Failure::new)?);
            }
            if let Some(bootstrap) = &bootstrap {
                object.insert("bootstrap".to_owned(), serde_json::to_value(bootstrap).map_err(Failure::new)?);
            }
        }
        output.document("lehr.fit/2", &value)?;
    } else {
        data(&text(&fit, law))?;
        if let Some(bootstrap) = &bootstrap {
            let mut rows = table(["coefficient", "value", "block bootstrap (lower bound)"]);
            for (i, c) in fit.coefficients.iter().enumerate().filter(|(_, c)| c.free) {
                let log = law.coefficients()[i].scale == lehr::law::Scale::Log;
                let interval = bootstrap.interval(options.level, log, c.value, |theta| theta[i]);
                rows.add_row([c.name.clone(), short(c.value), interval.map_or_else(String::new, between)]);
            }
            data(&format!("\n{rows}"))?;
        }
        if !profiles.is_empty() {
            let mut rows = table(["coefficient", "profile interval (90 %)", "says"]);
            for p in &profiles {
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
            data(&format!("\n{rows}"))?;
        }
    }
    output.caveats(&fit.caveats)
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

/// A fraction as a percentage.
pub fn percent(value: f64) -> String {
    format!("{:.3} %", value * 100.0)
}

fn text(fit: &Fit, law: &dyn lehr::Law) -> String {
    let mut out = format!("{}   {}\n\n", law.name(), law.equation());
    let level = (fit.options.level * 100.0).round();
    let mut rows = table(["coefficient", "symbol", "value", &format!("{level} % interval"), "unit", ""]);
    for (c, meta) in fit.coefficients.iter().zip(law.coefficients()) {
        let undetermined = fit.identifiability.undetermined.iter().any(|u| u.name == c.name);
        let mut remarks = Vec::new();
        if !c.free {
            remarks.push("held");
        }
        if c.prior {
            remarks.push("prior");
        }
        if c.at_bound.is_some() {
            remarks.push("at its bound");
        }
        if undetermined {
            remarks.push("not determined by the data");
        }
        rows.add_row([
            c.name.clone(),
            meta.symbol.to_owned(),
            short(c.value),
            c.interval.map_or_else(String::new, between),
            meta.unit.to_owned(),
            remarks.join(", "),
        ]);
    }
    out.push_str(&rows.to_string());
    let m = &fit.metrics;
    let s = &fit.solution;
    out.push_str(&format!(
        "\n\n{} runs, {} observations fitted, {} free coefficients; {} of {} starts agree; {} evaluations; condition {:.1e}\n",
        fit.runs.len(),
        s.observations,
        fit.n_coefficients(),
        s.starts_agreeing,
        s.starts,
        s.evaluations,
        fit.identifiability.condition,
    ));
    out.push_str(&format!(
        "errors, means over runs:  R² {:.5}   MAE {:.2} mnat   RMSE {:.2} mnat   MAPE {}   worst {}   final {}\n",
        m.r2,
        m.mae * 1e3,
        m.rmse * 1e3,
        percent(m.mape),
        percent(m.worst),
        percent(m.r#final)
    ));
    let u = &fit.uncertainty;
    let how = match u.method {
        resample::Method::LeaveOneGroupOut => {
            "leaving out one group of runs at a time (a trunk goes with its branches)"
        }
        resample::Method::LeaveOneRunOut => "leaving out one run at a time",
        resample::Method::LeaveFoldOut => {
            "leaving out one fold of the runs at a time (a trunk goes with its branches)"
        }
        resample::Method::BlockBootstrap => {
            "block bootstrap of residuals: a lower bound, give three runs or more"
        }
    };
    out.push_str(&format!(
        "uncertainty: {how}; {} refits; a run left out is missed by up to ±{} over its later half ({level} %)\n\n",
        u.refits.len(),
        percent(u.half_width(fit.options.level))
    ));
    let mut rows = table([
        "run",
        "N",
        "peak",
        "updates",
        "annealed",
        "R²",
        "MAE mnat",
        "MAPE",
        "worst",
        "final",
        "left out: final",
    ]);
    for run in &fit.runs {
        let held = u.held_out.iter().find(|h| h.id == run.id && u.method != resample::Method::BlockBootstrap);
        rows.add_row([
            run.id.clone(),
            run.params.map_or_else(String::new, |n| format!("{:.3e}", n.0 as f64)),
            format!("{:e}", run.peak_lr),
            run.last_update.to_string(),
            format!("{:.0} % {}", run.annealing_share * 100.0, run.fall),
            format!("{:.5}", run.metrics.r2),
            format!("{:.2}", run.metrics.mae * 1e3),
            percent(run.metrics.mape),
            percent(run.metrics.worst),
            format!("{:+.3} %", run.final_error * 100.0),
            held.map_or_else(String::new, |h| format!("{:+.3} %", h.final_error * 100.0)),
        ]);
    }
    out.push_str(&rows.to_string());
    out.push('\n');
    out
}

//! `lehr recommend`: the share of the run to spend annealing, and what another share costs.

use crate::export::{self, ExportArgs};
use crate::failure::Failure;
use crate::load::{LoadArgs, count, load, positive};
use crate::output::{Output, bytes, check_target, data, say, table, write_file};
use crate::plot;
use crate::target::{SettingArgs, final_rate, rate, read_fit, shape, warmup};
use lehr::fit::Fit;
use lehr::forecast::forecast;
use lehr::measured::{MeasuredOptimum, measured_optima};
use lehr::recommend::{
    RecommendError, RecommendOptions, Recommendation, Target, optimise_free_schedule, optimise_shape,
    recommend_ratio,
};
use lehr::{Schedule, Shape, Steps};
use lehr_io::export::Export;
use std::path::PathBuf;

/// Recommends the annealing ratio of a run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k
  lehr recommend fit.json --params 1.3B --peak-lr 6e-4 --steps 200k --shape 1-sqrt --max-anneal-steps 20k
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --optimise-shape --free-schedule --plot ratio.svg --json
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --export megatron --from-step 20k > flags.txt")]
pub struct Args {
    /// The fit, from `lehr fit -o`.
    #[arg(value_name = "FIT")]
    fit: PathBuf,
    /// Peak rate.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true)]
    peak_lr: f64,
    /// Horizon in updates (k M B are understood).
    #[arg(long, value_name = "UPDATES", value_parser = positive)]
    steps: u64,
    /// Warm-up updates; default: as in the runs fitted.
    #[arg(long, value_name = "UPDATES", value_parser = count)]
    warmup: Option<u64>,
    /// How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA.
    #[arg(long, value_name = "SHAPE", value_parser = shape, default_value = "linear")]
    shape: Shape,
    /// Final rate.
    #[arg(long, value_name = "RATE", value_parser = final_rate, allow_hyphen_values = true, default_value = "0")]
    final_lr: f64,
    #[command(flatten)]
    setting: SettingArgs,
    /// Considers only these ratios.
    #[arg(long, value_name = "LOWER..UPPER", allow_hyphen_values = true, help_heading = "Limits")]
    ratio_range: Option<String>,
    /// Anneals at most this long.
    #[arg(long, value_name = "UPDATES", value_parser = count, help_heading = "Limits")]
    max_anneal_steps: Option<u64>,
    /// Ratios within this many mnat (10⁻³ nats) of the best are tied with it.
    #[arg(
        long,
        value_name = "MNAT",
        default_value_t = 2.0,
        allow_negative_numbers = true,
        help_heading = "Limits"
    )]
    tolerance: f64,
    /// Also finds the best power β of the shape (1 − x)^β.
    #[arg(long)]
    optimise_shape: bool,
    /// Also finds the best non-increasing schedule and what it gains.
    #[arg(long)]
    free_schedule: bool,
    /// Draws loss against ratio into a file (svg, png or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measured runs whose final losses are drawn in.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    measured: Vec<PathBuf>,
    #[command(flatten)]
    export: ExportArgs,
    /// Writes the recommendation as JSON here too.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn failure(error: RecommendError) -> Failure {
    match error {
        RecommendError::Forecast(error) => crate::verb::forecast::failure(error),
        RecommendError::Schedule(_)
        | RecommendError::EmptyRange { .. }
        | RecommendError::Ranges
        | RecommendError::NoBatch => Failure::usage(error),
        RecommendError::BlindLaw(_) => {
            Failure::new(error).hint("fit a law that sees the schedule: --law noise-relaxation")
        }
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let fit = read_fit(&args.fit)?;
    check_target(args.output.as_deref())?;
    plot::check_target(args.plot.as_deref())?;
    let range = match &args.ratio_range {
        None => (0.0, 1.0),
        Some(text) => text
            .split_once("..")
            .and_then(|(a, b)| Some((a.trim().parse::<f64>().ok()?, b.trim().parse::<f64>().ok()?)))
            .filter(|(a, b)| *a >= 0.0 && a <= b && *b <= 1.0)
            .ok_or_else(|| {
                Failure::usage(format_args!(
                    "--ratio-range '{text}' is not of the form 0.1..0.5, within 0..1"
                ))
            })?,
    };
    if !(args.tolerance.is_finite() && args.tolerance >= 0.0) {
        return Err(Failure::usage(format_args!(
            "--tolerance {} is not a number of at least 0",
            args.tolerance
        )));
    }
    let options = RecommendOptions {
        range,
        max_anneal_steps: args.max_anneal_steps,
        tolerance: args.tolerance * 1e-3,
        ..RecommendOptions::default()
    };
    let target = Target {
        peak_lr: args.peak_lr,
        total: Steps(args.steps),
        warmup: warmup(args.warmup, &fit, args.steps),
        shape: args.shape,
        final_lr: args.final_lr,
        setting: args.setting.setting(),
    };
    let bar = output.wait("searching");
    let found = recommend_ratio(&fit, &target, &options).map_err(failure)?;
    let best_shape = if args.optimise_shape {
        Some(optimise_shape(&fit, &target, &options, &found).map_err(failure)?)
    } else {
        None
    };
    let free = if args.free_schedule {
        Some(optimise_free_schedule(&fit, &target, &found).map_err(failure)?)
    } else {
        None
    };
    bar.finish_and_clear();
    let measured: Vec<MeasuredOptimum> = if args.measured.is_empty() {
        Vec::new()
    } else {
        measured_optima(&load(&LoadArgs::of_paths(args.measured.clone()), output)?.curves)
            .into_iter()
            .filter(|m| (m.peak_lr / args.peak_lr - 1.0).abs() < 1e-3 && m.total == args.steps)
            .collect()
    };
    let picture = plot::recommendation(&fit, &target, &found, &measured);
    if let Some(path) = &args.plot {
        plot::write(path, &picture)?;
    }
    let mut value = serde_json::json!({
        "ratio": found.ratio,
        "interval": found.interval,
        "plateau": found.plateau,
        "tolerance": found.tolerance,
        "loss": found.loss.value,
        "loss_interval": [found.loss.lower, found.loss.upper],
        "start_step": found.start_step,
        "anneal_steps": found.anneal_steps,
        "steps": args.steps,
        "tokens": found.tokens,
        "rules": found.rules,
        "curve": found.curve,
        "level": found.level,
        "caveats": found.caveats,
    });
    if let Some(object) = value.as_object_mut() {
        if let Some(best) = &best_shape {
            object.insert("shape".to_owned(), serde_json::to_value(best).map_err(Failure::new)?);
        }
        if let Some(free) = &free {
            object.insert("free_schedule".to_owned(), serde_json::to_value(free).map_err(Failure::new)?);
        }
        if !measured.is_empty() {
            let list: Vec<serde_json::Value> = measured
                .iter()
                .map(|m| serde_json::json!({ "measured": m, "regret": m.regret(found.ratio) }))
                .collect();
            object.insert("measured".to_owned(), list.into());
        }
    }
    let best = target.schedule(Steps(found.anneal_steps)).map_err(Failure::usage)?;
    let made = args.export.make(&best)?;
    let cost = match &made {
        Some(made) => Some(export_cost(made, &fit, &target, &best)?),
        None => None,
    };
    if let (Some(object), Some(made)) = (value.as_object_mut(), &made) {
        let mut written = export::value(made);
        written["loss_cost"] = cost.into();
        object.insert("export".to_owned(), written);
    }
    if let Some(path) = &args.output {
        write_file(
            path,
            format!("{}\n", serde_json::to_string_pretty(&value).map_err(Failure::new)?).as_bytes(),
        )?;
        say(format_args!("wrote {}", path.display()));
    }
    if output.json {
        output.document("lehr.recommend/1", &value)?;
    } else {
        let mut out = text(&found, &target, output, &picture);
        if let Some(best) = &best_shape {
            out.push_str(&format!(
                "\nbest power of the shape: β = {:.2} at r = {:.3}, loss {:.4}: gains {:.2} ± {:.2} mnat over {}\n",
                best.beta, best.ratio, best.loss, best.gain * 1e3, best.gain_sd * 1e3, target.shape
            ));
        }
        if let Some(free) = &free {
            out.push_str(&format!(
                "\nbest non-increasing schedule: loss {:.4}, gains {:.2} ± {:.2} mnat over the best {} WSD\n  {}\n",
                free.loss, free.gain * 1e3, free.gain_sd * 1e3, target.shape, free.schedule
            ));
        }
        for m in &measured {
            out.push_str(&format!(
                "\nmeasured in this cell: r* = {:.3} ({:.3} … {:.3}); the recommendation costs {:.2} mnat there\n",
                m.ratio, m.interval.0, m.interval.1, m.regret(found.ratio) * 1e3
            ));
        }
        // With --export stdout carries the configuration alone.
        match &made {
            None => data(&out)?,
            Some(made) => {
                say(&out);
                export::talk(made);
                say(format_args!(
                    "note: by the fit, {} ends {:+.2} mnat from the schedule asked for",
                    made.target,
                    1e3 * cost.unwrap_or_default()
                ));
                bytes(export::bytes(made))?;
            }
        }
    }
    let mut caveats = found.caveats.clone();
    if free.is_some() || best_shape.is_some() {
        caveats.push(lehr::Caveat::note(
            "free-shape",
            "the best shape and the free schedule are where the law is trusted furthest from its data: try them on a small run before a large one",
        ));
    }
    output.caveats(&caveats)
}

/// The final loss under the trainer's rates minus that under the rates asked for, by the fit (nats per token).
fn export_cost(made: &Export, fit: &Fit, target: &Target, wanted: &Schedule) -> Result<f64, Failure> {
    // Both as plain rates, so that nothing but the rates differs.
    let end = |rates: Vec<f64>| {
        let schedule = Schedule::sampled(rates).map_err(Failure::new)?;
        let forecast = forecast(fit, &schedule, &target.setting, &[target.total.0]);
        forecast.map(|forecast| forecast.r#final.value).map_err(crate::verb::forecast::failure)
    };
    Ok(end(made.promised_rates.clone())? - end(wanted.rates())?)
}

fn text(found: &Recommendation, target: &Target, output: &Output, picture: &plot::Picture) -> String {
    let percent = (found.level * 100.0).round();
    let mut out = String::new();
    if let Some(drawing) = output.drawing(picture) {
        out.push_str(&drawing);
        out.push('\n');
    }
    let mut rows = table(["", "", ""]);
    rows.set_header(["recommended", "", ""]);
    rows.add_row([
        "annealing ratio".to_owned(),
        format!("{:.3}", found.ratio),
        format!("{:.3} … {:.3} ({percent} %)", found.interval.0, found.interval.1),
    ]);
    rows.add_row([
        "plateau".to_owned(),
        format!("{:.3} … {:.3}", found.plateau.0, found.plateau.1),
        format!("within {:.1} mnat of the best", found.tolerance * 1e3),
    ]);
    rows.add_row([
        "annealing starts after update".to_owned(),
        found.start_step.to_string(),
        format!("{} of {} updates, {}", found.anneal_steps, target.total, target.shape),
    ]);
    rows.add_row([
        "loss at the end".to_owned(),
        format!("{:.4}", found.loss.value),
        format!("{:.4} … {:.4} nats per token ({percent} %)", found.loss.lower, found.loss.upper),
    ]);
    if let Some(tokens) = found.tokens {
        rows.add_row(["tokens".to_owned(), format!("{:.3e}", tokens as f64), String::new()]);
    }
    out.push_str(&format!("{rows}\n\n"));
    let mut rows = table(["rule", "loss", "costs mnat", &format!("{percent} % interval"), ""]);
    let mut rules: Vec<_> = found.rules.iter().collect();
    rules.sort_by(|a, b| a.1.regret.total_cmp(&b.1.regret));
    for (name, rule) in rules {
        rows.add_row([
            name.clone(),
            format!("{:.4}", rule.loss),
            format!("{:+.2}", rule.regret * 1e3),
            format!("{:+.2} … {:+.2}", rule.regret_interval.0 * 1e3, rule.regret_interval.1 * 1e3),
            rule.schedule.clone(),
        ]);
    }
    out.push_str(&format!("{rows}\n"));
    out
}

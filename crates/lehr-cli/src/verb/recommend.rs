//! `lehr recommend`: the share of the run to spend annealing, and what another share costs.

use crate::export::{ExportArgs, talk};
use crate::failure::Failure;
use crate::fit_or_logs::FitOrLogs;
use crate::load::count;
use crate::output::{Output, check_picture, check_target, table};
use crate::running::{self, RunningArgs, StartArgs, Wanted};
use crate::target::{LengthArgs, SettingArgs, final_rate, rate, shape};
use lehr::recommend::RecommendOptions;
use lehr::{Params, Shape, Steps};
use lehr_app::recommend::RecommendRequest;
use lehr_app::recommend_jointly::JointRequest;
use lehr_app::recommend_rows::RowsRequest;
use lehr_app::running::{Job, RunningRequest};
use lehr_app::target::updates;
use lehr_app::{export, tables};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod joint;
mod text;

/// Recommends the annealing ratio of a run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr recommend runs/ --peak-lr 1e-3 --steps 50k          fits the logs first
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k
  lehr recommend fit.json --params 1.3B --peak-lr 6e-4 --steps 200k --shape 1-sqrt --max-anneal-steps 20k
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --optimise-shape --free-schedule --plot ratio.svg --json
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --export megatron --from-step 20k > flags.txt
  lehr recommend fit.json --params 300M,1B --peak-lr 3e-4,6e-4 --tokens 20B -o ratios.tex
  lehr recommend fit.json --optimise peak-lr,batch,ratio --peak-lr-range 2e-4..4e-3 --batch-range 128k..2M --tokens 50B
  lehr recommend fit.json --running job.csv --steps 50k --anneal-steps 2k,5k,10k")]
pub struct Args {
    #[command(flatten)]
    from: FitOrLogs,
    /// Peak rate; several, separated by commas, give a row each.
    #[arg(
        long,
        alias = "lr",
        value_name = "RATE,…",
        value_parser = rate,
        value_delimiter = ',',
        allow_hyphen_values = true,
        required_unless_present_any = ["running", "optimise"],
        conflicts_with = "running"
    )]
    peak_lr: Vec<f64>,
    #[command(flatten)]
    joint: joint::JointArgs,
    #[command(flatten)]
    length: LengthArgs,
    /// Warm-up updates; default: as in the runs fitted. With --running: those of a log that begins after its warm-up.
    #[arg(long, value_name = "UPDATES", value_parser = count)]
    warmup: Option<u64>,
    /// How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA; several, separated by commas, give a
    /// row each.
    #[arg(long, value_name = "SHAPE,…", value_delimiter = ',', value_parser = shape, default_value = "linear")]
    shape: Vec<Shape>,
    /// Final rate.
    #[arg(long, value_name = "RATE", value_parser = final_rate, allow_hyphen_values = true, default_value = "0")]
    final_lr: f64,
    #[command(flatten)]
    setting: SettingArgs,
    /// Considers only these ratios.
    #[arg(
        long,
        value_name = "LOWER..UPPER",
        allow_hyphen_values = true,
        conflicts_with = "running",
        help_heading = "Limits"
    )]
    ratio_range: Option<String>,
    /// Anneals at most this long.
    #[arg(
        long,
        value_name = "UPDATES",
        value_parser = count,
        conflicts_with = "running",
        help_heading = "Limits"
    )]
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
    #[arg(long, conflicts_with = "running")]
    optimise_shape: bool,
    /// Also finds the best non-increasing schedule and what it gains.
    #[arg(long, conflicts_with = "running")]
    free_schedule: bool,
    /// Draws loss against ratio into a file (svg, png, pdf or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measured runs whose final losses are drawn in.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "running")]
    measured: Vec<PathBuf>,
    #[command(flatten)]
    running: RunningArgs,
    #[command(flatten)]
    starts: StartArgs,
    #[command(flatten)]
    export: ExportArgs,
    /// Writes the answer in the form of the name's ending: .json, or its table as .csv, .md, .tex.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Ratios as `0.1..0.5`.
fn range(text: &str) -> Result<(f64, f64), Failure> {
    text.split_once("..")
        .and_then(|(a, b)| Some((a.trim().parse::<f64>().ok()?, b.trim().parse::<f64>().ok()?)))
        .filter(|(a, b)| *a >= 0.0 && a <= b && *b <= 1.0)
        .ok_or_else(|| {
            Failure::usage(format_args!("[[ratio_range]] '{text}' is not of the form 0.1..0.5, within 0..1"))
        })
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let desk = output.desk();
    check_target(args.output.as_deref())?;
    tables::check_format(args.output.as_deref())?;
    args.export.check()?;
    check_picture(args.plot.as_deref())?;
    args.starts.check(&args.running)?;
    let fitted = args.from.chosen(&args.running, &args.measured)?.fit(&desk, output)?;
    let fit = fitted.value;
    let setting = args.setting.setting();
    if let Some(reading) = args.running.job(args.warmup)? {
        let total = args.length.length().map(|length| updates(&fit, length, &setting)).transpose()?;
        let request = RunningRequest {
            job: Job {
                fit,
                reading,
                setting: args.setting.one()?,
                total,
                shape: only_shape(&args.shape)?,
                final_lr: args.final_lr,
            },
            anneal_steps: args.starts.anneal_steps,
            anneal_from: args.starts.anneal_from,
            tolerance: args.tolerance * 1e-3,
            export: args.export.request(),
        };
        let wanted = Wanted { plot: args.plot.as_deref(), output: args.output.as_deref() };
        return running::recommend(&request, &wanted, output);
    }
    let options = RecommendOptions {
        range: args.ratio_range.as_deref().map_or(Ok((0.0, 1.0)), range)?,
        max_anneal_steps: args.max_anneal_steps,
        from_step: args.export.from_step,
        tolerance: args.tolerance * 1e-3,
        ..RecommendOptions::default()
    };
    let Some(length) = args.length.length() else {
        return Err(Failure::usage("the horizon is missing: [[steps]], [[tokens]] or [[compute]] states it"));
    };
    if !args.joint.optimise.is_empty() {
        let extras = args.plot.is_some()
            || !args.export.export.is_empty()
            || args.optimise_shape
            || args.free_schedule
            || !args.measured.is_empty();
        if extras {
            return Err(Failure::usage(
                "pictures, exports, measured runs and free shapes are of one peak rate and batch, which [[optimise]] has yet to choose",
            )
            .hint("ask again with the peak rate and batch that it recommends"));
        }
        let request = JointRequest {
            fit,
            length,
            peak_lr: args.joint.peak_lr(&args.peak_lr)?,
            peak_lr_range: args.joint.peak_lr_range()?,
            batch: args.joint.batch(),
            batch_range: args.joint.batch_range()?,
            warmup: args.warmup,
            shape: only_shape(&args.shape)?,
            final_lr: args.final_lr,
            setting: args.setting.one()?,
            options,
        };
        return joint::answer(&request, args.output.as_deref(), output);
    }
    let several = args.peak_lr.len().max(args.shape.len()).max(args.setting.params.len()) > 1;
    // One target alone decides the horizon here; of several each has its own.
    let total = if several { 0 } else { updates(&fit, length, &setting)? };
    let (Some(&peak_lr), Some(&shape)) = (args.peak_lr.first(), args.shape.first()) else {
        return Err(Failure::usage("[[peak_lr]] and [[shape]] are needed"));
    };
    let request = RecommendRequest {
        fit: Arc::new(fit),
        peak_lr,
        total,
        warmup: args.warmup,
        shape,
        final_lr: args.final_lr,
        setting,
        options,
        optimise_shape: args.optimise_shape,
        free_schedule: args.free_schedule,
        measured: args.running.measured(&args.measured)?,
        export: args.export.request(),
    };
    if several {
        let alone = args.plot.is_some() || !args.export.export.is_empty() || request.measured.is_some();
        if alone || request.optimise_shape || request.free_schedule {
            return Err(Failure::usage(
                "pictures, exports, measured runs and free shapes are of one target, and several were named",
            )
            .hint("name one peak rate, one shape and one N"));
        }
        let request = RowsRequest {
            shared: request,
            length,
            params: args.setting.params.iter().copied().map(Params).collect(),
            peak_lrs: args.peak_lr,
            shapes: args.shape,
        };
        return rows(&request, args.output.as_deref(), output);
    }
    let answer = desk.recommend(&request)?;
    let found = &answer.value;
    output.begin(&answer, args.output.as_deref())?;
    let picture = found.picture(&request.fit);
    let drawing = output.drawing(&picture);
    if let Some(path) = &args.plot {
        output.draw(path, picture)?;
    }
    if args.export.export_dir.is_some() {
        let best = found.target.schedule(Steps(found.anneal_steps)).map_err(Failure::usage)?;
        args.export.write_all(&best, output)?;
    }
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    let text = text::text(found, output, drawing);
    // With --export stdout carries the configuration alone.
    match &found.made {
        None => output.data(&text)?,
        Some(made) => {
            output.say(&text);
            talk(made, output);
            let cost = found.export.as_ref().and_then(|export| export.loss_cost).unwrap_or_default();
            output.say(format_args!(
                "note: by the fit, {} ends {:+.2} mnat from the schedule asked for",
                made.target,
                1e3 * cost
            ));
            output.bytes(export::bytes(made))?;
        }
    }
    output.close(&answer)
}

/// The one shape, of a running job and of a joint choice.
fn only_shape(shapes: &[Shape]) -> Result<Shape, Failure> {
    match shapes {
        [shape] => Ok(*shape),
        _ => Err(Failure::usage("[[shape]] names several: this is about one")),
    }
}

/// Several targets, a row each.
fn rows(request: &RowsRequest, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let answer = output.desk().recommend_rows(request)?;
    let found = &answer.value;
    output.begin(&answer, file)?;
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    let percent = (100.0 * found.level).round();
    let ratio = format!("ratio ({percent} %)");
    let loss = format!("loss ({percent} %)");
    let mut table = table(["N", "peak rate", "shape", "updates", &ratio, "start after", &loss]);
    for row in &found.rows {
        table.add_row([
            row.params.map_or_else(|| "as fitted".to_owned(), lehr::units::short_count),
            format!("{:e}", row.peak_lr),
            row.shape.clone(),
            row.steps.to_string(),
            format!("{:.3} ({:.3} … {:.3})", row.ratio, row.interval.0, row.interval.1),
            row.start_step.to_string(),
            format!("{:.4} ({:.4} … {:.4})", row.loss.value, row.loss.lower, row.loss.upper),
        ]);
    }
    output.data(&format!("{table}\n"))?;
    output.close(&answer)
}

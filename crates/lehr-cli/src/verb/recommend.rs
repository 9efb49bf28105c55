//! `lehr recommend`: the share of the run to spend annealing, and what another share costs.

use crate::export::{ExportArgs, talk};
use crate::failure::Failure;
use crate::load::count;
use crate::output::{Output, check_picture, check_target, table};
use crate::running::{self, RunningArgs, StartArgs, Wanted};
use crate::target::{LengthArgs, SettingArgs, final_rate, rate, shape};
use lehr::recommend::RecommendOptions;
use lehr::{Params, Shape, Steps};
use lehr_app::recommend::{RecommendAnswer, RecommendRequest};
use lehr_app::recommend_rows::RowsRequest;
use lehr_app::running::{Job, RunningRequest};
use lehr_app::target::updates;
use lehr_app::{export, tables};
use std::path::{Path, PathBuf};

/// Recommends the annealing ratio of a run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k
  lehr recommend fit.json --params 1.3B --peak-lr 6e-4 --steps 200k --shape 1-sqrt --max-anneal-steps 20k
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --optimise-shape --free-schedule --plot ratio.svg --json
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --export megatron --from-step 20k > flags.txt
  lehr recommend fit.json --params 300M,1B --peak-lr 3e-4,6e-4 --tokens 20B -o ratios.tex
  lehr recommend fit.json --running job.csv --steps 50k --anneal-steps 2k,5k,10k")]
pub struct Args {
    /// The fit, from `lehr fit -o`.
    #[arg(value_name = "FIT")]
    fit: PathBuf,
    /// Peak rate; several, separated by commas, give a row each.
    #[arg(
        long,
        value_name = "RATE,…",
        value_parser = rate,
        value_delimiter = ',',
        allow_hyphen_values = true,
        required_unless_present = "running",
        conflicts_with = "running"
    )]
    peak_lr: Vec<f64>,
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
    let fit = desk.read_fit(&args.fit)?;
    check_target(args.output.as_deref())?;
    tables::check_format(args.output.as_deref())?;
    args.export.check()?;
    check_picture(args.plot.as_deref())?;
    args.starts.check(&args.running)?;
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
    let Some(length) = args.length.length() else {
        return Err(Failure::usage("the horizon is missing: [[steps]], [[tokens]] or [[compute]] states it"));
    };
    let several = args.peak_lr.len().max(args.shape.len()).max(args.setting.params.len()) > 1;
    // One target alone decides the horizon here; of several each has its own.
    let total = if several { 0 } else { updates(&fit, length, &setting)? };
    let (Some(&peak_lr), Some(&shape)) = (args.peak_lr.first(), args.shape.first()) else {
        return Err(Failure::usage("[[peak_lr]] and [[shape]] are needed"));
    };
    let request = RecommendRequest {
        fit,
        peak_lr,
        total,
        warmup: args.warmup,
        shape,
        final_lr: args.final_lr,
        setting,
        options: RecommendOptions {
            range: args.ratio_range.as_deref().map_or(Ok((0.0, 1.0)), range)?,
            max_anneal_steps: args.max_anneal_steps,
            from_step: args.export.from_step,
            tolerance: args.tolerance * 1e-3,
            ..RecommendOptions::default()
        },
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
    output.notes(&answer.notes);
    let picture = found.picture(&request.fit);
    let drawing = output.drawing(&picture);
    if let Some(path) = &args.plot {
        output.draw(path, picture)?;
    }
    if let Some(path) = &args.output {
        output.write(path, tables::contents(path, found)?.as_bytes())?;
    }
    if args.export.export_dir.is_some() {
        let best = found.target.schedule(Steps(found.anneal_steps)).map_err(Failure::usage)?;
        args.export.write_all(&best, output)?;
    }
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    let text = text(found, drawing);
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

/// The one shape of a running job.
fn only_shape(shapes: &[Shape]) -> Result<Shape, Failure> {
    match shapes {
        [shape] => Ok(*shape),
        _ => Err(Failure::usage("[[shape]] names several: a running job is asked about one")),
    }
}

/// Several targets, a row each.
fn rows(request: &RowsRequest, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let answer = output.desk().recommend_rows(request)?;
    let found = &answer.value;
    output.notes(&answer.notes);
    if let Some(path) = file {
        output.write(path, tables::contents(path, found)?.as_bytes())?;
    }
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
            row.params.map_or_else(|| "as fitted".to_owned(), |n| format!("{:.4e}", n as f64)),
            format!("{:e}", row.peak_lr),
            row.shape.clone(),
            row.steps.to_string(),
            format!("{:.3} ({:.3} … {:.3})", row.ratio, row.interval.0, row.interval.1),
            row.start_step.to_string(),
            format!("{:.4} ({:.4} … {:.4})", row.loss, row.loss_interval.0, row.loss_interval.1),
        ]);
    }
    output.data(&format!("{table}\n"))?;
    output.close(&answer)
}

fn text(found: &RecommendAnswer, drawing: Option<String>) -> String {
    let target = &found.target;
    let percent = (found.level * 100.0).round();
    let mut out = String::new();
    if let Some(drawing) = drawing {
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
        format!("{:.4}", found.loss),
        format!("{:.4} … {:.4} nats per token ({percent} %)", found.loss_interval.0, found.loss_interval.1),
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
    if let Some(best) = &found.shape {
        out.push_str(&format!(
            "\nbest power of the shape: β = {:.2} at r = {:.3}, loss {:.4}: gains {:.2} ± {:.2} mnat over {}\n",
            best.beta, best.ratio, best.loss, best.gain * 1e3, best.gain_sd * 1e3, target.shape
        ));
    }
    if let Some(free) = &found.free_schedule {
        out.push_str(&format!(
            "\nbest non-increasing schedule: loss {:.4}, gains {:.2} ± {:.2} mnat over the best {} WSD\n  {}\n",
            free.loss, free.gain * 1e3, free.gain_sd * 1e3, target.shape, free.schedule
        ));
    }
    for m in &found.measured {
        out.push_str(&format!(
            "\nmeasured in this cell: r* = {:.3} ({:.3} … {:.3}); the recommendation costs {:.2} mnat there\n",
            m.measured.ratio, m.measured.interval.0, m.measured.interval.1, m.regret * 1e3
        ));
    }
    out
}

//! `lehr recommend`: the share of the run to spend annealing, and what another share costs.

use crate::export::{ExportArgs, talk};
use crate::failure::Failure;
use crate::load::{count, positive};
use crate::output::{Output, check_picture, check_target, table};
use crate::running::{self, RunningArgs, StartArgs, Wanted};
use crate::target::{SettingArgs, final_rate, rate, shape};
use lehr::Shape;
use lehr::recommend::RecommendOptions;
use lehr_app::recommend::{RecommendAnswer, RecommendRequest};
use lehr_app::running::{Job, RunningRequest};
use lehr_app::{documents, export};
use std::path::PathBuf;

/// Recommends the annealing ratio of a run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k
  lehr recommend fit.json --params 1.3B --peak-lr 6e-4 --steps 200k --shape 1-sqrt --max-anneal-steps 20k
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --optimise-shape --free-schedule --plot ratio.svg --json
  lehr recommend fit.json --peak-lr 1e-3 --steps 50k --export megatron --from-step 20k > flags.txt
  lehr recommend fit.json --running job.csv --steps 50k --anneal-steps 2k,5k,10k")]
pub struct Args {
    /// The fit, from `lehr fit -o`.
    #[arg(value_name = "FIT")]
    fit: PathBuf,
    /// Peak rate.
    #[arg(
        long,
        value_name = "RATE",
        value_parser = rate,
        allow_hyphen_values = true,
        required_unless_present = "running",
        conflicts_with = "running"
    )]
    peak_lr: Option<f64>,
    /// Horizon in updates (k M B are understood); with --running, default: as the job's log says.
    #[arg(long, value_name = "UPDATES", value_parser = positive, required_unless_present = "running")]
    steps: Option<u64>,
    /// Warm-up updates; default: as in the runs fitted.
    #[arg(long, value_name = "UPDATES", value_parser = count, conflicts_with = "running")]
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
    /// Draws loss against ratio into a file (svg, png or txt).
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
    /// Writes the recommendation as JSON here too.
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
    check_picture(args.plot.as_deref())?;
    args.starts.check(&args.running)?;
    if let Some(reading) = args.running.job() {
        let request = RunningRequest {
            job: Job {
                fit,
                reading,
                setting: args.setting.setting(),
                total: args.steps,
                shape: args.shape,
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
    // clap has required both.
    let (Some(peak_lr), Some(total)) = (args.peak_lr, args.steps) else {
        return Err(Failure::usage("[[peak_lr]] and [[steps]] are needed"));
    };
    let request = RecommendRequest {
        fit,
        peak_lr,
        total,
        warmup: args.warmup,
        shape: args.shape,
        final_lr: args.final_lr,
        setting: args.setting.setting(),
        options: RecommendOptions {
            range: args.ratio_range.as_deref().map_or(Ok((0.0, 1.0)), range)?,
            max_anneal_steps: args.max_anneal_steps,
            tolerance: args.tolerance * 1e-3,
            ..RecommendOptions::default()
        },
        optimise_shape: args.optimise_shape,
        free_schedule: args.free_schedule,
        measured: args.running.measured(&args.measured),
        export: args.export.request(),
    };
    let answer = desk.recommend(&request)?;
    let found = &answer.value;
    output.notes(&answer.notes);
    let picture = found.picture(&request.fit);
    let drawing = output.drawing(&picture);
    if let Some(path) = &args.plot {
        output.draw(path, picture)?;
    }
    if let Some(path) = &args.output {
        output.write(path, documents::text(found)?.as_bytes())?;
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

//! `lehr forecast`: the loss at every update under a schedule.

use crate::failure::Failure;
use crate::fit_or_logs::FitOrLogs;
use crate::load::count;
use crate::output::{Output, check_picture, check_target};
use crate::running::{self, RunningArgs, Wanted};
use crate::target::{LengthArgs, SettingArgs, final_rate, rate, shape, share};
use lehr::fit::Fit;
use lehr::forecast::Setting;
use lehr::{Schedule, Shape};
use lehr_app::forecast::ForecastRequest;
use lehr_app::running::{Job, RunningForecastRequest};
use lehr_app::tables;
use lehr_app::target::{Plan, PlanSpec, updates};
use std::path::PathBuf;

mod text;

/// Forecasts the loss of a run from its schedule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr forecast runs/ --peak-lr 1e-3 --steps 50k --ratio 0.3       fits the logs first
  lehr forecast fit.json --peak-lr 1e-3 --steps 50k --ratio 0.3
  lehr forecast fit.json --peak-lr 1e-3 --steps 50k --cosine --final-lr 1e-4 --plot forecast.svg
  lehr forecast fit.json --schedule 'wsd:peak=1e-3,total=50k,warmup=300,ratio=0.2' --at 30k,40k,50k --json
  lehr forecast fit.json --running job.csv --anneal-steps 5k
  lehr forecast fit.json --running job.csv --anneal-from 30k --steps 40k --plot job.svg")]
pub struct Args {
    #[command(flatten)]
    from: FitOrLogs,
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    setting: SettingArgs,
    /// Updates to forecast at, separated by commas; default: spread over the run.
    #[arg(long, value_name = "UPDATE,…", value_delimiter = ',', value_parser = count)]
    at: Vec<u64>,
    /// Level of the interval; default: that of the fit.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    level: Option<f64>,
    /// Draws the forecast into a file (svg, png, pdf or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measured runs to draw beside it.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    measured: Vec<PathBuf>,
    #[command(flatten)]
    running: RunningArgs,
    /// Writes the answer in the form of the name's ending: .json, or update, rate, loss, lower, upper as .csv, .md, .tex.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The schedule of the target.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Schedule")]
pub struct PlanArgs {
    /// The schedule in one text, as `lehr schedule` describes it.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["peak_lr", "steps", "tokens", "compute", "ratio", "cosine", "running", "anneal_steps", "anneal_from"])]
    schedule: Option<String>,
    /// Peak rate.
    #[arg(long, alias = "lr", value_name = "RATE", value_parser = rate, allow_hyphen_values = true, required_unless_present_any = ["schedule", "running"], conflicts_with = "running")]
    peak_lr: Option<f64>,
    #[command(flatten)]
    length: LengthArgs,
    /// Warm-up updates; default: as in the runs fitted. With --running: those of a log that begins after its warm-up.
    #[arg(long, value_name = "UPDATES", value_parser = count)]
    warmup: Option<u64>,
    /// Annealing ratio: the share of the horizon spent annealing; default: 0.2.
    #[arg(long, aliases = ["decay", "cooldown", "warmdown"], value_name = "SHARE", value_parser = share, allow_negative_numbers = true, conflicts_with = "cosine")]
    ratio: Option<f64>,
    /// Updates spent annealing, in place of a ratio; with --running and no horizon: from now on.
    #[arg(long, value_name = "UPDATES", value_parser = count, conflicts_with_all = ["ratio", "cosine"])]
    anneal_steps: Option<u64>,
    /// Last update before the annealing, in place of a ratio.
    #[arg(long, value_name = "UPDATE", value_parser = count, conflicts_with_all = ["ratio", "cosine"])]
    anneal_from: Option<u64>,
    /// How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA.
    #[arg(long, value_name = "SHAPE", value_parser = shape, default_value = "linear")]
    shape: Shape,
    /// Final rate.
    #[arg(long, value_name = "RATE", value_parser = final_rate, allow_hyphen_values = true, default_value = "0")]
    final_lr: f64,
    /// A cosine over the whole run instead of warm-up–stable–decay.
    #[arg(long, conflicts_with = "running")]
    cosine: bool,
}

impl PlanArgs {
    /// The horizon in updates, if one was stated.
    fn total(&self, fit: &Fit, setting: &Setting) -> Result<Option<u64>, Failure> {
        self.length.length().map(|length| updates(fit, length, setting)).transpose()
    }

    fn plan(&self, stated: Option<u64>) -> Result<Plan, Failure> {
        if let Some(text) = &self.schedule {
            return text.parse::<Schedule>().map(Plan::Schedule).map_err(|error| {
                Failure::usage(error).hint("for example 'wsd:peak=1e-3,total=50k,warmup=300,ratio=0.2'")
            });
        }
        PlanSpec {
            peak_lr: self.peak_lr,
            total: stated,
            warmup: self.warmup,
            ratio: self.ratio,
            anneal_steps: self.anneal_steps,
            anneal_from: self.anneal_from,
            cosine: self.cosine,
            shape: self.shape,
            final_lr: self.final_lr,
        }
        .plan()
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let desk = output.desk();
    check_target(args.output.as_deref())?;
    tables::check_format(args.output.as_deref())?;
    check_picture(args.plot.as_deref())?;
    let fitted = args.from.fit(&desk, output)?;
    let fit = fitted.value;
    let setting = args.setting.one()?;
    let total = args.plan.total(&fit, &setting)?;
    if let Some(reading) = args.running.job(args.plan.warmup)? {
        let plan = &args.plan;
        let request = RunningForecastRequest {
            job: Job {
                fit,
                reading,
                setting: setting.clone(),
                total,
                shape: plan.shape,
                final_lr: plan.final_lr,
            },
            anneal_from: plan.anneal_from,
            anneal_steps: plan.anneal_steps,
            ratio: plan.ratio,
            at: args.at,
            level: args.level,
        };
        let wanted = Wanted { plot: args.plot.as_deref(), output: args.output.as_deref() };
        return running::forecast(&request, &wanted, output);
    }
    let request = ForecastRequest {
        fit,
        plan: args.plan.plan(total)?,
        setting,
        at: args.at,
        level: args.level,
        measured: args.running.measured(&args.measured)?,
    };
    let answer = desk.forecast(&request)?;
    output.notes(&answer.notes);
    if let Some(path) = &args.output {
        output.write(path, tables::contents(path, &answer.value)?.as_bytes())?;
    }
    let picture = answer.value.picture(&request.fit);
    let drawing = output.drawing(&picture);
    if let Some(path) = &args.plot {
        output.draw(path, picture)?;
    }
    if output.json {
        output.answer(&answer.value)?;
    } else {
        output.data(&text::text(&answer.value, !request.at.is_empty(), output, drawing))?;
    }
    output.close(&answer)
}

//! `lehr forecast`: the loss at every update under a schedule.

use crate::failure::Failure;
use crate::fit_or_logs::FitOrLogs;
use crate::load::count;
use crate::output::{Output, check_picture, check_target, percent, table};
use crate::running::{self, RunningArgs, Wanted};
use crate::target::{LengthArgs, SettingArgs, final_rate, rate, shape, share};
use lehr::fit::Fit;
use lehr::forecast::Setting;
use lehr::{Params, Schedule, Shape};
use lehr_app::forecast::ForecastRequest;
use lehr_app::forecast::checked_level;
use lehr_app::forecast_rows::ForecastRowsRequest;
use lehr_app::running::{Job, RunningForecastRequest};
use lehr_app::tables;
use lehr_app::target::{Plan, PlanSpec, updates};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod text;

/// Forecasts the loss of a run from its schedule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr forecast runs/ --peak-lr 1e-3 --steps 50k --ratio 0.3       fits the logs first
  lehr forecast fit.json --peak-lr 1e-3 --steps 50k --ratio 0.3
  lehr forecast fit.json --peak-lr 1e-3 --steps 50k --cosine --final-lr 1e-4 --plot forecast.svg
  lehr forecast fit.json --schedule 'wsd:peak=1e-3,total=50k,warmup=300,ratio=0.2' --at 30k,40k,50k --json
  lehr forecast fit.json --params 300M,1B --peak-lr 3e-4,6e-4 --tokens 20B --ratio 0.2,0.5 -o losses.tex
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
    /// Peak rate; several, separated by commas, give a row each.
    #[arg(
        long,
        alias = "lr",
        value_name = "RATE,…",
        value_parser = rate,
        value_delimiter = ',',
        allow_hyphen_values = true,
        required_unless_present_any = ["schedule", "running"],
        conflicts_with = "running"
    )]
    peak_lr: Vec<f64>,
    #[command(flatten)]
    length: LengthArgs,
    /// Warm-up updates; default: as in the runs fitted. With --running: those of a log that begins after its warm-up.
    #[arg(long, value_name = "UPDATES", value_parser = count)]
    warmup: Option<u64>,
    /// Annealing ratio: the share of the horizon spent annealing; default: 0.2; several, separated by commas, give a row each.
    #[arg(
        long,
        aliases = ["decay", "cooldown", "warmdown"],
        value_name = "SHARE,…",
        value_parser = share,
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "cosine"
    )]
    ratio: Vec<f64>,
    /// Updates spent annealing, in place of a ratio; with --running and no horizon: from now on.
    #[arg(long, value_name = "UPDATES", value_parser = count, conflicts_with_all = ["ratio", "cosine"])]
    anneal_steps: Option<u64>,
    /// Last update before the annealing, in place of a ratio.
    #[arg(long, value_name = "UPDATE", value_parser = count, conflicts_with_all = ["ratio", "cosine"])]
    anneal_from: Option<u64>,
    /// How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA; several, separated by commas, give a
    /// row each.
    #[arg(long, value_name = "SHAPE,…", value_delimiter = ',', value_parser = shape, default_value = "linear")]
    shape: Vec<Shape>,
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
        self.spec(stated)?.plan()
    }

    /// What schedules of several targets share, or that of one.
    fn spec(&self, stated: Option<u64>) -> Result<PlanSpec, Failure> {
        Ok(PlanSpec {
            peak_lr: self.peak_lr.first().copied(),
            total: stated,
            warmup: self.warmup,
            ratio: self.ratio.first().copied(),
            anneal_steps: self.anneal_steps,
            anneal_from: self.anneal_from,
            cosine: self.cosine,
            shape: *self.shape.first().ok_or_else(|| Failure::usage("[[shape]] is needed"))?,
            final_lr: self.final_lr,
        })
    }

    /// The one shape and ratio of a running job.
    fn only(&self) -> Result<(Shape, Option<f64>), Failure> {
        match (&self.shape[..], &self.ratio[..]) {
            ([shape], [] | [_]) => Ok((*shape, self.ratio.first().copied())),
            _ => Err(Failure::usage("[[shape]] or [[ratio]] names several: this is about one running job")),
        }
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let desk = output.desk();
    check_target(args.output.as_deref())?;
    tables::check_format(args.output.as_deref())?;
    check_picture(args.plot.as_deref())?;
    let fitted = args.from.chosen(&args.running, &args.measured)?.fit(&desk, output)?;
    let fit = fitted.value;
    if let Some(reading) = args.running.job(args.plan.warmup)? {
        let setting = args.setting.one()?;
        let total = args.plan.total(&fit, &setting)?;
        let plan = &args.plan;
        let (shape, ratio) = plan.only()?;
        let request = RunningForecastRequest {
            job: Job { fit, reading, setting, total, shape, final_lr: plan.final_lr },
            anneal_from: plan.anneal_from,
            anneal_steps: plan.anneal_steps,
            ratio,
            at: args.at,
            level: args.level.map(checked_level).transpose()?,
        };
        let wanted = Wanted { plot: args.plot.as_deref(), output: args.output.as_deref() };
        return running::forecast(&request, &wanted, output);
    }
    let plan = &args.plan;
    let setting = args.setting.setting();
    let lists = [args.setting.params.len(), plan.peak_lr.len(), plan.ratio.len(), plan.shape.len()];
    if lists.iter().any(|&length| length > 1) {
        if args.plot.is_some() || !args.at.is_empty() || !args.measured.is_empty() || plan.schedule.is_some()
        {
            return Err(Failure::usage(
                "pictures, updates asked for, measured runs and schedules in one text are of one target, and several were named",
            )
            .hint("name one N, one peak rate, one ratio and one shape"));
        }
        let request = ForecastRowsRequest {
            plan: plan.spec(None)?,
            fit: Arc::new(fit),
            setting,
            level: args.level.map(checked_level).transpose()?,
            length: plan.length.length(),
            params: args.setting.params.iter().copied().map(Params).collect(),
            peak_lrs: plan.peak_lr.clone(),
            ratios: plan.ratio.clone(),
            shapes: plan.shape.clone(),
        };
        return rows(&request, args.output.as_deref(), output);
    }
    let total = plan.total(&fit, &setting)?;
    let request = ForecastRequest {
        fit: Arc::new(fit),
        plan: plan.plan(total)?,
        setting,
        at: args.at,
        level: args.level.map(checked_level).transpose()?,
        measured: args.running.measured(&args.measured)?,
    };
    let answer = desk.forecast(&request)?;
    output.begin(&answer, args.output.as_deref())?;
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

/// Several targets, a row each.
fn rows(request: &ForecastRowsRequest, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let answer = output.desk().forecast_rows(request)?;
    let found = &answer.value;
    output.begin(&answer, file)?;
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    let loss = format!("last loss ({})", percent(found.level));
    let mut table = table(["N", "peak rate", "ratio", "shape", "updates", &loss]);
    for row in &found.rows {
        table.add_row([
            row.params.map_or_else(|| "as fitted".to_owned(), lehr::units::short_count),
            format!("{:e}", row.peak_lr),
            row.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.3}")),
            row.shape.clone(),
            row.steps.to_string(),
            format!("{:.4} ({:.4} … {:.4})", row.last.value, row.last.lower, row.last.upper),
        ]);
    }
    output.data(&format!("{table}\n"))?;
    output.close(&answer)
}

//! `lehr forecast`: the loss at every update under a schedule.

use crate::failure::Failure;
use crate::load::{LoadArgs, count, load, positive};
use crate::output::{Output, check_target, data, say, table, write_file};
use crate::plot;
use crate::target::{SettingArgs, final_rate, rate, read_fit, shape, warmup};
use lehr::forecast::{Forecast, ForecastError, default_points, forecast};
use lehr::{AnnealingRatio, Schedule, Shape, Steps, WsdSpec};
use std::path::PathBuf;

/// Forecasts the loss of a run from its schedule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr forecast fit.json --peak-lr 1e-3 --steps 50k --ratio 0.3
  lehr forecast fit.json --peak-lr 1e-3 --steps 50k --cosine --final-lr 1e-4 --plot forecast.svg
  lehr forecast fit.json --schedule 'wsd:peak=1e-3,total=50k,warmup=300,ratio=0.2' --at 30k,40k,50k --json")]
pub struct Args {
    /// The fit, from `lehr fit -o`.
    #[arg(value_name = "FIT")]
    fit: PathBuf,
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
    /// Draws the forecast into a file (svg, png or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measured runs to draw beside it.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    measured: Vec<PathBuf>,
    /// Writes update, rate, loss, lower, upper as CSV.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The schedule of the target.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Schedule")]
pub struct PlanArgs {
    /// The schedule in one text, as `lehr schedule` describes it.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["peak_lr", "steps", "ratio", "cosine"])]
    schedule: Option<String>,
    /// Peak rate.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true, required_unless_present = "schedule")]
    peak_lr: Option<f64>,
    /// Horizon in updates (k M B are understood).
    #[arg(long, value_name = "UPDATES", value_parser = positive, required_unless_present = "schedule")]
    steps: Option<u64>,
    /// Warm-up updates; default: as in the runs fitted.
    #[arg(long, value_name = "UPDATES", value_parser = count)]
    warmup: Option<u64>,
    /// Annealing ratio: the share of the horizon spent annealing.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.2,
        allow_negative_numbers = true,
        conflicts_with = "cosine"
    )]
    ratio: f64,
    /// How the rate falls: linear, cosine, 1-sqrt, exponential, geometric, inverse, power:BETA.
    #[arg(long, value_name = "SHAPE", value_parser = shape, default_value = "linear")]
    shape: Shape,
    /// Final rate.
    #[arg(long, value_name = "RATE", value_parser = final_rate, allow_hyphen_values = true, default_value = "0")]
    final_lr: f64,
    /// A cosine over the whole run instead of warm-up–stable–decay.
    #[arg(long)]
    cosine: bool,
}

impl PlanArgs {
    fn schedule(&self, fit: &lehr::fit::Fit) -> Result<Schedule, Failure> {
        if let Some(text) = &self.schedule {
            return text.parse::<Schedule>().map_err(|error| {
                Failure::usage(error).hint("for example 'wsd:peak=1e-3,total=50k,warmup=300,ratio=0.2'")
            });
        }
        // clap has required both.
        let (Some(peak_lr), Some(total)) = (self.peak_lr, self.steps) else {
            return Err(Failure::usage("--peak-lr and --steps are needed"));
        };
        let warmup = warmup(self.warmup, fit, total);
        let anneal = if self.cosine {
            total.saturating_sub(warmup.0)
        } else {
            let ratio = AnnealingRatio::new(self.ratio).map_err(Failure::usage)?;
            (ratio.get() * total as f64).round() as u64
        };
        WsdSpec {
            peak_lr,
            total: Steps(total),
            warmup,
            anneal: Steps(anneal),
            shape: if self.cosine { Shape::Cosine } else { self.shape },
            final_lr: self.final_lr,
            ..WsdSpec::default()
        }
        .checked()
        .map(Schedule::Wsd)
        .map_err(Failure::usage)
    }
}

/// What went wrong, with the way out.
pub fn failure(error: ForecastError) -> Failure {
    let hint = match &error {
        ForecastError::Outside { .. } => Some("--at takes updates of the schedule"),
        ForecastError::NotFinite { .. } => {
            Some("another --law may describe it; see `lehr laws` for what each cannot do")
        }
        _ => None,
    };
    let failure = match error {
        ForecastError::Outside { .. } | ForecastError::ZeroParams => Failure::usage(error),
        _ => Failure::new(error),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let mut fit = read_fit(&args.fit)?;
    check_target(args.output.as_deref())?;
    plot::check_target(args.plot.as_deref())?;
    if let Some(level) = args.level {
        if !(level > 0.0 && level < 1.0) {
            return Err(Failure::usage(format_args!("--level {level} is not between 0 and 1")));
        }
        fit.options.level = level;
    }
    let schedule = args.plan.schedule(&fit)?;
    let total = schedule.total().0;
    let setting = args.setting.setting();
    let mut points = if args.at.is_empty() { default_points(total, 160) } else { args.at.clone() };
    points.sort_unstable();
    points.dedup();
    // What a law says about the warm-up is no forecast.
    if args.at.is_empty() {
        let first =
            fit.runs.iter().map(|run| run.warmup).max().unwrap_or(0) as f64 * fit.options.warmup_factor;
        points.retain(|&t| t as f64 >= first || t == total);
    }
    let forecast = forecast(&fit, &schedule, &setting, &points).map_err(failure)?;
    let rates = schedule.rates();
    if let Some(path) = &args.output {
        let mut csv = String::from("update,lr,loss,lower,upper\n");
        for i in 0..forecast.update.len() {
            let t = forecast.update[i];
            csv.push_str(&format!(
                "{t},{:e},{:.6},{:.6},{:.6}\n",
                rates[t as usize - 1],
                forecast.loss[i],
                forecast.lower[i],
                forecast.upper[i]
            ));
        }
        write_file(path, csv.as_bytes())?;
        say(format_args!("wrote {}", path.display()));
    }
    let measured = if args.measured.is_empty() {
        Vec::new()
    } else {
        load(&LoadArgs::of_paths(args.measured.clone()), output)?.curves
    };
    let picture = plot::forecast(&fit, &schedule, &forecast, &measured);
    if let Some(path) = &args.plot {
        plot::write(path, &picture)?;
    }
    if output.json {
        output.document("lehr.forecast/1", &json(&forecast, &schedule, &rates))?;
    } else {
        data(&text(&forecast, &schedule, !args.at.is_empty(), output, &picture))?;
    }
    output.caveats(&forecast.caveats)
}

fn json(forecast: &Forecast, schedule: &Schedule, rates: &[f64]) -> serde_json::Value {
    serde_json::json!({
        "schedule": schedule.to_string(),
        "update": forecast.update,
        "lr": forecast.update.iter().map(|&t| rates[t as usize - 1]).collect::<Vec<_>>(),
        "loss": forecast.loss,
        "lower": forecast.lower,
        "upper": forecast.upper,
        "final": { "loss": forecast.r#final.value, "lower": forecast.r#final.lower, "upper": forecast.r#final.upper },
        "level": forecast.level,
        "caveats": forecast.caveats,
    })
}

fn text(
    forecast: &Forecast,
    schedule: &Schedule,
    every: bool,
    output: &Output,
    picture: &plot::Picture,
) -> String {
    let mut out = format!("{schedule}\n\n");
    if !every && let Some(drawing) = output.drawing(picture) {
        out.push_str(&drawing);
        out.push('\n');
    }
    let mut rows = table(["update", "rate", "loss", &format!("{:.0} % interval", forecast.level * 100.0)]);
    let n = forecast.update.len();
    let shown: Vec<usize> =
        if every || n <= 12 { (0..n).collect() } else { (1..=10).map(|i| (n - 1) * i / 10).collect() };
    for i in shown {
        let t = forecast.update[i];
        rows.add_row([
            t.to_string(),
            format!("{:.3e}", schedule.lr(t)),
            format!("{:.4}", forecast.loss[i]),
            format!("{:.4} … {:.4}", forecast.lower[i], forecast.upper[i]),
        ]);
    }
    let f = &forecast.r#final;
    out.push_str(&format!(
        "{rows}\n\nloss at update {}: {:.4} nats per token ({:.4} … {:.4}, {:.0} %)\n",
        forecast.update[n - 1],
        f.value,
        f.lower,
        f.upper,
        forecast.level * 100.0
    ));
    out
}

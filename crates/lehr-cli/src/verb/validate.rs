//! `lehr validate`: fit on some runs, judge on runs that the fit did not see.

use crate::failure::Failure;
use crate::fit_args::FitArgs;
use crate::load::LoadArgs;
use crate::output::{Output, check_target, table};
use crate::verb::fit::{mape, percent, r2_text};
use lehr::validate::{LeaveOut, Validation};
use lehr_app::validate::{Splitting, ValidateRequest};
use lehr_app::{laws, tables};
use std::path::PathBuf;

/// How runs are split into fitted and judged ones.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Split")]
pub struct SplitArgs {
    /// Runs to fit, by name or pattern, separated by commas; all others are judged.
    #[arg(long, value_name = "NAME,GLOB,…", value_delimiter = ',', conflicts_with = "leave_out")]
    pub train: Vec<String>,
    /// Runs to judge; default: all that are not fitted.
    #[arg(long, value_name = "NAME,GLOB,…", value_delimiter = ',', requires = "train")]
    pub test: Vec<String>,
    /// Leaves out one value at a time instead.
    #[arg(long, value_enum)]
    pub leave_out: Option<LeaveOutArg>,
}

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LeaveOutArg {
    /// One run at a time.
    Run,
    /// One schedule at a time.
    Schedule,
    /// One peak rate at a time.
    PeakLr,
    /// One horizon at a time.
    Horizon,
    /// One size at a time.
    Size,
}

impl SplitArgs {
    /// How to split; one run left out at a time by default.
    pub fn splitting(&self) -> Splitting {
        if !self.train.is_empty() {
            return Splitting::Named { train: self.train.clone(), test: self.test.clone() };
        }
        Splitting::LeaveOut(match self.leave_out.unwrap_or(LeaveOutArg::Run) {
            LeaveOutArg::Run => LeaveOut::Run,
            LeaveOutArg::Schedule => LeaveOut::Schedule,
            LeaveOutArg::PeakLr => LeaveOut::PeakRate,
            LeaveOutArg::Horizon => LeaveOut::Horizon,
            LeaveOutArg::Size => LeaveOut::Size,
        })
    }
}

/// Judges a law on runs that its fit did not see.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr validate runs/ --train 'cosine_24000,constant_24000,wsdcon_9'
  lehr validate runs/ --leave-out peak-lr --law multi-power
  lehr validate runs/ --train '*T10000*' --json")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// The law; `lehr laws` describes them.
    #[arg(long, default_value = "noise-relaxation")]
    law: String,
    #[command(flatten)]
    split: SplitArgs,
    /// Also asks how often the intervals of the fits hold the losses of runs held out.
    #[arg(long)]
    coverage: bool,
    #[command(flatten)]
    fit: FitArgs,
    /// Writes the answer in the form of the name's ending: .json, or the runs as .csv, .md, .tex.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let request = ValidateRequest {
        law: laws::named(&args.law)?,
        options: args.fit.options()?,
        reading: args.load.reading()?,
        splitting: args.split.splitting(),
        coverage: args.coverage,
    };
    check_target(args.output.as_deref())?;
    tables::check_format(args.output.as_deref())?;
    let answer = args.fit.desk(output)?.validate(&request)?;
    output.begin(&answer, args.output.as_deref())?;
    if output.json {
        output.answer(&answer.value)?;
        return output.close(&answer);
    }
    let mut out = text(&answer.value.validation, answer.value.splits);
    if let Some(c) = &answer.value.coverage {
        out.push_str(&format!(
            "\nintervals of {:.0} %: {} of {} last losses held out lie inside ({:.1} %), {:.1} % of all points; half-width ±{}\n",
            c.level.get() * 100.0,
            c.finals_inside,
            c.finals,
            100.0 * c.finals_inside as f64 / c.finals.max(1) as f64,
            100.0 * c.points_inside as f64 / c.points.max(1) as f64,
            percent(c.mean_half_width),
        ));
    }
    output.data(&out)?;
    output.close(&answer)
}

fn text(validation: &Validation, splits: usize) -> String {
    let mut out = format!(
        "{}, {} free coefficients, {splits} split{}\n\n",
        validation.law,
        validation.n_coefficients,
        if splits == 1 { "" } else { "s" }
    );
    let mut rows = table(["", "R²", "MAE mnat", "RMSE mnat", "MAPE", "worst", "final"]);
    for (name, m) in [("fitted", &validation.train), ("held out", &validation.test)] {
        rows.add_row([
            name.to_owned(),
            r2_text(m.r2),
            format!("{:.2}", m.mae * 1e3),
            format!("{:.2}", m.rmse * 1e3),
            mape(m),
            percent(m.worst),
            percent(m.r#final),
        ]);
    }
    out.push_str(&format!("{rows}\n\n"));
    let mut rows = table(["run held out", "split", "MAE mnat", "MAPE", "worst", "final"]);
    for run in validation.per_run.iter().filter(|run| run.part == "test") {
        rows.add_row([
            run.id.clone(),
            run.fold.clone(),
            format!("{:.2}", run.metrics.mae * 1e3),
            mape(&run.metrics),
            percent(run.metrics.worst),
            format!("{:+.3} %", run.final_signed * 100.0),
        ]);
    }
    out.push_str(&format!(
        "{rows}\n\nmeans over runs; the largest error of any point held out is {}\n",
        percent(validation.test_worst_of_all)
    ));
    out
}

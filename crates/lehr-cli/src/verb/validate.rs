//! `lehr validate`: fit on some runs, judge on runs that the fit did not see.

use crate::failure::Failure;
use crate::fit_args::{FitArgs, held_points, law_named};
use crate::load::{LoadArgs, load_condensed};
use crate::output::{Output, data, table};
use crate::verb::fit::percent;
use lehr::Curve;
use lehr::validate::{
    LeaveOut, SplitOf, ValidateError, Validation, measure_coverage, split_by_name, splits, validate,
};

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
    /// The splits of these curves; one run left out at a time by default.
    pub fn splits(&self, curves: &[Curve]) -> Result<Vec<SplitOf>, Failure> {
        if !self.train.is_empty() {
            return Ok(vec![split_by_name(curves, &self.train, &self.test).map_err(failure)?]);
        }
        let what = match self.leave_out.unwrap_or(LeaveOutArg::Run) {
            LeaveOutArg::Run => LeaveOut::Run,
            LeaveOutArg::Schedule => LeaveOut::Schedule,
            LeaveOutArg::PeakLr => LeaveOut::PeakRate,
            LeaveOutArg::Horizon => LeaveOut::Horizon,
            LeaveOutArg::Size => LeaveOut::Size,
        };
        splits(curves, what).map_err(failure)
    }
}

/// What went wrong, with the way out.
pub fn failure(error: ValidateError) -> Failure {
    match error {
        ValidateError::Fit { error, .. } => crate::verb::fit::failure(error),
        ValidateError::NoMatch { .. } => Failure::usage(error).hint(
            "patterns know * and ?; a name without its folder is enough: --train 'cosine_*,constant_24000'",
        ),
        ValidateError::Empty { .. } => {
            Failure::usage(error).hint("let --train name some of the runs, not all")
        }
        ValidateError::NothingToLeaveOut { .. } => {
            Failure::usage(error).hint("use --leave-out run or --train")
        }
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
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let law = law_named(&args.law)?;
    let options = args.fit.options()?;
    let loaded = load_condensed(&args.load, held_points(&options), output)?;
    let splits = args.split.splits(&loaded.curves)?;
    let bar = output.wait("validating");
    let validation = validate(law, &loaded.curves, &splits, &options).map_err(failure)?;
    let covered = if args.coverage {
        Some(measure_coverage(law, &loaded.curves, &splits, &options).map_err(failure)?)
    } else {
        None
    };
    bar.finish_and_clear();
    if output.json {
        let mut value = serde_json::to_value(&validation).map_err(Failure::new)?;
        if let (Some(object), Some(covered)) = (value.as_object_mut(), &covered) {
            object.insert("coverage".to_owned(), serde_json::to_value(covered).map_err(Failure::new)?);
        }
        if let Some(object) = value.as_object_mut() {
            object.insert("caveats".to_owned(), serde_json::to_value(&loaded.caveats).map_err(Failure::new)?);
        }
        output.document("lehr.validate/1", &value)?;
        return output.caveats(&loaded.caveats);
    }
    let mut out = text(&validation, splits.len());
    if let Some(c) = &covered {
        out.push_str(&format!(
            "\nintervals of {:.0} %: {} of {} last losses held out lie inside ({:.1} %), {:.1} % of all points; half-width ±{}\n",
            c.level * 100.0,
            c.finals_inside,
            c.finals,
            100.0 * c.finals_inside as f64 / c.finals.max(1) as f64,
            100.0 * c.points_inside as f64 / c.points.max(1) as f64,
            percent(c.mean_half_width),
        ));
    }
    data(&out)?;
    output.caveats(&loaded.caveats)
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
            format!("{:.5}", m.r2),
            format!("{:.2}", m.mae * 1e3),
            format!("{:.2}", m.rmse * 1e3),
            percent(m.mape),
            percent(m.worst),
            percent(m.r#final),
        ]);
    }
    out.push_str(&format!("{rows}\n\n"));
    let mut rows = table(["run held out", "split", "MAE mnat", "MAPE", "worst", "final"]);
    for run in validation.per_run.iter().filter(|run| run.part == "test") {
        rows.add_row([
            run.id.clone(),
            run.split.clone(),
            format!("{:.2}", run.metrics.mae * 1e3),
            percent(run.metrics.mape),
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

//! `lehr plan`: which further runs are worth their price.

use crate::failure::Failure;
use crate::fit_or_logs::OptionalFit;
use crate::load::{count, positive};
use crate::output::{Output, check_picture, check_target, table, updates};
use crate::target::{LengthArgs, SettingArgs, final_rate, rate, shape, share};
use lehr::Shape;
use lehr::plan::{Aim, Budget, ChosenRun, Throughput, Unit};
use lehr_app::plan::{CandidateLists, PlanAnswer, PlanRequest, SweepModel, parse_budget, parse_throughput};
use lehr_app::target::updates as updates_of;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Chooses the runs to train next: those that make the recommended ratio most certain for what they cost.
///
/// A trunk and its branches are paid once for what they share. After each run it says what regret is expected to be left,
/// and after which one to stop: where training the target itself a little longer would buy more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr plan fit.json --peak-lr 1e-3 --steps 50k --params 1.3B --budget 400h --throughput 40k@1.3B
  lehr plan runs/ --peak-lr 1e-3 --steps 50k --budget 30kupdates -o plan.toml      then: lehr sweep plan.toml
  lehr plan --peak-lr 1e-3 --steps 50k --params 124M --tokens-per-step 500k --candidate-params 50M,100M
  lehr plan fit.json --peak-lr 1e-3 --steps 50k --checkpoints 'trunk*' --plot plan.svg --json")]
pub struct Args {
    #[command(flatten)]
    from: OptionalFit,
    /// Peak rate of the target.
    #[arg(long, alias = "lr", value_name = "RATE", value_parser = rate, allow_hyphen_values = true)]
    peak_lr: f64,
    #[command(flatten)]
    length: LengthArgs,
    /// Warm-up updates; default: as in the runs fitted, a hundredth of the horizon without any.
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
    /// What the runs may cost together: 2e19flops, 400h (of one GPU, with --throughput), 5Btokens or 30kupdates; default: as
    /// long as runs are worth their price.
    #[arg(long, value_name = "AMOUNT", value_parser = parse_budget, help_heading = "Price")]
    budget: Option<Budget>,
    /// What one GPU does: tokens a second at a size, as 250k@124M (other sizes in proportion to 1/N), or FLOPs a second, as 2e14.
    #[arg(long, value_name = "PACE", value_parser = parse_throughput, help_heading = "Price")]
    throughput: Option<Throughput>,
    /// Constant-rate runs of the fit whose checkpoints are kept (names, * and ? allowed; repeat): branching off them costs the
    /// annealing alone.
    #[arg(long, value_name = "RUN", value_delimiter = ',', help_heading = "Candidates")]
    checkpoints: Vec<String>,
    /// Sizes that may be trained; default: those fitted, the three largest.
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive, help_heading = "Candidates")]
    candidate_params: Vec<u64>,
    /// Peak rates that may be trained; default: the target's.
    #[arg(long, value_name = "RATE,…", value_delimiter = ',', value_parser = rate, help_heading = "Candidates")]
    candidate_lrs: Vec<f64>,
    /// Horizons that may be trained, in updates; default: 1/32, 1/16, 1/8, 1/4 and 1/2 of the target's.
    #[arg(long, value_name = "UPDATES,…", value_delimiter = ',', value_parser = positive, help_heading = "Candidates")]
    horizons: Vec<u64>,
    /// Annealing ratios that may be trained; default: 0.05, 0.1, 0.2, 0.35, 0.5, 0.75.
    #[arg(long, value_name = "RATIO,…", value_delimiter = ',', value_parser = share, help_heading = "Candidates")]
    ratios: Vec<f64>,
    /// Most runs.
    #[arg(long, value_name = "N", value_parser = positive, default_value = "24", help_heading = "Candidates")]
    most_runs: u64,
    /// What the runs are chosen for.
    #[arg(long, value_enum, default_value_t = For::Ratio)]
    aim: For,
    /// Draws of the coefficients that everything is averaged over.
    #[arg(long, value_name = "N", value_parser = positive, default_value = "16")]
    draws: u64,
    /// Seed of the draws.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// With -o: the model of every size, ascending: a preset, or a table that you add to `models`; default: the nearest presets.
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', requires = "output")]
    model: Vec<String>,
    /// With -o: sequences an update; default: --tokens-per-step over the preset's context.
    #[arg(long, value_name = "SEQUENCES", requires = "output")]
    batch: Option<u32>,
    /// Writes the plan of a sweep, which `lehr sweep` trains as it is: the runs within the budget, without one those up to the stop.
    #[arg(short, long, value_name = "PLAN.toml")]
    output: Option<PathBuf>,
    /// Draws regret and interval against cost into a file (svg, png, pdf or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What the runs are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum For {
    /// A small regret of the recommended ratio.
    Ratio,
    /// A narrow interval of the forecast loss.
    Forecast,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let desk = output.desk();
    check_picture(args.plot.as_deref())?;
    check_target(args.output.as_deref())?;
    if let Some(path) = args.output.as_deref().filter(|path| path.extension().is_none_or(|e| e != "toml")) {
        return Err(Failure::usage(format_args!("'{}' is not the name of a sweep's plan", path.display()))
            .hint("end the name in .toml; the whole answer is printed by [[json]]"));
    }
    let fit = args.from.fit(&desk, output)?;
    let setting = args.setting.one()?;
    let Some(length) = args.length.length() else {
        return Err(Failure::usage("the horizon is missing: [[steps]], [[tokens]] or [[compute]] states it"));
    };
    let total = match &fit {
        Some(fit) => updates_of(fit, length, &setting)?,
        None => length
            .updates(setting.params, setting.tokens_per_step)
            .map(|updates| updates.0)
            .map_err(Failure::usage)?,
    };
    let request = PlanRequest {
        fit,
        peak_lr: args.peak_lr,
        total,
        warmup: args.warmup,
        shape: args.shape,
        final_lr: args.final_lr,
        setting,
        candidates: CandidateLists {
            params: args.candidate_params,
            peak_lr: args.candidate_lrs,
            total: args.horizons,
            ratio: args.ratios,
        },
        checkpoints: args.checkpoints,
        budget: args.budget,
        throughput: args.throughput,
        most_runs: args.most_runs as usize,
        aim: match args.aim {
            For::Ratio => Aim::Ratio,
            For::Forecast => Aim::Forecast,
        },
        draws: args.draws as usize,
        seed: args.seed,
        sweep: args.output.is_some().then_some(SweepModel { models: args.model, batch: args.batch }),
    };
    let answer = desk.plan(&request)?;
    let found = &answer.value;
    output.notes(&answer.notes);
    if let Some(path) = &args.plot {
        output.draw(path, found.picture())?;
    }
    if let (Some(path), Some(plan)) = (&args.output, &found.sweep) {
        output.write(path, plan.as_bytes())?;
    }
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    output.data(&text(found))?;
    output.close(&answer)
}

/// What is paid, in words.
fn price(run: &lehr::plan::Price, unit: Unit) -> String {
    match (run.hours, unit) {
        (Some(hours), _) => format!("{hours:.1} h"),
        (None, Unit::Operations) => format!("{:.2e} FLOPs", run.amount),
        (None, Unit::Tokens) => format!("{:.2e} tokens", run.amount),
        (None, Unit::Updates) => format!("{} updates", updates(run.amount.round() as u64)),
    }
}

/// The answer for people.
fn text(found: &PlanAnswer) -> String {
    let mut out = format!(
        "by what is at hand ({}): anneal over the last {:.0} %, loss {:.4} ± {:.4}, expected regret {:.2} mnat\n\n",
        match found.runs_at_hand {
            0 => "no run".to_owned(),
            1 => "1 run".to_owned(),
            n => format!("{n} runs"),
        },
        100.0 * found.ratio,
        found.loss,
        found.half_width,
        1e3 * found.regret
    );
    if found.runs.is_empty() {
        let _ = writeln!(out, "no further run lowers that by half a percent or more within the budget");
        return out;
    }
    let interval = format!("± {:.0} % (mnat)", 100.0 * found.level);
    let mut rows = table([
        "",
        "N",
        "peak rate",
        "updates",
        "ratio",
        "trunk",
        "annealing",
        "cost so far",
        "regret (mnat)",
        &interval,
        "",
    ]);
    let trunk = |run: &ChosenRun| match (&run.checkpoint, run.trunk_updates) {
        (Some(_), 0) => "at hand".to_owned(),
        (None, 0) => "shared".to_owned(),
        (_, more) => format!("+{}", updates(more)),
    };
    for (i, run) in found.runs.iter().enumerate() {
        rows.add_row([
            (i + 1).to_string(),
            run.params.map_or_else(|| "as fitted".to_owned(), |n| format!("{:.3e}", n as f64)),
            format!("{:e}", run.peak_lr),
            updates(run.total),
            run.ratio.to_string(),
            trunk(run),
            updates(run.anneal_steps),
            price(&run.price_so_far, found.unit),
            format!("{:.2} → {:.2}", 1e3 * run.regret_before, 1e3 * run.regret),
            format!("{:.1} → {:.1}", 1e3 * run.half_width_before, 1e3 * run.half_width),
            if i + 1 == found.stop_after { "stop here".to_owned() } else { String::new() },
        ]);
    }
    let _ = writeln!(out, "{rows}\n");
    if found.stop_after == 0 {
        let first = &found.runs[0];
        let _ = writeln!(
            out,
            "stop here: the first run buys {:.2} mnat for {}; the target itself would, trained longer, for less",
            1e3 * (first.regret_before - first.regret),
            price(&first.price, found.unit)
        );
    }
    let _ = writeln!(
        out,
        "all {} candidates: {} updates, {}; regret {:.2} mnat, interval ± {:.1} mnat",
        found.grid.runs,
        updates(found.grid.updates),
        price(&found.grid.price, found.unit),
        1e3 * found.grid.regret,
        1e3 * found.grid.half_width
    );
    out
}

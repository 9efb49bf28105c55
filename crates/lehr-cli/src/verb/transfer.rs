//! `lehr transfer`: how the optimal ratio moves with peak rate and horizon, and whether it stays put elsewhere.

use crate::failure::Failure;
use crate::load::{LoadArgs, positive};
use crate::output::{Output, check_picture, narrowed, table};
use crate::target::{family, rate};
use lehr::ArchFamily;
use lehr::transfer::{PowerLaw, Stability, Variable};
use lehr_app::forecast::checked_level;
use lehr_app::transfer::{Prediction, TransferAnswer, TransferRequest, TransferTarget, VARIABLES};
use std::path::PathBuf;

/// Says how the optimal annealing ratio moves with peak rate and horizon.
///
/// Measures the optimum wherever the runs differ in the ratio alone (four ratios or more), fits
/// R = λ·η^α_η, R = λ·T^α_T and the joint law to those optima, and to the optima that a fitted law derives, tests whether
/// the ratio is stable across size, data set, split and architecture, and predicts it for a target.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr transfer runs/
  lehr transfer runs/ --fit fit.json --peak-lr 3e-4 --steps 100k --plot transfer.svg
  lehr transfer runs/ --peak-lr 3e-4 --steps 100k --arch moe --across-architectures")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// A fit: its optima are derived at the same cells (and fitted beside the measured ones).
    #[arg(long, value_name = "FIT")]
    fit: Option<PathBuf>,
    /// Predicts for this peak rate.
    #[arg(long, value_name = "RATE", value_parser = rate, allow_hyphen_values = true, requires = "steps", help_heading = "Target")]
    peak_lr: Option<f64>,
    /// Predicts for this horizon.
    #[arg(long, value_name = "UPDATES", value_parser = positive, requires = "peak_lr", help_heading = "Target")]
    steps: Option<u64>,
    /// Predicts for this many parameters (active ones of a mixture of experts), where the runs differ in N.
    #[arg(long, value_name = "N", value_parser = positive, requires = "peak_lr", help_heading = "Target")]
    target_params: Option<u64>,
    /// Architecture of the target; default: that of the runs.
    #[arg(long, value_name = "dense|moe", value_parser = family, help_heading = "Target")]
    arch: Option<ArchFamily>,
    /// Uses optima of one architecture for a target of another all the same.
    #[arg(long, help_heading = "Target")]
    across_architectures: bool,
    /// Level of the intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, allow_negative_numbers = true)]
    level: f64,
    /// Draws ratios against peak rate and horizon into a file (svg, png, pdf or txt).
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let level = checked_level(args.level)?;
    check_picture(args.plot.as_deref())?;
    let desk = output.desk();
    let request = TransferRequest {
        reading: args.load.reading()?,
        fit: args.fit.as_deref().map(|path| desk.read_fit(path)).transpose()?,
        target: match (args.peak_lr, args.steps) {
            (Some(peak_lr), Some(total)) => {
                Some(TransferTarget { peak_lr, total, params: args.target_params })
            }
            _ => None,
        },
        arch: args.arch,
        across_architectures: args.across_architectures,
        level,
    };
    let answer = desk.transfer(&request)?;
    output.notes(&answer.notes);
    if let Some(path) = &args.plot {
        output.draw(path, answer.value.picture())?;
    }
    if output.json {
        output.answer(&answer.value)?;
        return output.close(&answer);
    }
    output.data(&text(&answer.value, args.level, output))?;
    output.close(&answer)
}

/// Columns of the optima that a narrow terminal does without, the first first: misfit, loss, ratios.
const LEAST: [usize; 3] = [7, 6, 3];

fn text(found: &TransferAnswer, level: f64, output: &Output) -> String {
    let mut rows =
        table(["peak", "updates", "N", "ratios", "r* measured", "90 % interval", "loss", "misfit mnat"]);
    for m in &found.measured {
        rows.add_row([
            format!("{:e}", m.peak_lr),
            m.total.to_string(),
            m.params.map_or_else(String::new, |n| lehr::units::short_count(n.0)),
            m.points.len().to_string(),
            format!("{:.3}{}", m.ratio, if m.at_edge { " (edge)" } else { "" }),
            format!("{:.3} … {:.3}", m.interval.0, m.interval.1),
            format!("{:.4}", m.loss),
            format!("{:.2}", m.misfit * 1e3),
        ]);
    }
    let mut out = format!("{}\n", narrowed(rows, &LEAST));
    if let Some(noise) = found.twin_noise {
        out.push_str(&format!("\nnoise of a final loss, from twins: {:.2} mnat\n", noise * 1e3));
        if let Some(apart) = found.branch_noise {
            out.push_str(&format!("without what all runs of a seed share: {:.2} mnat\n", apart * 1e3));
        }
    }
    for s in &found.sources {
        if s.regrets.is_empty() && s.laws.iter().all(Result::is_err) {
            // Nothing to list: why no law could be fitted is said as notes.
            for (law, variables) in s.laws.iter().zip(VARIABLES) {
                if let Err(error) = law
                    && !variables.contains(&Variable::Params)
                {
                    output.say(format_args!("note: {error}"));
                }
            }
            continue;
        }
        out.push_str(&format!(
            "\noptima {}:\n",
            if s.source == "law" { "derived from the fit" } else { "measured" }
        ));
        if !s.regrets.is_empty() {
            let mut rows = table(["peak", "updates", "r* of the fit", "costs mnat"]);
            for (o, regret) in s.optima.iter().zip(&s.regrets) {
                rows.add_row([
                    format!("{:e}", o.peak_lr),
                    o.total.to_string(),
                    format!("{:.3}", o.ratio),
                    format!("{:.2}", regret * 1e3),
                ]);
            }
            let mean = s.regrets.iter().sum::<f64>() / s.regrets.len() as f64;
            let most = s.regrets.iter().copied().fold(0.0, f64::max);
            out.push_str(&format!(
                "{rows}\n  regret: mean {:.2}, largest {:.2} mnat\n",
                mean * 1e3,
                most * 1e3
            ));
        }
        for (law, variables) in s.laws.iter().zip(VARIABLES) {
            match law {
                // Most stores hold one size: that nothing is known of N goes without saying.
                Err(_) if variables.contains(&Variable::Params) => {}
                Ok(law) => out.push_str(&format!("  {}\n", in_words(law))),
                Err(error) => output.say(format_args!("note: {error}")),
            }
        }
    }
    out.push_str("\nis the ratio stable, peak rate and horizon accounted for?\n");
    let mut rows = table(["across", "levels", "answer"]);
    for q in &found.stability {
        rows.add_row([q.across.clone(), levels(q), q.verdict.clone()]);
    }
    out.push_str(&format!("{rows}\n"));
    if let Some(Prediction { peak_lr, steps, ratio, interval }) = found.prediction {
        out.push_str(&format!(
            "\nfor a peak of {peak_lr} and {steps} updates: r = {ratio:.3} ({:.3} … {:.3}, {:.0} %)\n",
            interval.0,
            interval.1,
            level * 100.0
        ));
    }
    if let Some(c) = &found.batch.collapse {
        out.push_str(&format!(
            "\nbatches of {} tokens: losses differ by {:.1} mnat at equal updates and by {:.1} mnat at equal tokens (statistic {:.2}: 0 updates decide, 1 tokens decide)\n",
            c.batches.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
            c.by_updates * 1e3,
            c.by_tokens * 1e3,
            c.statistic
        ));
    }
    if let Some(c) = &found.batch.critical {
        out.push_str(&format!(
            "B_opt = {:.3e}/L^{:.2} tokens (misfit of ln B {:.2})\n",
            c.lambda, c.alpha, c.rms
        ));
    }
    out
}

fn in_words(law: &PowerLaw) -> String {
    let terms: Vec<String> = law
        .variables
        .iter()
        .zip(&law.exponents)
        .map(|(v, e)| format!("{}^{:+.3} [{:+.3} … {:+.3}]", v.term(), e.value, e.interval.0, e.interval.1))
        .collect();
    format!(
        "R = {:.3} [{:.3} … {:.3}] · {}   misfit of ln R {:.3}, {} {}{}, capped at 1",
        law.lambda,
        law.lambda_interval.0,
        law.lambda_interval.1,
        terms.join(" · "),
        law.rms,
        law.n,
        if law.n == 1 { "optimum" } else { "optima" },
        if law.limits == 1 {
            " and 1 limit".to_owned()
        } else if law.limits > 0 {
            format!(" and {} limits", law.limits)
        } else {
            String::new()
        }
    )
}

fn levels(q: &Stability) -> String {
    if q.levels.len() <= 4 { q.levels.join(", ") } else { format!("{} levels", q.levels.len()) }
}

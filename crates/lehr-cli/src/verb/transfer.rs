//! `lehr transfer`: how the optimal ratio moves with peak rate and horizon, and whether it stays put elsewhere.

use crate::failure::Failure;
use crate::load::{LoadArgs, load_condensed, positive};
use crate::output::{Output, data, say, table};
use crate::plot;
use crate::target::{rate, read_fit};
use lehr::batch::{collapse, critical_batch};
use lehr::measured::{branch_noise, measured_optima, twin_noise};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::transfer::{Limit, Optimum, PowerLaw, Stability, check_architecture, power_law, stability};
use lehr::{Shape, Steps};
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
    #[arg(long, value_name = "dense|moe", value_parser = ["dense", "moe"], help_heading = "Target")]
    arch: Option<String>,
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

struct Source {
    name: &'static str,
    optima: Vec<Optimum>,
    /// Of law-derived optima: what each costs on the measured losses of its cell, nats.
    regrets: Vec<f64>,
    laws: Vec<Result<PowerLaw, String>>,
}

const VARIABLES: [&[&str]; 4] =
    [&["peak_lr"], &["total"], &["peak_lr", "total"], &["peak_lr", "total", "n8"]];

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    if !(args.level > 0.0 && args.level < 1.0) {
        return Err(Failure::usage(format_args!("--level {} is not between 0 and 1", args.level)));
    }
    plot::check_target(args.plot.as_deref())?;
    let fit = args.fit.as_deref().map(read_fit).transpose()?;
    // Last losses and coarse curves are all that is needed.
    let loaded = load_condensed(&args.load, Some(1000), output)?;
    let measured = measured_optima(&loaded.curves);
    let mut sources = Vec::new();
    if !measured.is_empty() {
        sources.push(source("measured", measured.iter().map(Optimum::from).collect(), args.level));
    }
    if let Some(fit) = fit {
        let mut optima = Vec::new();
        let mut regrets = Vec::new();
        for cell in &measured {
            let target = Target {
                peak_lr: cell.peak_lr,
                total: Steps(cell.total),
                warmup: Steps(fit.runs.first().map_or(0, |run| run.warmup + 1).min(cell.total / 2)),
                shape: cell.shape.parse::<Shape>().map_err(Failure::new)?,
                final_lr: 0.0,
                setting: lehr::forecast::Setting {
                    params: cell.n8.map(|n| lehr::Params((n * 1e8).round() as u64)),
                    ..Default::default()
                },
            };
            let found = recommend_ratio(&fit, &target, &RecommendOptions::default()).map_err(Failure::new)?;
            regrets.push(cell.regret(found.ratio));
            optima.push(Optimum {
                ratio: found.ratio,
                ln_sd: (found.interval.1 / found.interval.0.max(1e-3)).ln() / 3.29,
                limit: (found.ratio > 0.99).then_some(Limit::AtLeast),
                ..Optimum::from(cell)
            });
        }
        sources.push(Source { regrets, ..source("law", optima, args.level) });
    }
    if sources.iter().all(|s| s.optima.is_empty()) {
        return Err(Failure::new("no cell has four or more annealing ratios: no optimum can be measured").hint(
            "give runs that share peak rate, horizon, shape, size and data and differ in the ratio; `lehr recommend` derives an optimum from a fit",
        ));
    }
    let first = &sources[0];
    let questions = stability(&first.optima);
    let mut caveats = Vec::new();
    let mut prediction = None;
    if let (Some(peak_lr), Some(steps)) = (args.peak_lr, args.steps) {
        let arch = args.arch.clone().unwrap_or_else(|| first.optima[0].arch.clone());
        let caveat =
            check_architecture(&first.optima, &arch, args.across_architectures).map_err(Failure::new)?;
        caveats.extend(caveat);
        let [by_rate, by_horizon, jointly, with_size] = &first.laws[..] else { unreachable!("one law each") };
        let n8 = args.target_params.map(|params| params as f64 / 1e8);
        let law = match n8 {
            Some(_) => with_size.as_ref().map_err(|error| {
                Failure::new(format_args!("--target-params asks for a law of the ratio in N: {error}"))
                    .hint("leave --target-params out, or give cells of several sizes")
            })?,
            None => jointly.as_ref().or(by_rate.as_ref()).or(by_horizon.as_ref()).map_err(Failure::new)?,
        };
        prediction = law.predict(peak_lr, steps as f64, n8, args.level).map(|found| (peak_lr, steps, found));
    }
    let (noise, apart) = (twin_noise(&loaded.curves), branch_noise(&loaded.curves));
    let batches = collapse(&loaded.curves).ok();
    let critical = critical_batch(&loaded.curves).ok();
    let picture =
        plot::transfer(&sources.iter().map(|s| (s.name, &s.optima[..], &s.laws[..])).collect::<Vec<_>>());
    if let Some(path) = &args.plot {
        plot::write(path, &picture)?;
    }
    if output.json {
        let list: Vec<serde_json::Value> = sources
            .iter()
            .map(|s| {
                serde_json::json!({
                    "source": s.name,
                    "optima": s.optima,
                    "regrets": s.regrets,
                    "laws": s.laws.iter().filter_map(|l| l.as_ref().ok()).collect::<Vec<_>>(),
                })
            })
            .collect();
        output.document(
            "lehr.transfer/1",
            &serde_json::json!({
                "twin_noise": noise,
                "branch_noise": apart,
                "measured": measured,
                "sources": list,
                "stability": questions,
                "prediction": prediction.map(|(peak_lr, steps, (ratio, interval))| serde_json::json!({
                    "peak_lr": peak_lr, "steps": steps, "ratio": ratio, "interval": interval
                })),
                "batch": { "collapse": batches, "critical": critical },
                "caveats": caveats,
            }),
        )?;
        return output.caveats(&caveats);
    }
    let mut rows =
        table(["peak", "updates", "N/10⁸", "ratios", "r* measured", "90 % interval", "loss", "misfit mnat"]);
    for m in &measured {
        rows.add_row([
            format!("{:e}", m.peak_lr),
            m.total.to_string(),
            m.n8.map_or_else(String::new, |n| format!("{n:.3}")),
            m.points.len().to_string(),
            format!("{:.3}{}", m.ratio, if m.at_edge { " (edge)" } else { "" }),
            format!("{:.3} … {:.3}", m.interval.0, m.interval.1),
            format!("{:.4}", m.loss),
            format!("{:.2}", m.misfit * 1e3),
        ]);
    }
    let mut out = format!("{rows}\n");
    if let Some(noise) = noise {
        out.push_str(&format!("\nnoise of a final loss, from twins: {:.2} mnat\n", noise * 1e3));
        if let Some(apart) = apart {
            out.push_str(&format!("without what all runs of a seed share: {:.2} mnat\n", apart * 1e3));
        }
    }
    for s in &sources {
        out.push_str(&format!(
            "\noptima {}:\n",
            if s.name == "law" { "derived from the fit" } else { "measured" }
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
                Err(_) if variables.contains(&"n8") => {}
                Ok(law) => out.push_str(&format!("  {}\n", in_words(law))),
                Err(error) => say(format_args!("note: {error}")),
            }
        }
    }
    out.push_str("\nis the ratio stable, peak rate and horizon accounted for?\n");
    let mut rows = table(["across", "levels", "answer"]);
    for q in &questions {
        rows.add_row([q.across.clone(), levels(q), q.verdict.clone()]);
    }
    out.push_str(&format!("{rows}\n"));
    if let Some((peak_lr, steps, (ratio, interval))) = prediction {
        out.push_str(&format!(
            "\nfor a peak of {peak_lr} and {steps} updates: r = {ratio:.3} ({:.3} … {:.3}, {:.0} %)\n",
            interval.0,
            interval.1,
            args.level * 100.0
        ));
    }
    if let Some(c) = &batches {
        out.push_str(&format!(
            "\nbatches of {} tokens: losses differ by {:.1} mnat at equal updates and by {:.1} mnat at equal tokens (statistic {:.2}: 0 updates decide, 1 tokens decide)\n",
            c.batches.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
            c.by_updates * 1e3,
            c.by_tokens * 1e3,
            c.statistic
        ));
    }
    if let Some(c) = &critical {
        out.push_str(&format!(
            "B_opt = {:.3e}/L^{:.2} tokens (misfit of ln B {:.2})\n",
            c.lambda, c.alpha, c.rms
        ));
    }
    data(&out)?;
    output.caveats(&caveats)
}

fn source(name: &'static str, optima: Vec<Optimum>, level: f64) -> Source {
    let laws = VARIABLES.iter().map(|v| power_law(&optima, v, level).map_err(|e| e.to_string())).collect();
    Source { name, optima, regrets: Vec::new(), laws }
}

fn in_words(law: &PowerLaw) -> String {
    let terms: Vec<String> = law
        .variables
        .iter()
        .zip(&law.exponents)
        .map(|(v, e)| {
            let unit = match v.as_str() {
                "peak_lr" => "(η/10⁻³)",
                "n8" => "(N/10⁸)",
                _ => "(T/10⁴)",
            };
            format!("{unit}^{:+.3} [{:+.3} … {:+.3}]", e.value, e.interval.0, e.interval.1)
        })
        .collect();
    format!(
        "R = {:.3} [{:.3} … {:.3}] · {}   misfit of ln R {:.3}, {} optima{}, capped at 1",
        law.lambda,
        law.lambda_interval.0,
        law.lambda_interval.1,
        terms.join(" · "),
        law.rms,
        law.n,
        if law.limits > 0 { format!(" and {} limits", law.limits) } else { String::new() }
    )
}

fn levels(q: &Stability) -> String {
    if q.levels.len() <= 4 { q.levels.join(", ") } else { format!("{} levels", q.levels.len()) }
}

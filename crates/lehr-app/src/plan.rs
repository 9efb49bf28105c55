//! Which further runs are worth their price, and the plan of a sweep that trains them.

mod sweep_file;

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::pictures::Picture;
use crate::target::warmup;
use lehr::Level;
use lehr::fit::Fit;
use lehr::forecast::Setting;
use lehr::law::NoiseRelaxation;
use lehr::plan::{
    Aim, AtHand, Budget, BudgetError, Candidates, ChosenRun, Money, Noise, PlanOptions, RunPlan,
    RunPlanError, Throughput, Unit, WholeGrid, plan_runs,
};
use lehr::recommend::Target;
use lehr::units::parse_count;
use lehr::{Caveat, Law, Params, Shape, Steps};
use lehr::{is_pattern, names_run};
use lehr_io::Note;
use lehr_report::{Outlook, PlanPicture, superscript};
use serde::Serialize;

/// The lists of candidates that a user states; empty ones are the usual ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CandidateLists {
    /// Sizes.
    pub params: Vec<u64>,
    /// Peak rates.
    pub peak_lr: Vec<f64>,
    /// Horizons.
    pub total: Vec<u64>,
    /// Annealing ratios.
    pub ratio: Vec<f64>,
}

/// What the plan of a sweep needs besides the runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepModel {
    /// The model of every size, ascending: names of presets or of models that the user adds; empty: the presets of the
    /// nearest sizes.
    pub models: Vec<String>,
    /// Sequences an update; `None`: the batch over the model's context.
    pub batch: Option<u32>,
}

/// What to choose runs for.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// The fit; `None`: priors alone.
    pub fit: Option<Fit>,
    /// Peak rate of the target.
    pub peak_lr: f64,
    /// Horizon of the target in updates.
    pub total: u64,
    /// Warm-up updates; `None`: as in the runs fitted.
    pub warmup: Option<u64>,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// What else the target is.
    pub setting: Setting,
    /// Candidates.
    pub candidates: CandidateLists,
    /// Names of constant-rate runs of the fit whose checkpoints are kept; `*` and `?` allowed.
    pub checkpoints: Vec<String>,
    /// What may be spent; `None`: as long as runs pay.
    pub budget: Option<Budget>,
    /// What the hardware does.
    pub throughput: Option<Throughput>,
    /// Most runs.
    pub most_runs: usize,
    /// What the runs are chosen for.
    pub aim: Aim,
    /// Draws of the coefficients.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Also the plan of a sweep.
    pub sweep: Option<SweepModel>,
}

/// A number above 0, with k, M, B, T or an exponent.
fn amount(text: &str) -> Option<f64> {
    let text = text.trim();
    let value = parse_count(text).map(|n| n as f64).ok().or_else(|| text.parse::<f64>().ok())?;
    (value > 0.0 && value.is_finite()).then_some(value)
}

/// A budget with its unit: `2e19flops`, `400h`, `5Btokens`, `30kupdates`.
///
/// # Errors
/// What was found and expected, in words.
pub fn parse_budget(text: &str) -> Result<Budget, String> {
    type Make = fn(f64) -> Budget;
    let units: [(&str, Make); 8] = [
        ("gpu-hours", Budget::Hours),
        ("hours", Budget::Hours),
        ("updates", Budget::Updates),
        ("steps", Budget::Updates),
        ("tokens", Budget::Tokens),
        ("flops", Budget::Operations),
        ("flop", Budget::Operations),
        ("h", Budget::Hours),
    ];
    let plain = text.trim().to_ascii_lowercase();
    units
        .iter()
        .find_map(|(unit, make)| {
            let number = &text.trim()[..plain.strip_suffix(unit)?.len()];
            amount(number).map(make)
        })
        .ok_or_else(|| {
            format!("'{text}' is not an amount with its unit such as 2e19flops, 400h, 5Btokens or 30kupdates")
        })
}

/// What one GPU does: tokens a second at a size, `250k@124M`, or FLOPs a second, `2e14`.
///
/// # Errors
/// What was found and expected, in words.
pub fn parse_throughput(text: &str) -> Result<Throughput, String> {
    let found = match text.split_once('@') {
        Some((pace, params)) => amount(pace)
            .zip(parse_count(params.trim()).ok().filter(|n| *n > 0))
            .map(|(per_second, n)| Throughput::Tokens { per_second, params: Params(n) }),
        None => amount(text).map(Throughput::Operations),
    };
    found.ok_or_else(|| {
        format!(
            "'{text}' is neither tokens a second at a size such as 250k@124M nor FLOPs a second such as 2e14"
        )
    })
}

/// The runs to train next.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct PlanAnswer {
    /// Law.
    pub law: String,
    /// Runs fitted; 0: chosen from priors alone.
    pub runs_at_hand: usize,
    /// Peak rate of the target.
    pub peak_lr: f64,
    /// Horizon of the target, updates.
    pub steps: u64,
    /// N of the target, where it is stated.
    pub params: Option<u64>,
    /// What the runs were chosen for.
    pub aim: Aim,
    /// Annealing ratio that is best by what is at hand.
    pub ratio: f64,
    /// The loss forecast there, nats per token.
    pub loss: f64,
    /// Expected regret of that ratio before any further run, nats per token.
    pub regret: f64,
    /// Half-width of the interval of `loss` before any further run, nats per token.
    pub half_width: f64,
    /// Level of the interval.
    pub level: f64,
    /// Unit of every `amount` and `worth`.
    pub unit: Unit,
    /// What may be spent, in that unit.
    pub budget: Option<f64>,
    /// The runs, in the order of choice.
    pub runs: Vec<ChosenRun>,
    /// After so many of the runs, stop: what follows costs more than it is worth.
    pub stop_after: usize,
    /// What all candidates together would bring.
    pub grid: WholeGrid,
    /// Errors assumed of the law and of single runs, relative to the loss, as standard deviations.
    pub noise: Noise,
    /// Draws of the coefficients that were averaged over.
    pub draws: usize,
    /// The plan of a sweep (TOML) that trains the runs, those up to the stop where no budget is stated; with
    /// `[[out]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<String>,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// The target.
    #[serde(skip)]
    pub target: Target,
}

impl Document for PlanAnswer {
    const SCHEMA: &'static str = "lehr.plan/1";
}

impl From<RunPlanError> for Failure {
    fn from(error: RunPlanError) -> Self {
        match error {
            RunPlanError::Forecast(error) => error.into(),
            RunPlanError::Singular => Self::new(error),
            RunPlanError::Checkpoint(_) => {
                Self::usage(error).hint("`lehr fit FIT --verbose` lists the runs; those whose rate never falls can be named with [[checkpoints]]")
            }
            RunPlanError::NoCandidate { .. } => {
                Self::usage(error).hint("name longer horizons with [[horizons]] or a shorter [[warmup]]")
            }
            error => Self::usage(error),
        }
    }
}

impl From<BudgetError> for Failure {
    fn from(error: BudgetError) -> Self {
        Self::usage(error)
    }
}

/// Candidates: what was stated, the usual ones where nothing was.
fn candidates(request: &PlanRequest, target: &Target) -> Candidates {
    let usual = Candidates::usual(request.fit.as_ref(), target);
    let CandidateLists { params, peak_lr, total, ratio } = request.candidates.clone();
    let or = |stated: Vec<f64>, usual: Vec<f64>| if stated.is_empty() { usual } else { stated };
    let mut candidates = Candidates {
        params: if params.is_empty() {
            usual.params
        } else {
            params.into_iter().map(|n| Some(Params(n))).collect()
        },
        peak_lr: or(peak_lr, usual.peak_lr),
        total: if total.is_empty() { usual.total } else { total },
        ratio: or(ratio, usual.ratio),
    };
    candidates.params.sort_unstable();
    candidates.params.dedup();
    candidates.peak_lr.sort_by(f64::total_cmp);
    candidates.peak_lr.dedup();
    candidates.total.sort_unstable();
    candidates.total.dedup();
    candidates.ratio.sort_by(f64::total_cmp);
    candidates.ratio.dedup();
    candidates
}

/// The runs of the fit that the patterns name.
fn checkpoints(fit: Option<&Fit>, patterns: &[String]) -> Result<Vec<String>, Failure> {
    let mut out = Vec::new();
    for pattern in patterns {
        let Some(fit) = fit else {
            return Err(Failure::usage("[[checkpoints]] names runs of a fit, and there is none"));
        };
        let several = is_pattern(pattern);
        let found: Vec<&str> = fit
            .runs
            .iter()
            .filter(|run| names_run(pattern, &run.id))
            // A pattern means those runs that can be branched from; a name is taken at its word.
            .filter(|run| !several || run.annealing_share <= 0.02)
            .map(|run| run.id.as_str())
            .collect();
        if found.is_empty() {
            return Err(Failure::usage(format_args!(
                "[[checkpoints]] '{pattern}' names no constant-rate run of the fit"
            )));
        }
        out.extend(found.into_iter().map(str::to_owned));
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

impl PlanAnswer {
    /// Expected regret and interval against cost, drawn.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let largest = self.runs.last().map_or(1.0, |run| run.price_so_far.amount).max(1e-300);
        let hours = self.runs.last().and_then(|run| run.price_so_far.hours);
        // Powers of a thousand keep the numbers of the axis short.
        let exponent = 3 * (largest.log10() / 3.0).floor() as i32;
        let (cost, scale) = match (self.unit, hours) {
            (_, Some(_)) => ("hours".to_owned(), None),
            (Unit::Operations, None) => (format!("FLOPs (10{})", superscript(exponent)), Some(exponent)),
            (Unit::Tokens, None) => (format!("tokens (10{})", superscript(exponent)), Some(exponent)),
            (Unit::Updates, None) => ("updates".to_owned(), Some(0)),
        };
        let at = |price: &lehr::plan::Price| match scale {
            Some(exponent) => price.amount / 10f64.powi(exponent),
            None => price.hours.unwrap_or_default(),
        };
        let outlook = |cost, regret: f64, half_width: f64| Outlook {
            cost,
            regret: 1e3 * regret,
            half_width: 1e3 * half_width,
        };
        let mut steps = vec![outlook(0.0, self.regret, self.half_width)];
        steps.extend(self.runs.iter().map(|run| outlook(at(&run.price_so_far), run.regret, run.half_width)));
        let stop = &steps[self.stop_after.min(steps.len() - 1)];
        let size = self.params.map_or_else(String::new, |n| format!(", {:.3e} parameters", n as f64));
        Box::new(PlanPicture {
            title: match self.stop_after {
                0 => format!("No further run pays: the expected regret is {:.2} mnat", 1e3 * self.regret),
                runs => format!(
                    "{runs} more run{} lower the expected regret from {:.2} to {:.2} mnat",
                    if runs == 1 { "" } else { "s" },
                    1e3 * self.regret,
                    stop.regret
                ),
            },
            subtitle: Some(format!(
                "target: peak rate {}, {} updates, {}{size}",
                self.peak_lr, self.steps, self.target.shape
            )),
            caption: Some(match self.runs_at_hand {
                0 => format!("{} law, no run at hand; mean over {} draws", self.law, self.draws),
                runs => format!("{} law fitted on {runs} runs; mean over {} draws", self.law, self.draws),
            }),
            cost,
            stop: self.stop_after,
            grid: outlook(at(&self.grid.price), self.grid.regret, self.grid.half_width),
            coverage: self.level,
            steps,
        })
    }
}

impl Desk {
    /// Chooses the runs to train next for a target.
    ///
    /// # Errors
    /// [`Failure`] for targets and candidates that make no schedule, laws that do not see one, budgets that are no amount,
    /// and sizes for which no model is known where the plan of a sweep is asked for.
    pub fn plan(&self, request: &PlanRequest) -> Result<Answer<PlanAnswer>, Failure> {
        self.check_horizon(request.total)?;
        let mut notes = Vec::new();
        let fit = request.fit.as_ref();
        let warmup = match fit {
            Some(fit) => warmup(request.warmup, fit, request.total, &mut notes),
            None => Steps(request.warmup.unwrap_or(request.total / 100)),
        };
        let target = Target {
            peak_lr: request.peak_lr,
            total: Steps(request.total),
            warmup,
            shape: request.shape,
            final_lr: request.final_lr,
            setting: request.setting.clone(),
        };
        let candidates = candidates(request, &target);
        for &total in &candidates.total {
            self.check_horizon(total)?;
        }
        let of_fit = fit.and_then(|fit| {
            let only = fit.definition.reference_batch.map(|batch| lehr::Tokens(batch.round() as u64));
            only.or_else(|| fit.runs.iter().find_map(|run| run.tokens_per_step))
        });
        let money = Money {
            batch: target.setting.tokens_per_step.or(of_fit),
            sizes: candidates.params.iter().all(Option::is_some)
                && target.setting.params.or(candidates.params[0]).is_some(),
            operations_per_second: request.throughput.map(Throughput::operations_per_second),
        };
        let budget = request.budget.map(|budget| money.amount(budget, &candidates.params)).transpose()?;
        let options = PlanOptions {
            candidates,
            checkpoints: checkpoints(fit, &request.checkpoints)?,
            budget,
            most_runs: request.most_runs,
            aim: request.aim,
            noise: None,
            draws: request.draws,
            seed: request.seed,
            level: fit.map_or(Level::USUAL, |fit| fit.options.level),
        };
        let law = NoiseRelaxation;
        let at_hand = fit.map_or(AtHand::Nothing(&law), AtHand::Fit);
        if fit.is_none() {
            notes.push(Note::new(
                "no-runs",
                "priors",
                format!(
                    "no run is at hand: the coefficients of the {} law are taken as those of public runs, give or take their spread, and the warm-up as {} updates ([[warmup]] says otherwise)",
                    law.name(),
                    warmup.0
                ),
            ));
        }
        let found: RunPlan =
            self.work("choosing runs", || Ok(plan_runs(at_hand, &target, &money, &options)?))?;
        let sweep = match &request.sweep {
            None => None,
            Some(model) => Some(sweep_file::text(&found, budget.is_some(), &target, model, &mut notes)?),
        };
        let caveats: Vec<Caveat> = fit.and_then(|fit| self.changed_inputs(fit)).into_iter().collect();
        let value = PlanAnswer {
            law: found.law,
            runs_at_hand: found.runs_at_hand,
            peak_lr: request.peak_lr,
            steps: request.total,
            params: target.setting.params.map(|n| n.0),
            aim: request.aim,
            ratio: found.ratio,
            loss: found.loss,
            regret: found.regret,
            half_width: found.half_width,
            level: found.level.get(),
            unit: found.unit,
            budget,
            runs: found.runs,
            stop_after: found.stop_after,
            grid: found.grid,
            noise: found.noise,
            draws: found.draws,
            sweep,
            caveats: caveats.clone(),
            target,
        };
        Ok(Answer { value, caveats, notes })
    }
}

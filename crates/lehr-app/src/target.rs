//! The run to forecast or to recommend for.

use crate::failure::Failure;
use lehr::budget::{Length, LengthError};
use lehr::fit::Fit;
use lehr::forecast::Setting;
use lehr::{AnnealingRatio, Schedule, Shape, Steps, Tokens, WsdSpec};
use lehr_io::Note;

/// The plan of a target run: its schedule, or what a warm-up–stable–decay schedule is made of.
#[derive(Debug, Clone)]
pub enum Plan {
    /// A schedule.
    Schedule(Schedule),
    /// Peak rate, horizon and annealing.
    Wsd {
        /// Peak rate.
        peak_lr: f64,
        /// Horizon in updates.
        total: u64,
        /// Warm-up updates; `None`: as in the runs fitted.
        warmup: Option<u64>,
        /// What falls.
        annealing: Annealing,
        /// Final rate.
        final_lr: f64,
    },
}

/// How a target anneals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Annealing {
    /// Over a share of the horizon, in a shape.
    Share(f64, Shape),
    /// Over so many updates, in a shape.
    Updates(u64, Shape),
    /// A cosine over the whole run after the warm-up.
    WholeCosine,
}

/// The ratio of a plan that states none.
const USUAL_RATIO: f64 = 0.2;

/// A warm-up–stable–decay plan as people state it: some of it not at all, its annealing in one of several ways.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanSpec {
    /// Peak rate.
    pub peak_lr: Option<f64>,
    /// Horizon in updates.
    pub total: Option<u64>,
    /// Warm-up updates; `None`: as in the runs fitted.
    pub warmup: Option<u64>,
    /// Annealing ratio; 0.2 where nothing says how long the annealing is.
    pub ratio: Option<f64>,
    /// Updates spent annealing.
    pub anneal_steps: Option<u64>,
    /// Last update before the annealing.
    pub anneal_from: Option<u64>,
    /// A cosine over the whole run.
    pub cosine: bool,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
}

impl PlanSpec {
    /// The plan. Of horizon, start and length of the annealing two are enough.
    ///
    /// # Errors
    /// [`Failure`] for what is missing, for what is stated twice, and for an annealing that does not end at the horizon.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let given = [
            ("cosine", self.cosine),
            ("ratio", self.ratio.is_some()),
            ("anneal_steps", self.anneal_steps.is_some()),
            ("anneal_from", self.anneal_from.is_some()),
        ];
        let mut stated = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        if let (Some(first @ ("cosine" | "ratio")), Some(second)) = (stated.next(), stated.next()) {
            return Err(Failure::usage(format_args!("[[{first}]] and [[{second}]] are both given"))
                .hint("give one of them: each says how long the annealing is"));
        }
        let total = match (self.total, self.anneal_from, self.anneal_steps) {
            (Some(total), ..) => Some(total),
            (None, Some(from), Some(anneal)) => from.checked_add(anneal),
            _ => None,
        };
        let Some(total) = total else {
            return Err(Failure::usage(
                "the horizon is missing: [[steps]], [[tokens]] or [[compute]] states it",
            ));
        };
        let Some(peak_lr) = self.peak_lr else {
            return Err(Failure::usage("the peak rate is missing: [[peak_lr]] states it"));
        };
        let annealing = match (self.anneal_from, self.anneal_steps) {
            _ if self.cosine => Annealing::WholeCosine,
            (None, None) => Annealing::Share(self.ratio.unwrap_or(USUAL_RATIO), self.shape),
            (None, Some(anneal)) => Annealing::Updates(anneal, self.shape),
            (Some(from), anneal) => {
                let rest = total.checked_sub(from).filter(|rest| anneal.is_none_or(|given| given == *rest));
                let Some(rest) = rest else {
                    return Err(Failure::usage(format_args!(
                        "annealing from update {from}{} does not end at [[steps]] {total}",
                        anneal.map_or_else(String::new, |anneal| format!(" over {anneal} updates"))
                    ))
                    .hint("give two of [[steps]], [[anneal_from]] and [[anneal_steps]]"));
                };
                Annealing::Updates(rest, self.shape)
            }
        };
        Ok(Plan::Wsd { peak_lr, total, warmup: self.warmup, annealing, final_lr: self.final_lr })
    }
}

impl Plan {
    /// The schedule, with the warm-up of the runs fitted where none is stated (noted).
    ///
    /// # Errors
    /// [`Failure`] for values that make no schedule.
    pub fn schedule(&self, fit: &Fit, notes: &mut Vec<Note>) -> Result<Schedule, Failure> {
        match self {
            Self::Schedule(schedule) => Ok(schedule.clone()),
            Self::Wsd { peak_lr, total, warmup: given, annealing, final_lr } => {
                let warmup = warmup(*given, fit, *total, notes);
                let (anneal, shape) = match *annealing {
                    Annealing::Updates(anneal, shape) => (anneal, shape),
                    Annealing::WholeCosine => (total.saturating_sub(warmup.0), Shape::Cosine),
                    Annealing::Share(ratio, shape) => {
                        let ratio = AnnealingRatio::new(ratio).map_err(Failure::usage)?;
                        ((ratio.get() * *total as f64).round() as u64, shape)
                    }
                };
                WsdSpec {
                    peak_lr: *peak_lr,
                    total: Steps(*total),
                    warmup,
                    anneal: Steps(anneal),
                    shape,
                    final_lr: *final_lr,
                    ..WsdSpec::default()
                }
                .checked()
                .map(Schedule::Wsd)
                .map_err(Failure::usage)
            }
        }
    }
}

/// The warm-up of a target: as given, else the median of those of the runs fitted, at most half the horizon (noted).
pub fn warmup(given: Option<u64>, fit: &Fit, total: u64, notes: &mut Vec<Note>) -> Steps {
    if let Some(given) = given {
        return Steps(given);
    }
    let usual = fit.usual_warmup().0;
    let half = total / 2;
    let message = if usual > half {
        format!(
            "{half} updates, half the horizon, because that of the runs fitted ({usual}) leaves too little ([[warmup]] says otherwise)"
        )
    } else {
        format!("{usual} updates, as in the runs fitted ([[warmup]] says otherwise)")
    };
    notes.push(Note::new("usual-warmup", "warm-up", message));
    Steps(usual.min(half))
}

/// The updates of a run of that length: N and the batch are those of the setting, else those of the runs fitted where they have one.
///
/// # Errors
/// [`Failure`] for tokens without a batch, compute without N, and less than one update.
pub fn updates(fit: &Fit, length: Length, setting: &Setting) -> Result<u64, Failure> {
    let mut sizes: Vec<_> = fit.runs.iter().map(|run| run.params).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let only = if sizes.len() == 1 { sizes[0] } else { None };
    let batch = setting
        .tokens_per_step
        .or_else(|| fit.definition.reference_batch.map(|batch| Tokens(batch.round() as u64)));
    length.updates(setting.params.or(only), batch).map(|updates| updates.0).map_err(|error| {
        let failure = Failure::usage(error);
        match error {
            LengthError::NoBatch(_) => {
                failure.hint("state it with [[tokens_per_step]]; the runs fitted do not say it")
            }
            LengthError::NoParams => failure.hint("state it with [[params]]"),
            LengthError::TooShort { .. } => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> PlanSpec {
        PlanSpec {
            peak_lr: Some(1e-3),
            total: None,
            warmup: None,
            ratio: None,
            anneal_steps: None,
            anneal_from: None,
            cosine: false,
            shape: Shape::Linear,
            final_lr: 0.0,
        }
    }

    #[test]
    fn two_of_horizon_start_and_length_make_a_plan_and_a_third_must_agree() {
        let annealing = |spec: PlanSpec| match spec.plan() {
            Ok(Plan::Wsd { total, annealing: Annealing::Updates(anneal, _), .. }) => Ok((total, anneal)),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.to_string()),
        };
        let both = PlanSpec { anneal_from: Some(800), anneal_steps: Some(200), ..spec() };
        assert_eq!(annealing(both.clone()), Ok((1000, 200)));
        assert_eq!(annealing(PlanSpec { total: Some(1000), ..both.clone() }), Ok((1000, 200)));
        assert_eq!(
            annealing(PlanSpec { total: Some(1000), anneal_from: Some(900), ..spec() }),
            Ok((1000, 100))
        );
        let other =
            annealing(PlanSpec { total: Some(2000), ..both.clone() }).expect_err("does not end there");
        assert!(
            other.contains("annealing from update 800 over 200 updates does not end at [[steps]] 2000"),
            "{other}"
        );
        let before = annealing(PlanSpec { total: Some(700), anneal_from: Some(800), ..spec() });
        assert!(before.expect_err("ends before it begins").contains("does not end at"));
        let twice = annealing(PlanSpec { ratio: Some(0.2), ..both }).expect_err("stated twice");
        assert!(twice.contains("[[ratio]] and [[anneal_steps]] are both given"), "{twice}");
        assert!(annealing(spec()).expect_err("no horizon").contains("the horizon is missing"));
    }
}

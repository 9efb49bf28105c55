//! One constructor a family; each refuses numbers that do not fit together.

use super::error::{check_rate, check_updates};
use super::{Piecewise, Sampled, Schedule, ScheduleError, Segment, Shape, Wsd, WsdSpec};
use crate::units::{AnnealingRatio, Steps};

impl Schedule {
    /// Warm-up, stable phase, annealing; see [`Wsd`].
    ///
    /// # Errors
    /// As [`Wsd::new`].
    pub fn wsd(
        peak_lr: f64,
        total: Steps,
        warmup: Steps,
        ratio: AnnealingRatio,
        shape: Shape,
        final_lr: f64,
    ) -> Result<Self, ScheduleError> {
        Wsd::new(peak_lr, total, warmup, ratio, shape, final_lr).map(Self::Wsd)
    }

    /// Linear warm-up, then the peak rate to the end: a trunk.
    ///
    /// # Errors
    /// As [`Wsd::new`].
    pub fn constant(peak_lr: f64, total: Steps, warmup: Steps) -> Result<Self, ScheduleError> {
        WsdSpec { peak_lr, total, warmup, final_lr: peak_lr, ..WsdSpec::default() }.checked().map(Self::Wsd)
    }

    /// Linear warm-up, then half a cosine down to `final_lr` at update T.
    ///
    /// # Errors
    /// As [`Wsd::new`]; also when the warm-up leaves no update to fall.
    pub fn cosine(peak_lr: f64, total: Steps, warmup: Steps, final_lr: f64) -> Result<Self, ScheduleError> {
        falling(peak_lr, total, warmup, Shape::Cosine, final_lr)
    }

    /// Linear warm-up, then a straight line to 0 at update T.
    ///
    /// # Errors
    /// As [`Wsd::new`]; also when the warm-up leaves no update to fall.
    pub fn linear_to_zero(peak_lr: f64, total: Steps, warmup: Steps) -> Result<Self, ScheduleError> {
        falling(peak_lr, total, warmup, Shape::Linear, 0.0)
    }

    /// Linear warm-up, `peak_lr` up to and including update `at`, `drop_lr` from update `at + 1` on.
    ///
    /// # Errors
    /// As [`Schedule::multi_stage`].
    ///
    /// # Examples
    /// ```
    /// use lehr::{Schedule, Steps};
    /// let s = Schedule::two_stage(3e-4, 9e-5, Steps(8000), Steps(16000), Steps(2160))?;
    /// assert_eq!((s.lr(8000), s.lr(8001)), (3e-4, 9e-5));
    /// # Ok::<(), lehr::ScheduleError>(())
    /// ```
    pub fn two_stage(
        peak_lr: f64,
        drop_lr: f64,
        at: Steps,
        total: Steps,
        warmup: Steps,
    ) -> Result<Self, ScheduleError> {
        Self::multi_stage(&[peak_lr, drop_lr], &[at], total, warmup)
    }

    /// Linear warm-up, then constant stages; stage i ends with update `ends[i]`, the last one with update T.
    ///
    /// # Errors
    /// [`ScheduleError::Stages`] when there is not one end fewer than rates, or the ends do not ascend strictly
    /// between warm-up and horizon; [`ScheduleError::Rate`] for a rate that is not above 0.
    pub fn multi_stage(
        rates: &[f64],
        ends: &[Steps],
        total: Steps,
        warmup: Steps,
    ) -> Result<Self, ScheduleError> {
        check_updates("the horizon", total.0)?;
        if rates.is_empty() || ends.len() + 1 != rates.len() {
            return Err(ScheduleError::Stages {
                what: format!(
                    "{} rates and {} stage ends; expected one end fewer than rates (the last stage ends at the horizon)",
                    rates.len(),
                    ends.len()
                ),
            });
        }
        for (i, &rate) in rates.iter().enumerate() {
            check_rate(format!("the rate of stage {}", i + 1), rate)?;
            if rate == 0.0 && i == 0 {
                return Err(ScheduleError::Rate {
                    what: "the rate of stage 1".into(),
                    value: rate,
                    expected: "a finite rate above 0",
                });
            }
        }
        let mut segments = Vec::with_capacity(rates.len() + 1);
        if warmup.0 > 0 {
            check_updates("the warm-up", warmup.0)?;
            segments.push(Segment::new(warmup, 0.0, rates[0], Shape::Linear));
        }
        let mut before = warmup.0;
        for (i, &rate) in rates.iter().enumerate() {
            let end = ends.get(i).map_or(total.0, |end| end.0);
            // A schedule that is all warm-up has an empty first stage.
            if end < before || (end == before && !(i == 0 && before > 0)) {
                return Err(ScheduleError::Stages {
                    what: format!(
                        "stage {} ends with update {end}, but update {before} ends what comes before it; stage ends must ascend from the warm-up ({warmup}) to the horizon ({total})",
                        i + 1
                    ),
                });
            }
            if end > before {
                segments.push(Segment::flat(Steps(end - before), rate));
            }
            before = end;
        }
        Piecewise::new(segments).map(Self::Piecewise)
    }

    /// WSD-S: linear warm-up, then for each of `cycles` so many stable and so many annealing updates; between two
    /// cycles the rate climbs back on a line of `rerise` updates (0: it jumps back).
    ///
    /// # Errors
    /// [`ScheduleError`]: no cycle, a cycle without annealing, a bad rate, a shape that cannot end at `final_lr`.
    ///
    /// # Source
    /// Wen et al., Understanding Warmup-Stable-Decay Learning Rates, 2024.
    pub fn wsd_s(
        peak_lr: f64,
        warmup: Steps,
        cycles: &[(Steps, Steps)],
        rerise: Steps,
        shape: Shape,
        final_lr: f64,
    ) -> Result<Self, ScheduleError> {
        if cycles.is_empty() {
            return Err(ScheduleError::NoUpdates { what: "the list of cycles".into() });
        }
        check_rate("the peak rate", peak_lr)?;
        check_rate("the final rate", final_lr)?;
        if final_lr > peak_lr {
            return Err(ScheduleError::FinalAbovePeak { final_lr, peak_lr });
        }
        let mut segments = Vec::with_capacity(3 * cycles.len() + 1);
        let mut push = |updates: Steps, from, to, shape| {
            if updates.0 > 0 {
                segments.push(Segment::new(updates, from, to, shape));
            }
        };
        push(warmup, 0.0, peak_lr, Shape::Linear);
        for (i, &(stable, anneal)) in cycles.iter().enumerate() {
            check_updates(format!("the annealing of cycle {}", i + 1), anneal.0)?;
            if i > 0 {
                push(rerise, final_lr, peak_lr, Shape::Linear);
            }
            push(stable, peak_lr, peak_lr, Shape::Linear);
            push(anneal, peak_lr, final_lr, shape);
        }
        Piecewise::new(segments).map(Self::Piecewise)
    }

    /// Any sequence of segments.
    ///
    /// # Errors
    /// As [`Piecewise::new`].
    pub fn piecewise(segments: Vec<Segment>) -> Result<Self, ScheduleError> {
        Piecewise::new(segments).map(Self::Piecewise)
    }

    /// Any vector of rates; `rates[t − 1]` is the rate of update t.
    ///
    /// # Errors
    /// As [`Sampled::new`].
    pub fn sampled(rates: Vec<f64>) -> Result<Self, ScheduleError> {
        Sampled::new(rates).map(Self::Sampled)
    }
}

fn falling(
    peak_lr: f64,
    total: Steps,
    warmup: Steps,
    shape: Shape,
    final_lr: f64,
) -> Result<Schedule, ScheduleError> {
    check_updates("the horizon", total.0)?;
    if warmup.0 >= total.0 {
        return Err(ScheduleError::TooLong { warmup: warmup.0, anneal: 1, total: total.0 });
    }
    let anneal = Steps(total.0 - warmup.0);
    WsdSpec { peak_lr, total, warmup, anneal, shape, final_lr, ..WsdSpec::default() }
        .checked()
        .map(Schedule::Wsd)
}

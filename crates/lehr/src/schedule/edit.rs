//! Cutting a schedule short, letting it go on, branching from it.

use super::error::{check_rate, check_sampled, check_updates};
use super::{Piecewise, Schedule, ScheduleError, Segment, Shape};
use crate::units::Steps;

impl Schedule {
    /// The first `upto` updates, with the same rates. A cut inside a segment whose part is no such segment again (cosine,
    /// 1−√p, exponential, powers) gives the beginning of the longer one.
    ///
    /// # Errors
    /// [`ScheduleError::Outside`] when `upto` is 0 or beyond the horizon.
    pub fn truncate(&self, upto: Steps) -> Result<Self, ScheduleError> {
        let total = self.total();
        if upto.0 == 0 || upto > total {
            return Err(ScheduleError::Outside { update: upto.0, total: total.0 });
        }
        if upto == total {
            return Ok(self.clone());
        }
        if let Self::Sampled(sampled) = self {
            return Self::sampled(sampled.rates()[..upto.0 as usize].to_vec());
        }
        if let Self::Wsd(wsd) = self
            && upto.0 >= wsd.late.0 + wsd.warmup.0
            && upto <= wsd.anneal_start()
        {
            let mut spec = wsd.to_spec();
            (spec.total, spec.anneal, spec.final_lr) = (upto, Steps(0), wsd.peak_lr);
            spec.unreached = Steps(0);
            return spec.checked().map(Self::Wsd);
        }
        if let Self::Wsd(wsd) = self
            && upto > wsd.anneal_start()
        {
            let done = Steps(upto.0 - wsd.anneal_start().0);
            let part = Segment::new(wsd.anneal, wsd.peak_lr, wsd.final_lr, wsd.shape).head(done);
            if part.updates == part.whole {
                let mut spec = wsd.to_spec();
                (spec.total, spec.anneal, spec.final_lr) = (upto, done, part.to);
                spec.unreached = Steps(0);
                return spec.checked().map(Self::Wsd);
            }
        }
        let mut left = upto.0;
        let mut kept = Vec::new();
        for segment in self.parts().unwrap_or_default().iter() {
            if left == 0 {
                break;
            }
            let taken = segment.updates.0.min(left);
            left -= taken;
            kept.push(if taken == segment.updates.0 { *segment } else { segment.head(Steps(taken)) });
        }
        Self::piecewise(kept)
    }

    /// The schedule with `more` updates at its last rate appended.
    ///
    /// # Errors
    /// [`ScheduleError::NoUpdates`], [`ScheduleError::TooManyUpdates`].
    pub fn extend(&self, more: Steps) -> Result<Self, ScheduleError> {
        check_updates("the extension", more.0)?;
        let rate = self.lr(self.total().0);
        match self {
            Self::Wsd(wsd) if wsd.anneal.0 == 0 => {
                let mut spec = wsd.to_spec();
                spec.total.0 = spec.total.0.saturating_add(more.0);
                spec.checked().map(Self::Wsd)
            }
            Self::Sampled(sampled) => {
                check_sampled("the whole schedule", (sampled.rates().len() as u64).saturating_add(more.0))?;
                let mut rates = sampled.rates().to_vec();
                rates.resize(rates.len() + more.0 as usize, rate);
                Self::sampled(rates)
            }
            _ => {
                let mut segments = self.segments().unwrap_or_default();
                segments.push(Segment::flat(more, rate));
                Piecewise::new(segments).map(Self::Piecewise)
            }
        }
    }

    /// A branch: this schedule up to and including update `at`, then `anneal` updates down to `final_lr`.
    ///
    /// # Errors
    /// [`ScheduleError::Outside`] when `at` is not in 1 … T; else as [`super::Wsd::new`].
    ///
    /// # Examples
    /// ```
    /// use lehr::{Schedule, Shape, Steps};
    /// let trunk = Schedule::constant(3e-4, Steps(50_000), Steps(1_000))?;
    /// let branch = trunk.anneal_from(Steps(20_000), Steps(5_000), Shape::OneMinusSqrt, 0.0)?;
    /// assert_eq!((branch.total(), branch.lr(25_000)), (Steps(25_000), 0.0));
    /// # Ok::<(), lehr::ScheduleError>(())
    /// ```
    pub fn anneal_from(
        &self,
        at: Steps,
        anneal: Steps,
        shape: Shape,
        final_lr: f64,
    ) -> Result<Self, ScheduleError> {
        check_updates("the annealing", anneal.0)?;
        check_rate("the final rate", final_lr)?;
        let past = self.truncate(at)?;
        let peak_lr = past.lr(at.0);
        if final_lr > peak_lr {
            return Err(ScheduleError::FinalAbovePeak { final_lr, peak_lr });
        }
        shape.check(peak_lr, final_lr)?;
        match past {
            Self::Wsd(wsd) if wsd.anneal.0 == 0 && peak_lr == wsd.peak_lr => {
                let mut spec = wsd.to_spec();
                (spec.anneal, spec.shape, spec.final_lr) = (anneal, shape, final_lr);
                spec.total.0 = spec.total.0.saturating_add(anneal.0);
                spec.checked().map(Self::Wsd)
            }
            Self::Sampled(sampled) => {
                check_sampled("the whole schedule", at.0.saturating_add(anneal.0))?;
                let segment = Segment::new(anneal, peak_lr, final_lr, shape);
                let mut rates = sampled.rates().to_vec();
                rates.extend((1..=anneal.0).map(|k| segment.lr(k)));
                Self::sampled(rates)
            }
            past => {
                let mut segments = past.segments().unwrap_or_default();
                segments.push(Segment::new(anneal, peak_lr, final_lr, shape));
                Self::piecewise(segments)
            }
        }
    }
}

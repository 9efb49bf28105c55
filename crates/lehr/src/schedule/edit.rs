//! Cutting a schedule short, letting it go on, branching from it.

use super::{Piecewise, Schedule, ScheduleError, Segment, Shape, check_rate, check_updates};
use crate::units::Steps;

impl Segment {
    /// The first `m` updates as a segment, where a part of the curve has the same shape again.
    fn head(&self, m: u64) -> Option<Self> {
        let same = match self.shape {
            Shape::Linear | Shape::Geometric | Shape::Inverse => true,
            Shape::Power(beta) => beta == 1.0,
            Shape::Cosine | Shape::OneMinusSqrt | Shape::Exponential => false,
        };
        (same || self.from == self.to || m == self.updates.0).then(|| Self {
            updates: Steps(m),
            to: self.lr(m),
            ..*self
        })
    }
}

impl Schedule {
    /// The first `upto` updates. A cut inside a segment whose part is no such segment again (cosine, 1−√p,
    /// exponential, powers) gives a sampled schedule with the same rates.
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
        if let Self::Wsd(wsd) = self
            && upto >= wsd.warmup
            && upto <= wsd.anneal_start()
        {
            let mut wsd = wsd.clone();
            (wsd.total, wsd.anneal, wsd.final_lr) = (upto, Steps(0), wsd.peak_lr);
            return wsd.checked().map(Self::Wsd);
        }
        if let Self::Wsd(wsd) = self
            && upto > wsd.anneal_start()
        {
            let done = Steps(upto.0 - wsd.anneal_start().0);
            let whole =
                Segment { updates: wsd.anneal, from: wsd.peak_lr, to: wsd.final_lr, shape: wsd.shape };
            if let Some(part) = whole.head(done.0) {
                let mut wsd = wsd.clone();
                (wsd.total, wsd.anneal, wsd.final_lr) = (upto, done, part.to);
                return wsd.checked().map(Self::Wsd);
            }
        }
        let mut left = upto.0;
        let mut parts = Some(Vec::new());
        for segment in self.segments().unwrap_or_default() {
            if left == 0 {
                break;
            }
            let taken = segment.updates.0.min(left);
            left -= taken;
            match (segment.head(taken), parts.as_mut()) {
                (Some(part), Some(list)) => list.push(part),
                _ => parts = None,
            }
        }
        match parts {
            Some(parts) if !parts.is_empty() => Self::piecewise(parts),
            _ => {
                let mut rates = self.rates();
                rates.truncate(upto.0 as usize);
                Self::sampled(rates)
            }
        }
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
                let mut wsd = wsd.clone();
                wsd.total.0 = wsd.total.0.saturating_add(more.0);
                wsd.checked().map(Self::Wsd)
            }
            Self::Sampled(sampled) => {
                check_updates("the whole schedule", sampled.rates().len() as u64 + more.0)?;
                let mut rates = sampled.rates().to_vec();
                rates.resize(rates.len() + more.0 as usize, rate);
                Self::sampled(rates)
            }
            _ => {
                let mut segments = self.segments().unwrap_or_default();
                segments.push(Segment { updates: more, from: rate, to: rate, shape: Shape::Linear });
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
            Self::Wsd(mut wsd) if wsd.anneal.0 == 0 => {
                (wsd.anneal, wsd.shape, wsd.final_lr) = (anneal, shape, final_lr);
                wsd.total.0 = wsd.total.0.saturating_add(anneal.0);
                wsd.checked().map(Self::Wsd)
            }
            Self::Sampled(sampled) => {
                check_updates("the whole schedule", at.0.saturating_add(anneal.0))?;
                let segment = Segment { updates: anneal, from: peak_lr, to: final_lr, shape };
                let mut rates = sampled.rates().to_vec();
                rates.extend((1..=anneal.0).map(|k| segment.lr(k)));
                Self::sampled(rates)
            }
            past => {
                let mut segments = past.segments().unwrap_or_default();
                segments.push(Segment { updates: anneal, from: peak_lr, to: final_lr, shape });
                Self::piecewise(segments)
            }
        }
    }
}

//! A fit that can be asked further questions without searching again.

use super::options::OptionError;
use super::profile::{Profile, profiles};
use super::resample::{Uncertainty, bootstrap};
use super::{Fit, FitError, FitOptions, PointFit, with_point};
use crate::curve::Curve;
use crate::law::{self, Law, OwnLaw};
use std::sync::Arc;

/// What is to be fitted, and how.
///
/// The law may come from outside the crate: the fit then holds it, and forecasts with it.
#[derive(Debug, Clone)]
pub struct Fitter {
    law: Arc<dyn Law>,
    options: FitOptions,
}

impl Fitter {
    /// This law under the default options.
    #[must_use]
    pub fn new(law: Arc<dyn Law>) -> Self {
        Self { law, options: FitOptions::default() }
    }

    /// The same under other options.
    ///
    /// # Errors
    /// [`OptionError`] for an option outside its range.
    pub fn options(self, options: FitOptions) -> Result<Self, OptionError> {
        options.check()?;
        Ok(Self { options, ..self })
    }

    /// Fits the law and its uncertainty. Runs that diverged or never learned are left out and named.
    ///
    /// # Errors
    /// [`FitError`], one variant a reason. A poor fit is no error: it is an answer with caveats.
    pub fn fit(&self, curves: &[Curve]) -> Result<Fitted, FitError> {
        let (mut fit, point, curves) = with_point(self.law.as_ref(), curves, &self.options)?;
        if law::by_name(&fit.law).is_none() {
            fit.own_law = Some(OwnLaw(Arc::clone(&self.law)));
        }
        Ok(Fitted { law: Arc::clone(&self.law), fit, point, curves })
    }
}

/// A fit with the optimum and the data that it came from.
#[derive(Debug, Clone)]
pub struct Fitted {
    law: Arc<dyn Law>,
    fit: Fit,
    point: PointFit,
    /// The runs fitted: those given without those left out.
    curves: Vec<Curve>,
}

impl Fitted {
    /// The fit.
    #[must_use]
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// Profiles every free coefficient over about `count` values between its bounds, from the optimum found and under the
    /// options in effect there, the weight of the priors included.
    #[must_use]
    pub fn profile(&self, count: usize) -> Vec<Profile> {
        profiles(self.law.as_ref(), &self.point, &self.point.options, count)
    }

    /// Refits to residuals resampled in blocks along each run; at least 2.
    #[must_use]
    pub fn bootstrap(&self, count: u64) -> Uncertainty {
        bootstrap(self.law.as_ref(), &self.curves, &self.point, &self.point.options, count.max(2))
    }

    /// The fit alone.
    #[must_use]
    pub fn into_fit(self) -> Fit {
        self.fit
    }
}

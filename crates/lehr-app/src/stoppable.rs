//! A law whose fit ends when the observer wants to stop.

use crate::observer::Observer;
use lehr::Law;
use lehr::features::{FeatureDefinition, RunFeatures};
use lehr::law::{Coefficient, DataSummary, Role};
use std::sync::Arc;

/// The law itself until the observer wants to stop; from then on its losses are not finite, which every solver takes as
/// the end. Whoever asked must not use what comes out ([`Desk::work`](crate::Desk::work) does not).
#[derive(Clone)]
pub struct Stoppable {
    law: &'static dyn Law,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Stoppable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stoppable").field("law", &self.law).finish_non_exhaustive()
    }
}

impl Stoppable {
    /// The law, as long as this observer lets it go on.
    #[must_use]
    pub fn new(law: &'static dyn Law, observer: Arc<dyn Observer>) -> Self {
        Self { law, observer }
    }
}

impl Law for Stoppable {
    fn name(&self) -> &'static str {
        self.law.name()
    }
    fn aliases(&self) -> &'static [&'static str] {
        self.law.aliases()
    }
    fn equation(&self) -> &'static str {
        self.law.equation()
    }
    fn source(&self) -> &'static str {
        self.law.source()
    }
    fn limits(&self) -> &'static [&'static str] {
        self.law.limits()
    }
    fn coefficients(&self) -> &'static [Coefficient] {
        self.law.coefficients()
    }
    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        self.law.roles(data)
    }
    fn linear(&self) -> &'static [usize] {
        self.law.linear()
    }
    fn features(&self) -> FeatureDefinition {
        self.law.features()
    }
    fn final_only(&self) -> bool {
        self.law.final_only()
    }
    fn needs_tokens(&self) -> bool {
        self.law.needs_tokens()
    }
    fn knows_batch(&self) -> bool {
        self.law.knows_batch()
    }
    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        if self.observer.cancelled() {
            loss.fill(f64::NAN);
        } else {
            self.law.predict(theta, run, loss);
        }
    }
    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        if self.observer.cancelled() {
            loss.fill(f64::NAN);
            jacobian.fill(f64::NAN);
        } else {
            self.law.predict_with_jacobian(theta, run, loss, jacobian);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fit::FitRequest;
    use crate::{Desk, Event, FailureKind, Files, Observer, Reading};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    /// Stops as soon as the solver is at work.
    #[derive(Default)]
    struct Impatient(AtomicBool);

    impl Observer for Impatient {
        fn hear(&self, event: Event<'_>) {
            if matches!(event, Event::Begun("fitting")) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        fn cancelled(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_fit_ends_soon_after_it_is_asked_to() {
        let runs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/runs");
        let desk = Desk::new(Files::Disk).observed(Arc::new(Impatient::default()));
        let options = lehr::fit::FitOptions { starts: 400, ..Default::default() };
        let law = lehr::law::all()[0];
        let request =
            FitRequest { reading: Reading::of([runs]), law, options, profile: false, bootstrap: None };
        let begun = Instant::now();
        let failure = desk.fit(&request).expect_err("it was asked to stop");
        assert_eq!(failure.kind(), FailureKind::Interrupted, "{failure}");
        // 400 starts take minutes; the reading takes most of this.
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

//! Every law passes the conformance harness.

use lehr::law;
use lehr::testing;

#[test]
fn every_law_conforms() {
    for law in law::all() {
        let broken = testing::violations(law);
        assert!(broken.is_empty(), "{} breaks {} rules:\n{}", law.name(), broken.len(), broken.join("\n"));
    }
}

#[test]
fn exactly_these_laws_change_when_updates_at_rate_zero_are_appended() {
    let changed: Vec<&str> =
        law::all().into_iter().filter(|law| !testing::survives_padding(*law)).map(|law| law.name()).collect();
    // The transient of the first law and the momentum laws count updates, the memoryless law looks at the last rate alone,
    // the final-loss laws count tokens or updates: each says so among its limits.
    assert_eq!(
        changed,
        ["noise-relaxation", "forward-momentum", "cmmt", "memoryless", "chinchilla", "chinchilla-steps"]
    );
}

#[test]
fn names_and_aliases_lead_to_one_law_each() {
    let mut names = Vec::new();
    for law in law::all() {
        names.push(law.name());
        names.extend(law.aliases());
        for name in law.aliases().iter().chain([&law.name()]) {
            let found = law::by_name(&name.to_uppercase()).map(|law| law.name());
            assert_eq!(found, Some(law.name()), "{name}");
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is used twice: {names:?}");
}

#[test]
fn a_term_in_n_is_off_with_one_size_and_free_with_four() {
    use lehr::law::{DataSummary, Role};
    let data = |sizes: &[f64]| DataSummary {
        runs: 4,
        peak_lrs: vec![3e-4],
        sizes: sizes.to_vec(),
        batches: vec![500_000.0],
        min_loss: 2.5,
        max_loss: 4.0,
        max_forward_effect: 7.0,
        first_update: 1.0,
        max_update: 24_000.0,
    };
    for law in law::all() {
        let Some(j) = law.coefficients().iter().position(|c| matches!(c.name, "alpha_n")) else { continue };
        assert!(matches!(law.roles(&data(&[1.0]))[j], Role::Fixed(_)), "{}", law.name());
        assert!(matches!(law.roles(&data(&[0.25, 1.0, 4.0, 8.0]))[j], Role::Free { .. }), "{}", law.name());
    }
}

/// A law with one wrong derivative, one coefficient wrongly called linear and a table out of order.
#[derive(Debug)]
struct Wrong;

impl law::Law for Wrong {
    fn name(&self) -> &'static str {
        "Wrong"
    }
    fn equation(&self) -> &'static str {
        "L = a + 1/S^b"
    }
    fn source(&self) -> &'static str {
        "none"
    }
    fn limits(&self) -> &'static [&'static str] {
        &["everything"]
    }
    fn coefficients(&self) -> &'static [law::Coefficient] {
        const fn entry(name: &'static str, start: f64) -> law::Coefficient {
            law::Coefficient {
                name,
                symbol: name,
                unit: "",
                lower: 0.0,
                upper: 4.0,
                scale: law::Scale::Linear,
                start,
            }
        }
        static COEFFICIENTS: [law::Coefficient; 2] = [entry("a", 5.0), entry("b", 0.5)];
        &COEFFICIENTS
    }
    fn roles(&self, _: &law::DataSummary) -> Vec<law::Role> {
        vec![law::Role::Fixed(0.0); 2]
    }
    fn linear(&self) -> &'static [usize] {
        &[0, 1]
    }
    fn predict(&self, theta: &[f64], run: &lehr::RunFeatures, loss: &mut [f64]) {
        for (l, s) in loss.iter_mut().zip(&run.forward_effect) {
            *l = theta[0] + s.powf(-theta[1]);
        }
    }
    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &lehr::RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        self.predict(theta, run, loss);
        for (row, s) in jacobian.chunks_exact_mut(2).zip(&run.forward_effect) {
            row[0] = 1.0;
            row[1] = -s.ln() * s.powf(-theta[1]) * 1.001;
        }
    }
}

#[test]
fn the_harness_notices_a_wrong_table_derivative_and_linearity() {
    let broken = testing::violations(&Wrong).join("\n");
    for expected in ["a: the start 5 is not inside", "∂L/∂b", "not linear in b", "the name 'Wrong'"] {
        assert!(broken.contains(expected), "{expected} not found in:\n{broken}");
    }
}

//! Derivatives of a law that has none of its own.

use super::{Coefficient, Scale};

/// Smallest step, as a share of a coefficient's range, where the coefficient is near 0.
const SHARE: f64 = 1e-3;

/// Fills the derivatives of a law by central differences, for laws that are written without them.
///
/// Costs two predictions a coefficient. At a bound the step is taken inwards alone, so that the law is never asked outside
/// of its bounds; its error is then of first order.
///
/// # Formula
/// ∂L/∂θⱼ ≈ (L(θⱼ⁺) − L(θⱼ⁻)) / (θⱼ⁺ − θⱼ⁻),  θⱼ± = θⱼ ± ε^(1/3)·max(|θⱼ|, 10⁻³·(upper − lower)) within the bounds; on a
/// [`Scale::Log`] the step is ε^(1/3)·θⱼ.
///
/// # Errors
/// The first error of `predict`.
///
/// # Source
/// Press et al., Numerical Recipes, 3rd ed., section 5.7: ε^(1/3) balances truncation and rounding.
pub fn central_differences<E>(
    coefficients: &[Coefficient],
    theta: &[f64],
    jacobian: &mut [f64],
    predict: &mut dyn FnMut(&[f64], &mut [f64]) -> Result<(), E>,
) -> Result<(), E> {
    let n = theta.len();
    let points = jacobian.len().checked_div(n).unwrap_or(0);
    let (mut above, mut below) = (vec![0.0; points], vec![0.0; points]);
    let mut moved = theta.to_vec();
    for (j, c) in coefficients.iter().enumerate().take(n) {
        let size = match c.scale {
            Scale::Log => theta[j].abs(),
            Scale::Linear => theta[j].abs().max(SHARE * (c.upper - c.lower)),
        };
        let step = f64::EPSILON.cbrt() * size;
        let high = (theta[j] + step).min(c.upper.max(theta[j]));
        let low = (theta[j] - step).max(c.lower.min(theta[j]));
        moved[j] = high;
        predict(&moved, &mut above)?;
        moved[j] = low;
        predict(&moved, &mut below)?;
        moved[j] = theta[j];
        for (i, (a, b)) in above.iter().zip(&below).enumerate() {
            jacobian[i * n + j] = (a - b) / (high - low);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::RunFeatures;
    use crate::law::{Law, NoiseRelaxation};
    use crate::{Schedule, Steps, WsdSpec};

    #[test]
    fn differences_are_the_derivatives_of_a_law_that_has_its_own_also_at_its_bounds() {
        let law = NoiseRelaxation;
        let spec = WsdSpec {
            peak_lr: 1e-3,
            total: Steps(4000),
            warmup: Steps(100),
            anneal: Steps(800),
            ..WsdSpec::default()
        };
        let schedule = Schedule::Wsd(spec.checked().unwrap());
        let run = RunFeatures::new(&schedule, &[400, 2000, 3600, 4000], None, None, &law.features());
        let coefficients = law.coefficients();
        let (n, points) = (coefficients.len(), run.points());
        let middle: Vec<f64> = coefficients.iter().map(|c| c.start).collect();
        for at_bound in [false, true] {
            let mut theta = middle.clone();
            if at_bound {
                theta[0] = coefficients[0].upper;
            }
            let (mut loss, mut exact) = (vec![0.0; points], vec![0.0; n * points]);
            law.predict_with_jacobian(&theta, &run, &mut loss, &mut exact);
            let mut found = vec![0.0; n * points];
            central_differences(coefficients, &theta, &mut found, &mut |theta, loss| {
                for (value, c) in theta.iter().zip(coefficients) {
                    assert!((c.lower..=c.upper).contains(value), "{} is asked at {value}", c.name);
                }
                law.predict(theta, &run, loss);
                Ok::<(), ()>(())
            })
            .unwrap();
            for (i, (found, exact)) in found.iter().zip(&exact).enumerate() {
                let (c, value) = (&coefficients[i % n], theta[i % n]);
                // Inside: rounding of losses of order 1 over a step that is 6e-9 of the range where a coefficient is 0. At a bound one
                // step alone: ε^(1/3).
                let within = if value > c.lower && value < c.upper { 1e-6 } else { 1e-5 };
                assert!(
                    (found - exact).abs() < within * (1.0 + exact.abs()),
                    "{} at {value}: {found} for {exact}",
                    c.name
                );
            }
        }
    }
}

//! The three-term law of final losses, over tokens or over updates.

use super::terms::size_term;
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;

/// The three-term law of final losses over parameters and tokens.
///
/// The baseline that knows nothing of schedules: it is fitted to the last point of each run. All runs should have been
/// annealed in the same way.
///
/// # Formula
/// ```text
/// L = E + A·N₈^-α + B·D₉^-β
/// ```
/// N₈ parameters in 10⁸, D₉ tokens in 10⁹ (tokens per update times updates).
///
/// # Source
/// Hoffmann et al., Training Compute-Optimal Large Language Models, 2022, eq. 2.
#[derive(Debug, Clone, Copy)]
pub struct Chinchilla;

/// As [`Chinchilla`], over updates in place of tokens.
///
/// # Formula
/// ```text
/// L = E + A·N₈^-α + B·(T/1000)^-β
/// ```
/// N₈ parameters in 10⁸, T updates.
///
/// # Source
/// Wang et al., Scaling and Transferability of Annealing Strategies in Large Language Model Training, 2026, which
/// argues for updates above the critical batch size.
#[derive(Debug, Clone, Copy)]
pub struct ChinchillaSteps;

const E: usize = 0;
const B: usize = 1;
const BETA: usize = 2;
const A: usize = 3;
const ALPHA: usize = 4;

static COEFFICIENTS: [Coefficient; 5] = [
    coefficient("e", "E", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("b", "B", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("beta", "β", "", 0.02, 2.0, Scale::Linear, 0.35),
    coefficient("a", "A", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha", "α", "", 0.02, 1.5, Scale::Linear, 0.34),
];

fn roles(data: &DataSummary) -> Vec<Role> {
    let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Free { start: c.start }).collect();
    roles[E] = Role::Free { start: (data.min_loss - 0.3).max(0.1) };
    super::size_roles(data, &mut roles, A, ALPHA);
    roles
}

/// `extent` turns an update into D₉ or T/1000.
fn evaluate<const JACOBIAN: bool>(
    theta: &[f64],
    run: &RunFeatures,
    extent: f64,
    loss: &mut [f64],
    jacobian: &mut [f64],
) {
    let n = COEFFICIENTS.len();
    let size = size_term(theta[A], theta[ALPHA], run);
    for (i, (l, update)) in loss.iter_mut().zip(&run.update).enumerate() {
        let ln_d = (update * extent).ln();
        let unit = (-theta[BETA] * ln_d).exp();
        *l = theta[E] + size.value + theta[B] * unit;
        if JACOBIAN {
            let row = &mut jacobian[i * n..(i + 1) * n];
            row[E] = 1.0;
            row[B] = unit;
            row[BETA] = -theta[B] * unit * ln_d;
            row[A] = size.by_lambda;
            row[ALPHA] = size.by_alpha;
        }
    }
}

macro_rules! final_loss_law {
    ($law:ty, $name:literal, $aliases:expr, $equation:literal, $source:literal, $limits:expr, $tokens:literal, $extent:expr) => {
        impl Law for $law {
            fn name(&self) -> &'static str {
                $name
            }

            fn aliases(&self) -> &'static [&'static str] {
                $aliases
            }

            fn equation(&self) -> &'static str {
                $equation
            }

            fn source(&self) -> &'static str {
                $source
            }

            fn limits(&self) -> &'static [&'static str] {
                $limits
            }

            fn coefficients(&self) -> &'static [Coefficient] {
                &COEFFICIENTS
            }

            fn linear(&self) -> &'static [usize] {
                &[E, B, A]
            }

            fn roles(&self, data: &DataSummary) -> Vec<Role> {
                roles(data)
            }

            fn final_only(&self) -> bool {
                true
            }

            fn needs_tokens(&self) -> bool {
                $tokens
            }

            fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
                evaluate::<false>(theta, run, $extent(run), loss, &mut []);
            }

            fn predict_with_jacobian(
                &self,
                theta: &[f64],
                run: &RunFeatures,
                loss: &mut [f64],
                jacobian: &mut [f64],
            ) {
                evaluate::<true>(theta, run, $extent(run), loss, jacobian);
            }
        }
    };
}

final_loss_law!(
    Chinchilla,
    "chinchilla",
    &["hoffmann"],
    "L = E + A·N₈^-α + B·D₉^-β",
    "Hoffmann et al., Training Compute-Optimal Large Language Models, 2022, eq. 2",
    &[
        "knows nothing of the schedule: it cannot compare annealing ratios, and zero-rate padding lowers its loss",
        "fitted to final losses alone; every run must state its tokens per update",
        "A is not identifiable from one size, B not from one token count",
    ],
    true,
    |run: &RunFeatures| run.tokens_per_step * 1e-9
);

final_loss_law!(
    ChinchillaSteps,
    "chinchilla-steps",
    &["steps"],
    "L = E + A·N₈^-α + B·(T/1000)^-β",
    "Wang et al., Scaling and Transferability of Annealing Strategies in Large Language Model Training, 2026",
    &[
        "knows nothing of the schedule: it cannot compare annealing ratios, and zero-rate padding lowers its loss",
        "fitted to final losses alone; updates stand for data only above the critical batch size",
        "A is not identifiable from one size, B not from one horizon",
    ],
    false,
    |_: &RunFeatures| 1e-3
);

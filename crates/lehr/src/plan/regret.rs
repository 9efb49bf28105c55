//! The expected loss at the ratio that will be chosen.

use crate::fit::starts::normal;
use nalgebra::{DMatrix, DVector, SymmetricEigen};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Pairs of samples with opposite signs.
const PAIRS: usize = 96;

/// Normal samples that all expectations share, so that they can be compared.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    rows: Vec<[DVector<f64>; 2]>,
}

impl Samples {
    pub fn new(size: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(3_000_000);
        let mut vector = || DVector::from_fn(size, |_, _| normal(&mut rng));
        Self { rows: (0..PAIRS).map(|_| [vector(), vector()]).collect() }
    }

    /// The expected regret of choosing the lowest entry of what will be known: E[L(r̂) − min L], r̂ = argmin L̄,
    /// L̄ ~ N(mean, `learnt`), L ~ N(L̄, `left`).
    ///
    /// What all entries have in common changes no choice: it is taken out first.
    pub fn regret(&self, mean: &[f64], learnt: &DMatrix<f64>, left: &DMatrix<f64>) -> f64 {
        let (known, unknown) = (root_of_contrasts(learnt), root_of_contrasts(left));
        let mut sum = 0.0;
        for [first, second] in &self.rows {
            let (known, unknown) = (&known * first, &unknown * second);
            for (a, b) in [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)] {
                let (mut chosen, mut lowest) = ((f64::INFINITY, 0.0), f64::INFINITY);
                for (i, m) in mean.iter().enumerate() {
                    let expected = m + a * known[i];
                    let loss = expected + b * unknown[i];
                    if expected < chosen.0 {
                        chosen = (expected, loss);
                    }
                    lowest = lowest.min(loss);
                }
                sum += chosen.1 - lowest;
            }
        }
        sum / (4 * self.rows.len()) as f64
    }
}

/// The symmetric root of PCP, P taking out the mean over the entries.
fn root_of_contrasts(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let n = covariance.nrows();
    let of_row: Vec<f64> = (0..n).map(|i| covariance.row(i).sum() / n as f64).collect();
    let of_all = of_row.iter().sum::<f64>() / n as f64;
    let centred = DMatrix::from_fn(n, n, |i, j| {
        0.5 * (covariance[(i, j)] + covariance[(j, i)]) - of_row[i] - of_row[j] + of_all
    });
    let eigen = SymmetricEigen::new(centred);
    let roots = eigen.eigenvalues.map(|value| value.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_between_two_equal_losses_costs_their_difference_over_root_2_pi() {
        // E[X − min(X, Y)] = σ_D/√(2π) for equal means, σ_D the standard deviation of the difference.
        let samples = Samples::new(2, 7);
        let (none, left) = (DMatrix::zeros(2, 2), DMatrix::from_row_slice(2, 2, &[3.0, 1.0, 1.0, 2.0]));
        let expected = (3.0_f64 + 2.0 - 2.0).sqrt() / (2.0 * std::f64::consts::PI).sqrt();
        let found = samples.regret(&[5.0, 5.0], &none, &left);
        // 96 independent samples know a mean of sizes to about 8 %.
        assert!((found / expected - 1.0).abs() < 0.16, "{found} against {expected}");
        // Who will know everything chooses right.
        assert_eq!(samples.regret(&[5.0, 5.0], &left, &none), 0.0);
        // Half of the variance learnt: the rest costs √½ of it where the means are equal, less where they then differ.
        let half = 0.5 * &left;
        let rest = samples.regret(&[5.0, 5.0], &half, &half);
        assert!(rest > 0.0 && rest < 0.6 * found, "{rest} of {found}");
    }

    #[test]
    fn what_all_losses_share_does_not_change_which_is_lowest() {
        let samples = Samples::new(3, 7);
        let shared = DMatrix::from_element(3, 3, 4.0);
        assert!(samples.regret(&[1.0, 0.5, 2.0], &DMatrix::zeros(3, 3), &shared) < 1e-9);
    }
}

//! One draw of the coefficients: what is expected of the target and of the candidates, and what measuring changes.

use super::setup::Set;
use nalgebra::DMatrix;

/// One draw of the coefficients: what is expected of the target and of the candidates.
#[derive(Clone)]
pub(super) struct Draw {
    /// Target losses, nats.
    pub loss: Vec<f64>,
    /// Covariance of targets and candidates given what was chosen, relative.
    pub covariance: DMatrix<f64>,
    /// Covariance of the target losses before any choice, nats.
    pub first: DMatrix<f64>,
}

impl Draw {
    /// The covariance of the target losses, nats.
    pub fn of_target(&self, relative: &DMatrix<f64>) -> DMatrix<f64> {
        let n = self.loss.len();
        DMatrix::from_fn(n, n, |i, j| relative[(i, j)] * self.loss[i] * self.loss[j])
    }

    /// By how much measuring `sites` lowers the covariance of the targets, relative; and the weights by which everything
    /// else moves (rows L⁻¹·cov).
    pub fn gain(&self, sites: &[usize], all: bool) -> Option<DMatrix<f64>> {
        let columns = if all { self.covariance.ncols() } else { self.loss.len() };
        let own = DMatrix::from_fn(sites.len(), sites.len(), |i, j| self.covariance[(sites[i], sites[j])]);
        let cross = DMatrix::from_fn(sites.len(), columns, |i, j| self.covariance[(sites[i], j)]);
        let factor = own.cholesky()?;
        factor.l_dirty().solve_lower_triangular(&cross)
    }
}

/// What is expected under one draw, given the runs at hand.
pub(super) fn draw(set: &Set<'_>, theta: &[f64]) -> Option<Draw> {
    let (losses, rows) = set.field.rows(&set.belief, theta)?;
    let (held, targets) = (set.held.clone(), set.target_sites.len());
    // Targets first, then candidates.
    let others: Vec<usize> = (0..targets).chain(held.end..set.field.len()).collect();
    let mut weighted = rows.clone();
    for (j, sd) in set.belief.prior.iter().enumerate() {
        weighted.column_mut(j).scale_mut(*sd);
    }
    let part = |of: &dyn Fn(usize) -> usize, n: usize| {
        DMatrix::from_fn(n, weighted.ncols(), |i, j| weighted[(of(i), j)])
    };
    let (a, h) = (part(&|i| others[i], others.len()), part(&|i| held.start + i, held.len()));
    let mut covariance = &a * a.transpose();
    for i in 0..others.len() {
        for j in 0..others.len() {
            covariance[(i, j)] += set.field.error_covariance(&set.noise, others[i], others[j]);
        }
    }
    if !held.is_empty() {
        let mut own = &h * h.transpose();
        let mut cross = &h * a.transpose();
        for i in 0..held.len() {
            for j in 0..held.len() {
                own[(i, j)] += set.field.error_covariance(&set.noise, held.start + i, held.start + j);
            }
            for (j, &other) in others.iter().enumerate() {
                cross[(i, j)] += set.field.error_covariance(&set.noise, held.start + i, other);
            }
        }
        let weights = own.cholesky()?.l_dirty().solve_lower_triangular(&cross)?;
        covariance -= weights.transpose() * weights;
    }
    let loss: Vec<f64> = losses[..targets].iter().map(|l| l.exp()).collect();
    let mut draw = Draw { loss, covariance, first: DMatrix::zeros(0, 0) };
    let relative = draw.covariance.view((0, 0), (targets, targets)).into_owned();
    draw.first = draw.of_target(&relative);
    Some(draw)
}

//! Moving averages of losses, undone.

use crate::rows::Points;
use lehr::{LossKind, Steps};

/// Undoes a debiased moving average with decay β an update, where rows are dense enough for it; `None` where they are not
/// (more than 1/(1 − β) updates apart as a rule).
///
/// # Formula
/// ```text
/// y_t = (1 − β)/(1 − β^t) · Σ_{j<t} β^j · x_{t−j}                               what is logged
/// z_t = ((1 − β^t)·y_t − β^k·(1 − β^s)·y_s) / (1 − β^k),   k = t − s               s: the row before
/// ```
/// z is the mean of the last k losses with weights β^j: the loss itself for k = 1, and for k up to 1/(1 − β) close to the
/// plain mean, which it is taken for. A log that begins late loses its first row, which only carries the past.
pub(super) fn unsmooth(points: &Points, decay: f64) -> Option<(Points, LossKind)> {
    if !(decay > 0.0 && decay < 1.0) || points.len() < 2 {
        return None;
    }
    let mut gaps: Vec<u64> = points.step.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = gaps.len() / 2;
    let (_, &mut usual, _) = gaps.select_nth_unstable(middle);
    if usual as f64 > 1.0 / (1.0 - decay) {
        return None;
    }
    // β^n; 0 long before n leaves the range of an i32.
    let power = |n: u64| decay.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let late = points.step[0] > usual;
    let mut result = points.at(&(usize::from(late)..points.len()).collect::<Vec<_>>());
    for (i, loss) in result.loss.iter_mut().enumerate() {
        let at = i + usize::from(late);
        let t = points.step[at];
        let (s, before) = if at == 0 { (0, 0.0) } else { (points.step[at - 1], points.loss[at - 1]) };
        let kept = power(t - s);
        *loss = ((1.0 - power(t)) * points.loss[at] - kept * (1.0 - power(s)) * before) / (1.0 - kept);
    }
    let kind = if usual == 1 { LossKind::Instant } else { LossKind::IntervalMean(Steps(usual)) };
    Some((result, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smoothed(every: u64) -> Points {
        let (mut average, mut points) = (0.0, Points::default());
        for t in 1..=200_u64 {
            average = 0.9 * average + 0.1 * loss(t);
            if t % every == 0 {
                points.push(t, average / (1.0 - 0.9_f64.powi(t as i32)), None, t);
            }
        }
        points
    }

    fn loss(t: u64) -> f64 {
        2.0 + 5.0 * (t as f64).powf(-0.4)
    }

    #[test]
    fn the_loss_of_every_update_comes_back() {
        let (points, kind) = unsmooth(&smoothed(1), 0.9).unwrap();
        assert_eq!(kind, LossKind::Instant);
        for (&t, &value) in points.step.iter().zip(&points.loss) {
            assert!((value - loss(t)).abs() < 1e-12, "{t}: {value}");
        }
    }

    #[test]
    fn rows_five_updates_apart_become_means_of_five() {
        let (points, kind) = unsmooth(&smoothed(5), 0.9).unwrap();
        assert_eq!(kind, LossKind::IntervalMean(Steps(5)));
        for (&t, &value) in points.step.iter().zip(&points.loss).skip(4) {
            let weights: Vec<f64> = (0..5).map(|j| 0.9_f64.powi(j)).collect();
            let weighted: f64 = weights.iter().zip(0..).map(|(w, j)| w * loss(t - j)).sum();
            assert!((value - weighted / weights.iter().sum::<f64>()).abs() < 1e-12, "{t}: {value}");
            // The weights fall from 1 to 0.66 over the five, which moves their centre by a fifth of an update.
            let mean = (t - 4..=t).map(loss).sum::<f64>() / 5.0;
            assert!((value - mean).abs() < 0.25 * (loss(t - 4) - loss(t)) / 4.0, "{t}: {value}, {mean}");
        }
    }

    #[test]
    fn rows_too_far_apart_are_left_as_they_are() {
        assert!(unsmooth(&smoothed(20), 0.9).is_none());
    }

    #[test]
    fn the_first_row_of_a_late_log_goes() {
        let all = smoothed(1);
        let late = all.at(&(100..200).collect::<Vec<_>>());
        let (points, _) = unsmooth(&late, 0.9).unwrap();
        assert_eq!(points.step[0], 102);
        assert!((points.loss[0] - loss(102)).abs() < 1e-9);
    }
}

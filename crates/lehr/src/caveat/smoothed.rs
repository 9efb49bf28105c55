//! What a moving average of the losses hides.

use super::CaveatKind;
use crate::curve::Curve;

impl CaveatKind {
    /// The caveat of a run whose losses are a moving average with this decay an update; 0 where the decay is not known.
    ///
    /// # Formula
    /// lag = β/(1 − β) updates; the average lies above the loss by −(slope at the end)·lag, nats, where the loss falls
    /// steadily over the lag. The slope is that of a straight line through the last twentieth of the points, five at least.
    #[must_use]
    pub fn smoothed(curve: &Curve, decay: f64) -> Self {
        let lag = (decay > 0.0 && decay < 1.0).then(|| decay / (1.0 - decay));
        let effect = lag.zip(end_slope(curve)).map(|(lag, slope)| -slope * lag);
        Self::SmoothedLoss { run: curve.meta().id.clone(), lag, effect }
    }
}

/// Slope of the straight line through the last points, nats an update; `None` under five points.
fn end_slope(curve: &Curve) -> Option<f64> {
    const FEWEST: usize = 5;
    let n = curve.step().len();
    let from = n.checked_sub((n / 20).max(FEWEST))?;
    let (step, loss) = (&curve.step()[from..], &curve.loss()[from..]);
    let count = loss.len() as f64;
    let mean_t = step.iter().map(|&t| t as f64).sum::<f64>() / count;
    let mean = loss.iter().sum::<f64>() / count;
    let (mut cross, mut squares) = (0.0, 0.0);
    for (&t, &value) in step.iter().zip(loss) {
        cross += (t as f64 - mean_t) * (value - mean);
        squares += (t as f64 - mean_t).powi(2);
    }
    (squares > 0.0).then_some(cross / squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::RunMeta;

    #[test]
    fn the_lag_of_an_average_moves_a_falling_loss_by_slope_times_lag() {
        let step: Vec<u64> = (1..=200).map(|k| 10 * k).collect();
        let loss = step.iter().map(|&t| 4.0 - 5e-4 * t as f64).collect();
        let schedule = "constant:peak=1e-3,total=2000".parse().unwrap();
        let curve = Curve::new(RunMeta::named("a"), schedule, step, loss).unwrap();
        let CaveatKind::SmoothedLoss { lag, effect, .. } = CaveatKind::smoothed(&curve, 0.99) else {
            panic!()
        };
        assert!((lag.unwrap() - 99.0).abs() < 1e-9);
        assert!((effect.unwrap() - 99.0 * 5e-4).abs() < 1e-9);
        assert!(matches!(
            CaveatKind::smoothed(&curve, 0.0),
            CaveatKind::SmoothedLoss { lag: None, effect: None, .. }
        ));
    }
}

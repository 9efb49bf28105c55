//! Spikes, divergence and noise of a loss curve.

use lehr::{Caveat, CaveatKind};
use serde::{Deserialize, Serialize};

/// What a look at the points themselves says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Updates of isolated rises: see [`Health::of`].
    pub spikes: Vec<u64>,
    /// The update after which the loss rose for good.
    pub diverged: Option<u64>,
    /// Standard deviation of one point about a smooth curve, nats; `None` under 8 points.
    pub noise: Option<f64>,
}

/// Points on either side in the running median.
const REACH: usize = 5;

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let (_, &mut value, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    value
}

impl Health {
    /// Looks at a curve's points.
    ///
    /// # Formula
    /// ```text
    /// m_i    = median of the losses from i − k to i + k, k = min(5, distance to either end)
    /// noise  = 1.4826 · median |L_{i−1} − 2·L_i + L_{i+1}| / √6
    /// spike: L_i − m_i > max(8 · 1.4826 · median |L − m|, 0.02 · m_i)
    /// diverged: median of the last max(3, 5 %) losses > 1.1 · the lowest m before them
    /// ```
    /// A median over a symmetric window of a falling curve is the curve itself, so steep starts are no spikes.
    #[must_use]
    pub fn of(step: &[u64], loss: &[f64]) -> Self {
        let n = loss.len();
        if n < 8 {
            return Self::default();
        }
        let mut window = Vec::with_capacity(2 * REACH + 1);
        let smooth: Vec<f64> = (0..n)
            .map(|i| {
                let k = REACH.min(i).min(n - 1 - i);
                window.clear();
                window.extend_from_slice(&loss[i - k..=i + k]);
                median(&mut window)
            })
            .collect();
        let mut spread: Vec<f64> = loss.iter().zip(&smooth).map(|(value, m)| (value - m).abs()).collect();
        let scale = 1.4826 * median(&mut spread);
        let spikes = (0..n)
            .filter(|&i| loss[i] - smooth[i] > (8.0 * scale).max(0.02 * smooth[i]))
            .map(|i| step[i])
            .collect();
        let mut second: Vec<f64> = loss.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).collect();
        let noise = 1.4826 * median(&mut second) / 6.0_f64.sqrt();
        let tail = (n / 20).max(3);
        let end = median(&mut loss[n - tail..].to_vec());
        let lowest = (0..n - tail).min_by(|&a, &b| smooth[a].total_cmp(&smooth[b]));
        let diverged = lowest.filter(|&i| end > 1.1 * smooth[i]).map(|i| step[i]);
        Self { spikes, diverged, noise: Some(noise) }
    }

    /// The caveats that follow.
    #[must_use]
    pub fn caveats(&self, id: &str) -> Vec<Caveat> {
        let mut caveats = Vec::new();
        if !self.spikes.is_empty() {
            caveats.push(CaveatKind::Spikes { run: id.to_owned(), updates: self.spikes.clone() }.into());
        }
        if let Some(update) = self.diverged {
            caveats.push(CaveatKind::Diverged { run: id.to_owned(), update }.into());
        }
        caveats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lehr::fit::level_breaks;

    #[test]
    fn a_break_in_level_is_found_between_its_rows() {
        let (step, mut loss) = falling(200);
        assert_eq!(level_breaks(&step, &loss, 1e-3), []);
        for value in &mut loss[..80] {
            *value *= 8.0;
        }
        assert_eq!(level_breaks(&step, &loss, 1e-3), [(800, 810)]);
    }

    fn falling(n: u64) -> (Vec<u64>, Vec<f64>) {
        let step: Vec<u64> = (1..=n).map(|i| 10 * i).collect();
        // A deterministic ripple of 1 mnat stands for noise.
        let loss = step
            .iter()
            .enumerate()
            .map(|(i, &t)| 2.0 + 8.0 * (t as f64).powf(-0.4) + if i % 2 == 0 { 1e-3 } else { -1e-3 })
            .collect();
        (step, loss)
    }

    #[test]
    fn a_smooth_fall_is_healthy() {
        let (step, loss) = falling(200);
        let health = Health::of(&step, &loss);
        assert!(health.spikes.is_empty());
        assert_eq!(health.diverged, None);
    }

    #[test]
    fn a_spike_is_found_where_it_stands() {
        let (step, mut loss) = falling(200);
        loss[120] += 1.0;
        assert_eq!(Health::of(&step, &loss).spikes, [step[120]]);
    }

    #[test]
    fn a_loss_that_rises_for_good_diverged() {
        let (step, mut loss) = falling(200);
        for value in &mut loss[150..] {
            *value += 4.0;
        }
        let at = Health::of(&step, &loss).diverged.unwrap();
        assert!((1400..=1500).contains(&at), "{at}");
    }

    #[test]
    fn noise_is_measured_within_a_third() {
        // Noise from a linear congruential generator, uniform with standard deviation 0.01.
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 0.01 * 12.0_f64.sqrt()
        };
        let step: Vec<u64> = (1..=2000).collect();
        let loss: Vec<f64> = step.iter().map(|&t| 3.0 - 1e-4 * t as f64 + noise()).collect();
        let found = Health::of(&step, &loss).noise.unwrap();
        assert!((found - 0.01).abs() < 0.0033, "{found}");
    }
}

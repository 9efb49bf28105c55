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

/// Where the loss changes its level between two rows: the updates before and after.
///
/// # Formula
/// With medians a, b of the ten and five rows before and c, d of the five and ten rows after (the outer halves):
/// `noise` being the standard deviation of one point ([`Health::noise`]), nats,
/// |c − b| > max(5·(|b − a| + |d − c|), 8·noise, s·min(b, c)), at the row where |c − b| is largest;
/// s is 0.1. Smaller breaks are found where the rate is `steady` between the two updates given to it (a rate that falls
/// lowers the loss): robust lines through the five rows before a row and the five from it on differ halfway between the two
/// by more than max(8·noise, 1.5·largest difference farther off, 0.5 % of the loss), at the row that itself moves most. Besides, also near the ends: the three
/// rows before a row and the three from it on differ by a factor of 1.7, and by less than a factor of 1.25 among
/// themselves (losses of several micro-batches added up).
#[must_use]
pub fn level_breaks(
    step: &[u64],
    loss: &[f64],
    noise: f64,
    steady: &dyn Fn(u64, u64) -> bool,
) -> Vec<(u64, u64)> {
    let n = loss.len().min(step.len());
    let mut found = scale_breaks(&step[..n], &loss[..n]);
    if n < 4 * REACH {
        return found;
    }
    found.extend(lehr::fit::level_breaks(&step[..n], &loss[..n], noise));
    found.extend(small_breaks(&step[..n], &loss[..n], noise, steady));
    found.sort_unstable();
    found.dedup_by(|b, a| b.0 <= a.1);
    found
}

/// Rows between which the lines of the rows before and after part, where the rate is steady.
fn small_breaks(
    step: &[u64],
    loss: &[f64],
    noise: f64,
    steady: &dyn Fn(u64, u64) -> bool,
) -> Vec<(u64, u64)> {
    let n = loss.len();
    let gap = |i: usize| {
        let middle = 0.5 * (step[i - 1] as f64 + step[i] as f64);
        let before = steady_line(step, loss, i - REACH, middle);
        (steady_line(step, loss, i, middle) - before).abs()
    };
    let enough = |i: usize| (8.0 * noise).max(0.005 * loss[i]);
    let largest =
        |from: usize, to: usize| (from.max(REACH)..to.min(n - REACH + 1)).map(gap).fold(0.0, f64::max);
    let jump = |rows: std::ops::Range<usize>| rows.map(|i| (loss[i] - loss[i - 1]).abs()).fold(0.0, f64::max);
    let is_one = |&i: &usize| {
        // What the rows themselves do not do, their lines do not either.
        let own = (loss[i] - loss[i - 1]).abs();
        if own <= 0.5 * enough(i) || i < 3 * REACH {
            return false;
        }
        let here = gap(i);
        // The gaps of the rows that share points with this one hold the break, too.
        here > enough(i)
            && steady(step[i - REACH], step[i + REACH - 1])
            && here >= 0.8 * largest(i - REACH, i + REACH)
            && own >= jump(i - REACH + 1..i + REACH)
            && here > 1.5 * largest(i.saturating_sub(4 * REACH), i - REACH)
            && here > 1.5 * largest(i + REACH + 1, i + 4 * REACH)
    };
    (REACH..=n - REACH).filter(is_one).map(|i| (step[i - 1], step[i])).collect()
}

/// A line through five rows from `from` on that one or two spikes do not turn (Theil and Sen), at an update.
fn steady_line(step: &[u64], loss: &[f64], from: usize, at: f64) -> f64 {
    let t = |k: usize| step[k] as f64;
    let mut slopes = [0.0; REACH * (REACH - 1) / 2];
    let mut pair = 0;
    for a in from..from + REACH {
        for b in a + 1..from + REACH {
            slopes[pair] = (loss[b] - loss[a]) / (t(b) - t(a));
            pair += 1;
        }
    }
    let slope = median(&mut slopes);
    let mut heights = [0.0; REACH];
    for (height, k) in heights.iter_mut().zip(from..) {
        *height = loss[k] + slope * (at - t(k));
    }
    median(&mut heights)
}

/// The straight line through rows, at an update.
fn line(step: &[u64], loss: &[f64], rows: std::ops::Range<usize>, at: f64) -> f64 {
    let count = rows.len() as f64;
    let t = |k: usize| step[k] as f64;
    let mean_t = rows.clone().map(t).sum::<f64>() / count;
    let mean = loss[rows.clone()].iter().sum::<f64>() / count;
    let (mut cross, mut squares) = (0.0, 0.0);
    for k in rows {
        cross += (t(k) - mean_t) * (loss[k] - mean);
        squares += (t(k) - mean_t).powi(2);
    }
    mean + cross / squares * (at - mean_t)
}

/// Rows between which the loss changes by a factor, with level rows on both sides.
fn scale_breaks(step: &[u64], loss: &[f64]) -> Vec<(u64, u64)> {
    const SIDE: usize = 3;
    const FACTOR: f64 = 1.7;
    const LEVEL: f64 = 1.25;
    let range = |rows: &[f64]| {
        let low = rows.iter().copied().fold(f64::INFINITY, f64::min);
        (low, rows.iter().copied().fold(0.0, f64::max))
    };
    let is_one = |i: usize| {
        let ((low, high), (low_after, high_after)) = (range(&loss[i - SIDE..i]), range(&loss[i..i + SIDE]));
        let level = high < LEVEL * low && high_after < LEVEL * low_after;
        level && (low > FACTOR * high_after || low_after > FACTOR * high)
    };
    let last = loss.len().saturating_sub(SIDE);
    (SIDE..=last).filter(|&i| is_one(i)).map(|i| (step[i - 1], step[i])).collect()
}

/// How far the last loss lies above (or, negative, below) the line of those before it, where that is far more than
/// noise and than what any of the rows before did; nats.
///
/// # Formula
/// e_i = L_i minus the straight line through the four rows before it, at the update of row i. The last jumps if
/// |e_n| > max(10·noise, 5·max(|e_{n−12}| … |e_{n−1}|), 0.001·L_n), `noise` being the standard deviation of one point.
#[must_use]
pub fn last_jump(step: &[u64], loss: &[f64], noise: f64) -> Option<f64> {
    const LINE: usize = 4;
    const BEFORE: usize = 12;
    let n = loss.len().min(step.len());
    if n < LINE + 6 {
        return None;
    }
    let off = |i: usize| loss[i] - line(step, loss, i - LINE..i, step[i] as f64);
    let usual = (n.saturating_sub(1 + BEFORE).max(LINE)..n - 1).map(|i| off(i).abs()).fold(0.0, f64::max);
    let own = off(n - 1);
    (own.abs() > (10.0 * noise).max(5.0 * usual).max(1e-3 * loss[n - 1])).then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_in_level_is_found_between_its_rows() {
        let (step, mut loss) = falling(200);
        let breaks = |loss: &[f64], steady: bool| level_breaks(&step, loss, 1e-3, &|_, _| steady);
        assert_eq!(breaks(&loss, true), []);
        let smooth = loss.clone();
        for value in &mut loss[..80] {
            *value *= 8.0;
        }
        assert_eq!(breaks(&loss, false), [(800, 810)]);
        // Another evaluation set: 60 mnat, seen where the rate is steady.
        let mut other = smooth.clone();
        other[120..].iter_mut().for_each(|value| *value += 0.06);
        assert_eq!(breaks(&other, true), [(1200, 1210)]);
        assert_eq!(breaks(&other, false), []);
        // Near both ends.
        for at in [5, 196_usize] {
            let mut scaled = smooth.clone();
            scaled[at..].iter_mut().for_each(|value| *value /= 8.0);
            assert_eq!(breaks(&scaled, true), [(step[at - 1], step[at])]);
        }
    }

    #[test]
    fn a_break_beyond_the_noise_is_found_wherever_it_is() {
        let mut state = 3_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let step: Vec<u64> = (1..=400).map(|k| 50 * k).collect();
        let course = |t: u64| 2.5 + 3.0 * (t as f64 / 100.0).powf(-0.5);
        for at in (80..360).step_by(7) {
            for off in [-0.2, 0.1] {
                let mut loss: Vec<f64> = step.iter().map(|&t| course(t) + 0.002 * uniform()).collect();
                loss[at..].iter_mut().for_each(|value| *value += off);
                let found = level_breaks(&step, &loss, 1e-3, &|_, _| true);
                assert_eq!(found, [(step[at - 1], step[at])], "{off} at row {at}");
            }
        }
    }

    #[test]
    fn a_last_point_of_another_kind_jumps() {
        let (step, mut loss) = falling(40);
        assert_eq!(last_jump(&step, &loss, 1e-3), None);
        for off in [0.036, -0.036] {
            *loss.last_mut().unwrap() += off;
            let found = last_jump(&step, &loss, 1e-3).unwrap();
            assert!((found - off).abs() < 5e-3, "{found}");
            *loss.last_mut().unwrap() -= off;
        }
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

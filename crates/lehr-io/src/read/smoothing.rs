//! Moving averages of unknown decay: found by how the noise of neighbouring rows hangs together.

/// Fewer rows than this say nothing.
const ENOUGH: usize = 200;
/// Noise that is smaller than this share of the loss is not that of single batches.
const LEAST_NOISE: f64 = 2e-4;
/// Decays from row to row that are tried.
const DECAYS: usize = 200;
/// The decay must explain the noise at all distances within this, in the logarithm.
const MISFIT: f64 = 0.3;
/// Parts of the farthest difference that are taken for the bend of the course.
const BENDS: [f64; 6] = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9];
/// Smaller decays from row to row are no smoothing worth a word.
const LEAST_DECAY: f64 = 0.5;

/// The decay an update of the moving average that a column of single-batch losses seems to be; `None` where the noise of
/// its rows is independent, hangs together in another way, or is too small to tell.
///
/// # Formula
/// ```text
/// U_h = (1.4826 · median |L_{i+h} − 2·L_i + L_{i−h}|)²,   h = 1, 2, 4, … rows
/// U_h = σ²·(6 − 8·φ^h + 2·φ^{2h}) + c·h⁴                   of a moving average with decay φ a row, on a bent course
/// β   = φ^{1/k}                                            rows k updates apart
/// ```
/// The fit weighs the logarithms by 1/√h, since far distances have fewer independent values; c is a part of what the farthest
/// one has. Independent noise has U_h = 6σ² at every distance. A smooth course has U_h ~ h⁴ and no σ: it fits no φ.
pub(super) fn decay(step: &[u64], loss: &[f64]) -> Option<f64> {
    let from = loss.len().min(step.len()) / 3;
    let (step, loss) = (&step[from..], &loss[from..]);
    let n = loss.len();
    if n < ENOUGH {
        return None;
    }
    let mut gaps: Vec<u64> = step.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = gaps.len() / 2;
    let stride = *gaps.select_nth_unstable(middle).1 as f64;
    let (mut seen, mut sizes): (Vec<(f64, f64)>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut h = 1;
    while 8 * h <= n {
        sizes.clear();
        sizes.extend((h..n - h).map(|i| (loss[i + h] - 2.0 * loss[i] + loss[i - h]).abs()));
        let middle = sizes.len() / 2;
        let size = 1.4826 * *sizes.select_nth_unstable_by(middle, f64::total_cmp).1;
        if size <= 0.0 {
            return None;
        }
        seen.push((h as f64, size * size));
        h *= 2;
    }
    let level = |phi: f64, h: f64| (6.0 - 8.0 * phi.powf(h) + 2.0 * phi.powf(2.0 * h)).ln();
    let weights: f64 = seen.iter().map(|&(h, _)| 1.0 / h.sqrt()).sum();
    let &(farthest, most) = seen.last()?;
    let mut best = (f64::INFINITY, 0.0, 0.0);
    for bend in BENDS {
        let rest = |h: f64, size: f64| size - bend * most * (h / farthest).powi(4);
        let noise: Vec<(f64, f64)> = seen.iter().map(|&(h, size)| (h, rest(h, size).ln())).collect();
        if noise.iter().any(|(_, u)| !u.is_finite()) {
            continue;
        }
        let mut found = (f64::INFINITY, 0.0, 0.0);
        for k in 0..DECAYS {
            // Evenly in the logarithm of 1 − φ, from 0.9 down to 0.001.
            let phi = 1.0 - 0.9 * (1e-3_f64 / 0.9).powf(k as f64 / (DECAYS - 1) as f64);
            let mean = |of: &dyn Fn(f64, f64) -> f64| {
                noise.iter().map(|&(h, u)| of(h, u) / h.sqrt()).sum::<f64>() / weights
            };
            let scale = mean(&|h, u| u - level(phi, h));
            let misfit = mean(&|h, u| (u - level(phi, h) - scale).powi(2));
            if misfit < found.0 {
                found = (misfit, phi, scale);
            }
        }
        if found.0 < best.0 {
            best = found;
        }
        // An average that a straight course explains needs no bend.
        if best.0.sqrt() < MISFIT && best.1 >= LEAST_DECAY && best.1.powf(farthest) < 0.3 {
            break;
        }
    }
    let (misfit, phi, scale) = best;
    let usual = loss[n / 2].abs();
    let found = misfit.sqrt() < MISFIT
        && phi >= LEAST_DECAY
        && phi.powf(farthest) < 0.6
        && (0.5 * scale).exp() > LEAST_NOISE * usual;
    found.then(|| phi.powf(1.0 / stride.max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses of a falling curve with independent noise of 40 mnat, and their moving average.
    fn curve(n: u64, every: u64, decay: f64) -> (Vec<u64>, Vec<f64>) {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let (mut average, mut step, mut out) = (0.0, Vec::new(), Vec::new());
        for t in 1..=n {
            let noise = 0.04 * 3.0_f64.sqrt() * 2.0 * uniform();
            let loss = 2.5 + 6.0 * (t as f64).powf(-0.35) + noise;
            average = decay * average + (1.0 - decay) * loss;
            if t % every == 0 {
                step.push(t);
                out.push(average / (1.0 - decay.powf(t as f64)));
            }
        }
        (step, out)
    }

    #[test]
    fn the_decay_of_an_average_is_found_within_a_third_of_its_reach() {
        for (every, decay_of_update) in [(1, 0.9), (1, 0.98), (10, 0.98), (10, 0.99)] {
            let (step, loss) = curve(8000, every, decay_of_update);
            let found = decay(&step, &loss).unwrap();
            let (reach, true_reach) = (1.0 / (1.0 - found), 1.0 / (1.0 - decay_of_update));
            assert!((reach / true_reach).ln().abs() < 0.33, "{every} {decay_of_update}: {found}");
        }
    }

    #[test]
    fn a_long_average_of_sparse_rows_is_found_on_a_bent_course() {
        // Averaged over rows 10 updates apart, the last fifth annealed.
        let (_, plain) = curve(2000, 1, 0.0);
        let step: Vec<u64> = (1..=2000).map(|k| 10 * k).collect();
        let annealed = |k: usize| 0.2 * (k as f64 / 2000.0 - 0.8).max(0.0);
        for decay_of_row in [0.95_f64, 0.98] {
            let mut average = 0.0;
            let loss: Vec<f64> = plain
                .iter()
                .enumerate()
                .map(|(k, &loss)| {
                    average = decay_of_row * average + (1.0 - decay_of_row) * (loss - annealed(k));
                    average / (1.0 - decay_of_row.powi(k as i32 + 1))
                })
                .collect();
            let found = decay(&step, &loss).unwrap_or_else(|| panic!("{decay_of_row}"));
            let (reach, true_reach) = (0.1 / (1.0 - found), 1.0 / (1.0 - decay_of_row));
            assert!((reach / true_reach).ln().abs() < 0.8, "{decay_of_row}: {found}");
        }
    }

    #[test]
    fn independent_noise_and_a_smooth_course_are_no_average() {
        let (step, loss) = curve(8000, 10, 0.0);
        assert_eq!(decay(&step, &loss), None);
        let smooth: Vec<f64> = step.iter().map(|&t| 2.5 + 6.0 * (t as f64).powf(-0.35)).collect();
        assert_eq!(decay(&step, &smooth), None);
        assert_eq!(decay(&step[..50], &loss[..50]), None);
    }
}

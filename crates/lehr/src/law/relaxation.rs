//! The noise level that relaxes toward what the current rate sustains: the recurrence that two laws share.

use crate::features::Nodes;
use crate::vector_math::{exp_each, vectorised};
use std::cell::RefCell;

/// Coefficients of the recurrence. e = η/10⁻³, t in 1000 updates, pk the largest e so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relaxation {
    /// κ, the speed, per 1000 updates.
    pub kappa: f64,
    /// Exponent of e in the clock.
    pub clock: f64,
    /// Exponent of pk in the clock.
    pub clock_peak: f64,
    /// q, exponent of the level that a rate sustains.
    pub level: f64,
    /// e_c, the rate above which a larger rate helps less and less; infinite: never.
    pub saturation: f64,
}

/// State at one point, with the derivatives of `noise` and `forward`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Y.
    pub noise: f64,
    /// ∂Y/∂ log κ.
    pub by_ln_kappa: f64,
    /// ∂Y/∂ `clock`.
    pub by_clock: f64,
    /// ∂Y/∂ `clock_peak`.
    pub by_clock_peak: f64,
    /// ∂Y/∂ `level`.
    pub by_level: f64,
    /// S, saturating (rate · updates).
    pub forward: f64,
    /// ∂S/∂ log e_c.
    pub forward_by_ln_saturation: f64,
}

/// Integrates Y and S over the nodes and hands the state at every point to `at_point(index, interval, state)`.
///
/// # Formula
/// ```text
/// dY/dt = κ·e^p·pk^m·(e^q − Y),  Y(0) = 0          S = ∫ e/(1 + e/e_c) dt
/// x = κ·ē^p·pk^m·Δt,  Y₁ = a₁ + (Y₀ − a₀)e^-x − (a₁ − a₀)(1 − e^-x)/x,  a = e^q at the two ends, linear between
/// ```
/// Exact for a constant rate; elsewhere the clock is that of the interval's mean rate.
pub(super) fn relax(nodes: &Nodes, law: &Relaxation, mut at_point: impl FnMut(usize, usize, &State)) {
    let mut exponentials = SCRATCH.take();
    exponentials.fill(nodes, law);
    let Exponentials { sustained, elapsed, decay } = &exponentials;
    let mut state = State::default();
    let mut point = 0;
    let points = &nodes.before_point;
    let saturating = law.saturation.is_finite();
    let inverse_saturation = 1.0 / law.saturation;
    let mut previous_end = f64::NAN;
    let (mut a1, mut a1_q) = (0.0, 0.0);
    let by_level = |a: f64, ln_e: f64| if a > 0.0 { a * ln_e } else { 0.0 };
    for k in 0..nodes.len() {
        let before = (state, previous_end, a1, a1_q);
        let (start, end) = (nodes.start[k], nodes.end[k]);
        let mean = 0.5 * (start + end);
        let (ln_mean, ln_peak) = (nodes.ln_mean[k], nodes.ln_mean_peak[k]);
        let (a0, a0_q) = if start == previous_end {
            (a1, a1_q)
        } else {
            // The first interval, and one that begins with a jump.
            let a = if start > 0.0 { (law.level * nodes.ln_start[k]).exp() } else { 0.0 };
            (a, by_level(a, nodes.ln_start[k]))
        };
        if end == start {
            (a1, a1_q) = (a0, a0_q);
        } else {
            (a1, a1_q) = (sustained[k], by_level(sustained[k], nodes.ln_end[k]));
        }
        previous_end = end;
        let (x, decay) = (elapsed[k], decay[k]);
        let phi = if x > 1e-3 { (1.0 - decay) / x } else { 1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)) };
        // x·∂Y₁/∂x
        let gap = state.noise - a0;
        let by_ln_x = -gap * x * decay - (a1 - a0) * (decay - phi);
        let ln_mean = if mean > 0.0 { ln_mean } else { 0.0 };
        let ln_peak = if ln_peak.is_finite() { ln_peak } else { 0.0 };
        state.by_ln_kappa = state.by_ln_kappa * decay + by_ln_x;
        state.by_clock = state.by_clock * decay + by_ln_x * ln_mean;
        state.by_clock_peak = state.by_clock_peak * decay + by_ln_x * ln_peak;
        state.by_level = (state.by_level - a0_q) * decay + a1_q - (a1_q - a0_q) * phi;
        state.noise = a1 + gap * decay - (a1 - a0) * phi;

        if saturating && mean > 0.0 {
            let f = |e: f64| {
                let share = 1.0 / (1.0 + e * inverse_saturation);
                (e * share, e * share * share * e * inverse_saturation)
            };
            let (value, slope) = if start == end {
                f(mean)
            } else {
                let (left, middle, right) = (f(start), f(mean), f(end));
                ((left.0 + 4.0 * middle.0 + right.0) / 6.0, (left.1 + 4.0 * middle.1 + right.1) / 6.0)
            };
            let scale = nodes.forward_effect[k] / mean;
            state.forward += value * scale;
            state.forward_by_ln_saturation += slope * scale;
        } else {
            state.forward += nodes.forward_effect[k];
        }
        while point < points.len() && points[point] == k + 1 {
            at_point(point, k, &state);
            point += 1;
        }
        if nodes.side[k] {
            (state, previous_end, a1, a1_q) = before;
        }
    }
    SCRATCH.set(exponentials);
}

thread_local! {
    /// Room for the exponentials of one run, kept between the thousands of times that a fit asks for them.
    static SCRATCH: RefCell<Exponentials> = RefCell::default();
}

/// What a recurrence takes exponentials for, of all intervals at once, \[K\] each.
#[derive(Default)]
struct Exponentials {
    /// e^q at the interval's end.
    sustained: Vec<f64>,
    /// x, time on the clock.
    elapsed: Vec<f64>,
    /// e^-x.
    decay: Vec<f64>,
}

impl Exponentials {
    fn fill(&mut self, nodes: &Nodes, law: &Relaxation) {
        let count = nodes.len();
        let Self { sustained, elapsed, decay } = self;
        for values in [&mut *sustained, &mut *elapsed, &mut *decay] {
            values.resize(count, 0.0);
        }
        let standing = zero_rate_speed(law.clock);
        vectorised(
            #[inline(always)]
            || {
                let rising = sustained.iter_mut().zip(&nodes.ln_end).zip(&nodes.end);
                for ((value, &ln_end), &end) in rising {
                    *value = if end > 0.0 { law.level * ln_end } else { f64::NEG_INFINITY };
                }
                let speeds = elapsed.iter_mut().zip(&nodes.ln_mean).zip(&nodes.ln_mean_peak);
                for ((value, &ln_mean), &ln_peak) in speeds {
                    let own = if ln_mean > f64::NEG_INFINITY { law.clock * ln_mean } else { standing };
                    *value = own + law.clock_peak * if ln_peak > f64::NEG_INFINITY { ln_peak } else { 0.0 };
                }
                exp_each(sustained);
                exp_each(elapsed);
                for ((x, decay), &updates) in elapsed.iter_mut().zip(decay.iter_mut()).zip(&nodes.updates) {
                    *x *= law.kappa * updates * 1e-3;
                    *decay = -*x;
                }
                exp_each(decay);
            },
        );
    }
}

/// log e^p at a rate of 0: a stopped clock for p > 0; one tick a unit of time otherwise.
fn zero_rate_speed(clock: f64) -> f64 {
    if clock > 0.0 { f64::NEG_INFINITY } else { 0.0 }
}

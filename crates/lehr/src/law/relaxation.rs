//! The noise level that relaxes toward what the current rate sustains: the recurrence that two laws share.

use crate::features::Nodes;

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
    let mut state = State::default();
    let mut point = 0;
    let points = &nodes.before_point;
    let sustained = |e: f64, ln_e: f64| {
        if e > 0.0 {
            let a = (law.level * ln_e).exp();
            (a, a * ln_e)
        } else {
            (0.0, 0.0)
        }
    };
    let saturating = law.saturation.is_finite();
    let inverse_saturation = 1.0 / law.saturation;
    let mut previous_end = f64::NAN;
    let (mut a1, mut a1_q) = (0.0, 0.0);
    // A constant rate logged at a regular pace repeats the same interval: its exponentials are kept.
    let mut kept =
        Kept { updates: f64::NAN, mean: f64::NAN, ln_peak: f64::NAN, x: 0.0, decay: 1.0, phi: 1.0 };
    for k in 0..nodes.len() {
        let before = (state, previous_end, a1, a1_q);
        let (start, end, updates) = (nodes.start[k], nodes.end[k], nodes.updates[k]);
        let mean = 0.5 * (start + end);
        let (ln_mean, ln_peak) = (nodes.ln_mean[k], nodes.ln_mean_peak[k]);
        let (a0, a0_q) = if start == previous_end { (a1, a1_q) } else { sustained(start, nodes.ln_start[k]) };
        if end == start {
            (a1, a1_q) = (a0, a0_q);
        } else {
            (a1, a1_q) = sustained(end, nodes.ln_end[k]);
        }
        previous_end = end;
        if kept.updates != updates || kept.mean != mean || kept.ln_peak != ln_peak {
            let ln_speed = if mean > 0.0 { law.clock * ln_mean } else { zero_rate_speed(law.clock) }
                + law.clock_peak * if ln_peak.is_finite() { ln_peak } else { 0.0 };
            let speed = if ln_speed == 0.0 { 1.0 } else { ln_speed.exp() };
            let x = law.kappa * speed * updates * 1e-3;
            let decay = (-x).exp();
            let phi = if x > 1e-3 { (1.0 - decay) / x } else { 1.0 - x * (0.5 - x * (1.0 / 6.0 - x / 24.0)) };
            kept = Kept { updates, mean, ln_peak, x, decay, phi };
        }
        let Kept { x, decay, phi, .. } = kept;
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
}

struct Kept {
    updates: f64,
    mean: f64,
    ln_peak: f64,
    x: f64,
    decay: f64,
    phi: f64,
}

/// log e^p at a rate of 0: a stopped clock for p > 0; one tick a unit of time otherwise.
fn zero_rate_speed(clock: f64) -> f64 {
    if clock > 0.0 { f64::NEG_INFINITY } else { 0.0 }
}

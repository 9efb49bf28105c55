//! The annealing momentum with Adam-style estimates (ASMT).

use serde::{Deserialize, Serialize};

/// The constants of ASMT.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AsmtDefinition {
    /// Decay of the first moment, β₁.
    pub beta1: f64,
    /// Decay of the second moment, β₂.
    pub beta2: f64,
    /// ε, inside and outside the root.
    pub epsilon: f64,
    /// κ, the factor on v̂ under the root.
    pub v_scale: f64,
}

impl Default for AsmtDefinition {
    /// The constants of the published code.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, v_scale: 1e5 }
    }
}

/// The annealing momentum M at every row, computed over the rows given.
///
/// # Formula
/// ```text
/// d_i = (η_{i−1} − η_i)·(s_i − s_{i−1}),  d_0 = 0
/// m_i = β₁ m_{i−1} + (1 − β₁) d_i            v_i = β₂ v_{i−1} + (1 − β₂) d_i²
/// m̂_i = m_i/(1 − β₁^{i+1})                   v̂_i = v_i/(1 − β₂^{i+1})
/// M_i = M_{i−1} + m̂_i/(√(κ·v̂_i + ε) + ε),   M_0 = 0
/// ```
/// `step` s and `lr` η have one entry a row; the result too.
///
/// # Source
/// Wang et al., Scaling and Transferability of Annealing Strategies, 2026, and its published code (κ = 10⁵).
#[must_use]
pub fn asmt(step: &[f64], lr: &[f64], definition: &AsmtDefinition) -> Vec<f64> {
    let mut state = State::default();
    let mut out = Vec::with_capacity(step.len());
    for i in 0..step.len().min(lr.len()) {
        let d = if i == 0 { 0.0 } else { (lr[i - 1] - lr[i]) * (step[i] - step[i - 1]) };
        out.push(state.advance(d, definition));
    }
    out
}

struct State {
    m: f64,
    v: f64,
    beta1_power: f64,
    beta2_power: f64,
    sum: f64,
}

impl Default for State {
    fn default() -> Self {
        Self { m: 0.0, v: 0.0, beta1_power: 1.0, beta2_power: 1.0, sum: 0.0 }
    }
}

impl State {
    /// The next row, with d_i; the running M.
    ///
    /// Numbers too small to change M are set to 0: kept, they would decay into the subnormal range, where arithmetic is
    /// a hundred times slower. Below 10⁻²⁰ a power of β leaves 1 − β^i at exactly 1; below 10⁻²⁵⁰ m adds nothing.
    #[inline]
    fn advance(&mut self, d: f64, c: &AsmtDefinition) -> f64 {
        self.m = c.beta1 * self.m + (1.0 - c.beta1) * d;
        self.v = c.beta2 * self.v + (1.0 - c.beta2) * d * d;
        self.beta1_power *= c.beta1;
        self.beta2_power *= c.beta2;
        let flush = |x: f64, below: f64| if x.abs() < below { 0.0 } else { x };
        self.beta1_power = flush(self.beta1_power, 1e-20);
        self.beta2_power = flush(self.beta2_power, 1e-20);
        self.m = flush(self.m, 1e-250);
        self.v = flush(self.v, 1e-290);
        if self.m != 0.0 {
            let m_hat = self.m / (1.0 - self.beta1_power);
            let v_hat = self.v / (1.0 - self.beta2_power);
            self.sum += m_hat / ((c.v_scale * v_hat + c.epsilon).sqrt() + c.epsilon);
        }
        self.sum
    }
}

/// M at `points`, over every `stride`-th update of the dense rates from index `first` on; 0 before.
pub(super) fn dense(
    rates: &[f64],
    points: &[u64],
    stride: u64,
    first: usize,
    definition: &AsmtDefinition,
) -> Vec<f64> {
    let stride = stride.max(1) as usize;
    let mut out = Vec::with_capacity(points.len());
    let mut state = State::default();
    let mut sum = 0.0;
    let mut previous = None;
    let mut next = points.iter().copied().peekable();
    for (i, &rate) in rates.iter().enumerate() {
        if i >= first && (i - first).is_multiple_of(stride) {
            let d = previous.map_or(0.0, |before: f64| (before - rate) * stride as f64);
            sum = state.advance(d, definition);
            previous = Some(rate);
        }
        if next.peek() == Some(&(i as u64 + 1)) {
            out.push(sum);
            next.next();
        }
    }
    out
}

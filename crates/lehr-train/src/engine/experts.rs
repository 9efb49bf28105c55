//! The mixture of experts of one block: routing, gathered products per expert, and their gradients. No token is dropped.
//!
//! A *slot* is one (token, chosen expert) pair; the M·k slots are ordered by expert, then by token.

use super::kernel::{swiglu, swiglu_backward};
use super::layout::Block;
use super::matmul::{Into, View, ViewMut, matmul};
use super::real::{Real, dot, vectorised};

/// Numbers that decide the routing.
#[derive(Debug, Clone, Copy)]
pub struct Routing {
    /// Experts E.
    pub experts: usize,
    /// Experts per token, k.
    pub top_k: usize,
    /// Inner width of an expert, f.
    pub hidden: usize,
    /// Width d.
    pub width: usize,
    /// Tokens of a sequence, T.
    pub context: usize,
    /// Coefficient of the load-balance loss.
    pub balance: f64,
    /// Coefficient of the z-loss.
    pub z: f64,
}

/// What one block keeps between forward and backward.
#[derive(Debug, Clone)]
pub struct Routed<R> {
    /// Router probabilities, M × E.
    probability: Vec<R>,
    /// ln Σ e^logit of the router, M.
    log_sum: Vec<R>,
    /// Chosen experts, M × k, most probable first.
    chosen: Vec<u32>,
    /// Their weights, which add up to 1, M × k.
    weight: Vec<R>,
    /// Slot of (token, choice), M × k.
    slot: Vec<u32>,
    /// Token of each slot.
    token: Vec<u32>,
    /// First slot of each expert; E + 1 entries.
    first: Vec<usize>,
    /// Gathered inputs, M·k × d.
    input: Vec<R>,
    /// Gates and ups, M·k × 2f.
    gate_up: Vec<R>,
    /// silu(gate)·up, M·k × f.
    inner: Vec<R>,
}

/// Scratch that all blocks share.
#[derive(Debug, Clone)]
pub struct Scratch<R> {
    /// M·k × d.
    slots: Vec<R>,
    /// M·k × f.
    inner: Vec<R>,
    /// M × E.
    logits: Vec<R>,
}

/// Sums over a micro-batch of what the auxiliary losses measure.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Auxiliary {
    /// Σ over sequences of E·Σ_e f_e·P_e.
    pub balance: f64,
    /// Σ over tokens of (ln Σ e^logit)².
    pub z: f64,
}

impl<R: Real> Routed<R> {
    /// Buffers for at most `tokens` tokens.
    #[must_use]
    pub fn new(routing: Routing, tokens: usize) -> Self {
        let slots = tokens * routing.top_k;
        Self {
            probability: vec![R::ZERO; tokens * routing.experts],
            log_sum: vec![R::ZERO; tokens],
            chosen: vec![0; slots],
            weight: vec![R::ZERO; slots],
            slot: vec![0; slots],
            token: vec![0; slots],
            first: vec![0; routing.experts + 1],
            input: vec![R::ZERO; slots * routing.width],
            gate_up: vec![R::ZERO; slots * 2 * routing.hidden],
            inner: vec![R::ZERO; slots * routing.hidden],
        }
    }

    /// Tokens that each expert got in the last forward pass.
    pub fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.first.windows(2).map(|pair| (pair[1] - pair[0]) as u64)
    }
}

impl<R: Real> Scratch<R> {
    /// Buffers for at most `tokens` tokens.
    #[must_use]
    pub fn new(routing: Routing, tokens: usize) -> Self {
        let slots = tokens * routing.top_k;
        Self {
            slots: vec![R::ZERO; slots * routing.width],
            inner: vec![R::ZERO; slots * routing.hidden],
            logits: vec![R::ZERO; tokens * routing.experts],
        }
    }
}

/// Softmax over all experts, choice of the k most probable (the lower index on a tie), weights over the chosen.
fn route<R: Real>(routing: Routing, logits: &[R], kept: &mut Routed<R>) {
    let Routing { experts, top_k, .. } = routing;
    for (m, row) in logits.chunks_exact(experts).enumerate() {
        let peak = row.iter().fold(row[0], |peak, &value| peak.larger(value));
        let p = &mut kept.probability[m * experts..][..experts];
        let mut sum = R::ZERO;
        for (p, &logit) in p.iter_mut().zip(row) {
            *p = (logit - peak).exp();
            sum += *p;
        }
        let inverse = R::ONE / sum;
        p.iter_mut().for_each(|p| *p *= inverse);
        kept.log_sum[m] = peak + R::of(sum.to_f64().ln());
        let chosen = &mut kept.chosen[m * top_k..][..top_k];
        let mut mass = R::ZERO;
        for i in 0..top_k {
            let mut best = usize::MAX;
            for e in 0..experts {
                if !chosen[..i].contains(&(e as u32)) && (best == usize::MAX || p[e] > p[best]) {
                    best = e;
                }
            }
            chosen[i] = best as u32;
            mass += p[best];
        }
        for (weight, &e) in kept.weight[m * top_k..][..top_k].iter_mut().zip(&*chosen) {
            *weight = p[e as usize] / mass;
        }
    }
}

/// Orders the slots by expert, then by token.
fn sort<R>(routing: Routing, tokens: usize, kept: &mut Routed<R>) {
    let choices = &kept.chosen[..tokens * routing.top_k];
    kept.first.fill(0);
    for &e in choices {
        kept.first[e as usize + 1] += 1;
    }
    for e in 0..routing.experts {
        kept.first[e + 1] += kept.first[e];
    }
    for (choice, &e) in choices.iter().enumerate() {
        let slot = kept.first[e as usize];
        kept.first[e as usize] += 1;
        kept.slot[choice] = slot as u32;
        kept.token[slot] = (choice / routing.top_k) as u32;
    }
    // Every entry has moved to its expert's end, which is the next expert's beginning.
    kept.first.copy_within(0..routing.experts, 1);
    kept.first[0] = 0;
}

/// E·Σ_e f_e·P_e of every sequence, summed, and Σ lse². With `gradient` (the share of one token in the batch's mean),
/// adds the gradient of the auxiliary losses with respect to the router's probabilities to it.
fn auxiliary<R: Real>(
    routing: Routing,
    tokens: usize,
    kept: &Routed<R>,
    mut gradient: Option<(f64, &mut [R])>,
) -> Auxiliary {
    let Routing { experts, top_k, context, .. } = routing;
    let mut sums = Auxiliary::default();
    let per_choice = 1.0 / (context * top_k) as f64;
    for first in (0..tokens).step_by(context) {
        for e in 0..experts {
            let chosen = &kept.chosen[first * top_k..(first + context) * top_k];
            let share = chosen.iter().filter(|&&choice| choice as usize == e).count() as f64 * per_choice;
            let column = (first..first + context).map(|m| m * experts + e);
            let mass: f64 = column.clone().map(|at| kept.probability[at].to_f64()).sum();
            sums.balance += experts as f64 * share * mass / context as f64;
            if let Some((token_share, gradient)) = &mut gradient {
                // Mean over sequences = share of one token × T; the mean over T positions takes the T away.
                let slope = R::of(routing.balance * experts as f64 * share * *token_share);
                column.for_each(|at| gradient[at] += slope);
            }
        }
    }
    sums.z = kept.log_sum[..tokens].iter().map(|lse| lse.to_f64() * lse.to_f64()).sum();
    sums
}

/// Adds the experts' output for the normed states `x` (M × d) to the residual stream.
pub fn forward<R: Real>(
    routing: Routing,
    block: &Block,
    parameters: &[R],
    x: &[R],
    residual: &mut [R],
    kept: &mut Routed<R>,
    scratch: &mut Scratch<R>,
) -> Auxiliary {
    let Routing { experts, top_k, hidden, width, .. } = routing;
    let tokens = x.len() / width;
    let logits = &mut scratch.logits[..tokens * experts];
    let router = View::new(&parameters[block.router.clone()], width, experts);
    matmul(ViewMut::new(logits, tokens, experts), Into::Replace, R::ONE, View::new(x, tokens, width), router);
    route(routing, logits, kept);
    sort(routing, tokens, kept);
    for (slot, &token) in kept.token[..tokens * top_k].iter().enumerate() {
        let from = token as usize * width;
        kept.input[slot * width..][..width].copy_from_slice(&x[from..from + width]);
    }
    for (e, expert) in block.experts.iter().enumerate() {
        let (first, count) = (kept.first[e], kept.first[e + 1] - kept.first[e]);
        let input = View::new(&kept.input[first * width..], count, width);
        let gate_up = &mut kept.gate_up[first * 2 * hidden..][..count * 2 * hidden];
        let weights = View::new(&parameters[expert.gate_up.clone()], width, 2 * hidden);
        matmul(ViewMut::new(gate_up, count, 2 * hidden), Into::Replace, R::ONE, input, weights);
        let inner = &mut kept.inner[first * hidden..][..count * hidden];
        swiglu(gate_up, hidden, inner);
        let weights = View::new(&parameters[expert.down.clone()], hidden, width);
        let output = ViewMut::new(&mut scratch.slots[first * width..], count, width);
        matmul(output, Into::Replace, R::ONE, View::new(inner, count, hidden), weights);
    }
    vectorised(
        #[inline(always)]
        || {
            for (m, residual) in residual.chunks_exact_mut(width).enumerate() {
                for choice in m * top_k..(m + 1) * top_k {
                    let weight = kept.weight[choice];
                    let output = &scratch.slots[kept.slot[choice] as usize * width..][..width];
                    for (residual, &output) in residual.iter_mut().zip(output) {
                        *residual += weight * output;
                    }
                }
            }
        },
    );
    auxiliary(routing, tokens, kept, None)
}

/// Adds the gradients of the experts and the router, and of their input to `dx`, given the gradient of the residual stream.
///
/// `share` is the share of one token in the batch's mean loss.
pub fn backward<R: Real>(
    routing: Routing,
    block: &Block,
    parameters: &[R],
    (x, dresidual): (&[R], &[R]),
    dx: &mut [R],
    gradient: &mut [R],
    share: f64,
    kept: &mut Routed<R>,
    scratch: &mut Scratch<R>,
) {
    let Routing { experts, top_k, hidden, width, .. } = routing;
    let tokens = x.len() / width;
    let slots = tokens * top_k;
    for (slot, &token) in kept.token[..slots].iter().enumerate() {
        scratch.slots[slot * width..][..width].copy_from_slice(&dresidual[token as usize * width..][..width]);
    }
    for (e, expert) in block.experts.iter().enumerate() {
        let (first, count) = (kept.first[e], kept.first[e + 1] - kept.first[e]);
        let douter = View::new(&scratch.slots[first * width..], count, width);
        let weights = View::new(&parameters[expert.down.clone()], hidden, width);
        let dinner = ViewMut::new(&mut scratch.inner[first * hidden..], count, hidden);
        matmul(dinner, Into::Replace, R::ONE, douter, weights.t());
    }
    // d(weight of a choice) = ⟨d inner, inner⟩; then both are scaled by the weight.
    let dprobability = &mut scratch.logits[..tokens * experts];
    dprobability.fill(R::ZERO);
    vectorised(
        #[inline(always)]
        || {
            for m in 0..tokens {
                let choices = m * top_k..(m + 1) * top_k;
                let mass: R =
                    choices.clone().map(|c| kept.probability[m * experts + kept.chosen[c] as usize]).sum();
                let mut mean = R::ZERO;
                for c in choices.clone() {
                    let at = kept.slot[c] as usize * hidden;
                    let (inner, dinner) =
                        (&mut kept.inner[at..at + hidden], &mut scratch.inner[at..at + hidden]);
                    let slope = dot(inner, dinner);
                    let weight = kept.weight[c];
                    for (inner, dinner) in inner.iter_mut().zip(dinner) {
                        *inner *= weight;
                        *dinner *= weight;
                    }
                    mean += weight * slope;
                    dprobability[m * experts + kept.chosen[c] as usize] = slope;
                }
                for c in choices {
                    let at = m * experts + kept.chosen[c] as usize;
                    dprobability[at] = (dprobability[at] - mean) / mass;
                }
            }
        },
    );
    for (e, expert) in block.experts.iter().enumerate() {
        let (first, count) = (kept.first[e], kept.first[e + 1] - kept.first[e]);
        let input = View::new(&kept.input[first * width..], count, width);
        let douter = View::new(&scratch.slots[first * width..], count, width);
        let inner = View::new(&kept.inner[first * hidden..], count, hidden);
        matmul(
            ViewMut::new(&mut gradient[expert.down.clone()], hidden, width),
            Into::Add,
            R::ONE,
            inner.t(),
            douter,
        );
        let gate_up = &mut kept.gate_up[first * 2 * hidden..][..count * 2 * hidden];
        swiglu_backward(gate_up, hidden, &scratch.inner[first * hidden..][..count * hidden]);
        let dgate_up = View::new(gate_up, count, 2 * hidden);
        let dweights = ViewMut::new(&mut gradient[expert.gate_up.clone()], width, 2 * hidden);
        matmul(dweights, Into::Add, R::ONE, input.t(), dgate_up);
        let weights = View::new(&parameters[expert.gate_up.clone()], width, 2 * hidden);
        let dinput = ViewMut::new(&mut scratch.slots[first * width..], count, width);
        matmul(dinput, Into::Replace, R::ONE, dgate_up, weights.t());
    }
    vectorised(
        #[inline(always)]
        || {
            for (m, dx) in dx.chunks_exact_mut(width).enumerate() {
                for choice in m * top_k..(m + 1) * top_k {
                    let dinput = &scratch.slots[kept.slot[choice] as usize * width..][..width];
                    for (dx, &dinput) in dx.iter_mut().zip(dinput) {
                        *dx += dinput;
                    }
                }
            }
        },
    );
    let dprobability = &mut scratch.logits[..tokens * experts];
    auxiliary(routing, tokens, kept, Some((share, dprobability)));
    let z = R::of(2.0 * routing.z * share);
    for (m, row) in dprobability.chunks_exact_mut(experts).enumerate() {
        let p = &kept.probability[m * experts..][..experts];
        let mean: R = row.iter().zip(p).map(|(&d, &p)| d * p).sum();
        let pull = z * kept.log_sum[m];
        for (d, &p) in row.iter_mut().zip(p) {
            *d = p * (*d - mean + pull);
        }
    }
    let dlogits = View::new(dprobability, tokens, experts);
    let x = View::new(x, tokens, width);
    matmul(
        ViewMut::new(&mut gradient[block.router.clone()], width, experts),
        Into::Add,
        R::ONE,
        x.t(),
        dlogits,
    );
    let router = View::new(&parameters[block.router.clone()], width, experts);
    matmul(ViewMut::new(dx, tokens, width), Into::Add, R::ONE, dlogits, router.t());
}

//! The arguments whose rates come closest to the wanted ones.

use super::plan::Plan;
use lehr::Shape;

/// Arguments, the rates they give and the cost of the difference.
pub(super) struct Found {
    pub arguments: Vec<i64>,
    pub rates: Vec<f64>,
    pub shape: Shape,
    cost: f64,
}

impl Found {
    /// What is left when no search was possible.
    pub fn from_rates(arguments: Vec<i64>, rates: Vec<f64>) -> Self {
        Self { arguments, rates, shape: Shape::Linear, cost: f64::INFINITY }
    }
}

/// Searches whole-number arguments from `start`, downhill in Σ |Δlr| (the largest difference breaks ties).
///
/// `model` gives the trainer's rates of updates 1 … T, or `None` for arguments that it refuses. Descent by single and
/// paired moves is enough because the cost is nearly convex in each length and `start` is a few updates off at most.
pub(super) fn nearest(
    plan: &Plan<'_>,
    shape: Shape,
    start: &[i64],
    model: impl Fn(&[i64]) -> Option<Vec<f64>>,
) -> Option<Found> {
    let cost = |rates: &[f64]| {
        let (mut sum, mut max) = (0.0, 0.0_f64);
        for (rate, want) in rates.iter().zip(plan.wanted).skip(plan.from as usize) {
            let difference = (rate - want).abs();
            sum += difference;
            max = max.max(difference);
        }
        (sum + 0.01 * max) / plan.peak
    };
    let judge = |arguments: &[i64]| {
        let rates = model(arguments)?;
        let cost = cost(&rates);
        Some(Found { arguments: arguments.to_vec(), rates, shape, cost })
    };
    // A start that the trainer refuses gives way to its neighbours.
    let mut best = judge(start);
    let n = start.len();
    let wide = best.as_ref().is_none_or(|found| found.cost > 2.0);
    let strides: &[i64] = if wide { &[256, 64, 16, 4, 1] } else { &[2, 1] };
    for &stride in strides {
        for _ in 0..64 {
            if best.as_ref().is_some_and(|found| found.cost < 1e-9) {
                return best;
            }
            let centre = best.as_ref().map_or_else(|| start.to_vec(), |found| found.arguments.clone());
            let mut moves = Vec::new();
            for i in 0..n {
                for a in [-stride, stride] {
                    let mut one = centre.clone();
                    one[i] += a;
                    for j in i + 1..n {
                        for b in [-stride, stride] {
                            let mut two = one.clone();
                            two[j] += b;
                            moves.push(two);
                        }
                    }
                    moves.push(one);
                }
            }
            let least = best.as_ref().map_or(f64::INFINITY, |found| found.cost);
            let next = moves
                .into_iter()
                .filter(|point| point.iter().all(|value| *value >= 0))
                .filter_map(|point| judge(&point))
                .filter(|found| found.cost < least)
                .min_by(|a, b| a.cost.total_cmp(&b.cost));
            match next {
                Some(found) => best = Some(found),
                None => break,
            }
        }
    }
    best
}

/// [`nearest`] over the shapes that a trainer knows: the one asked for if it is among them, else the closest.
pub(super) fn nearest_shape(
    plan: &Plan<'_>,
    shapes: &[Shape],
    start: &[i64],
    model: impl Fn(Shape, &[i64]) -> Option<Vec<f64>>,
) -> Option<Found> {
    let native: Vec<Shape> = if plan.anneal == 0 {
        shapes[..1].to_vec()
    } else {
        shapes.iter().copied().filter(|shape| *shape == plan.shape).collect()
    };
    let candidates = if native.is_empty() { shapes } else { &native };
    candidates
        .iter()
        .filter_map(|&shape| nearest(plan, shape, start, |arguments| model(shape, arguments)))
        .min_by(|a, b| a.cost.total_cmp(&b.cost))
}

/// The better of two findings.
pub(super) fn better(a: Option<Found>, b: Option<Found>) -> Option<(bool, Found)> {
    match (a, b) {
        (Some(a), Some(b)) if b.cost < a.cost * (1.0 - 1e-9) => Some((true, b)),
        (Some(a), _) => Some((false, a)),
        (None, b) => b.map(|b| (true, b)),
    }
}

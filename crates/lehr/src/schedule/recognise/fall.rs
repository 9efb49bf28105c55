//! One annealing: where it starts and ends, its shape and final rate.

use super::{Row, rounding};
use crate::schedule::Shape;

/// Where a fall may end.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// The horizon is stated.
    Fixed(u64),
    /// At `from` or later: up to `upto` where only a customary final rate shows it, further (`far`) where the bend does.
    Open { from: u64, upto: u64, far: bool },
    /// Within `after` < t ≤ `upto`, at this rate.
    Floor { after: u64, upto: u64, value: f64 },
}

/// The annealing found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fall {
    /// Last update at the rate before.
    pub start: u64,
    /// Its last update.
    pub end: u64,
    /// Its shape.
    pub shape: Shape,
    /// Its last rate.
    pub to: f64,
}

/// Final rates that people use, as shares of the peak.
const CUSTOMARY: [f64; 9] = [0.0, 0.1, 0.01, 0.05, 0.2, 0.001, 0.5, 0.02, 0.25];

struct Problem<'a> {
    rows: &'a [Row],
    level: f64,
    /// Smallest and largest possible start.
    range: (u64, u64),
    end: End,
    tol: f64,
}

/// The shape that follows the rows best; earlier shapes win where rounding leaves the choice open.
pub(super) fn fit(rows: &[Row], level: f64, range: (u64, u64), end: End, tol: f64) -> Option<Fall> {
    let inner: Vec<Row> = rows.iter().copied().filter(|row| row.y < level - tol).collect();
    if let [only] = inner[..] {
        let (end, to) = match end {
            End::Fixed(end) if end > only.t => (end, only.y),
            End::Floor { upto, value, .. } => (upto, value),
            _ => (only.t, only.y),
        };
        return Some(Fall { start: range.0, end, shape: Shape::Linear, to });
    }
    let problem = Problem { rows: &inner, level, range, end, tol };
    let mut best: Option<(f64, Fall)> = None;
    let shapes = [
        Shape::Linear,
        Shape::Cosine,
        Shape::OneMinusSqrt,
        Shape::Geometric,
        Shape::Exponential,
        Shape::Inverse,
        Shape::Power(2.0),
    ];
    for shape in shapes {
        let found = match shape {
            Shape::Linear | Shape::OneMinusSqrt | Shape::Geometric | Shape::Inverse => {
                problem.straight(shape)
            }
            Shape::Power(_) => problem.power(),
            Shape::Cosine | Shape::Exponential => problem.bent(shape),
        };
        let Some(fall) = found else { continue };
        let off = problem.off(&fall);
        if best.is_none_or(|(least, _)| off < least) {
            best = Some((off, fall));
        }
        if off <= 4.0 * tol {
            break;
        }
    }
    // What is off by more than is acceptable is still the best reading; the caller judges its residual.
    best.map(|(_, fall)| fall)
}

impl Problem<'_> {
    fn off(&self, fall: &Fall) -> f64 {
        let length = (fall.end - fall.start) as f64;
        let rate = |row: &Row| {
            let p = (row.t.saturating_sub(fall.start)) as f64 / length;
            fall.shape.between(self.level, fall.to, p.min(1.0))
        };
        self.rows.iter().map(|row| (rate(row) - row.y).abs()).fold(0.0, f64::max)
    }

    /// Shapes that a change of scale turns into a straight line: start from the crossing with the level before.
    fn straight(&self, shape: Shape) -> Option<Fall> {
        let level = self.level;
        if matches!(shape, Shape::Geometric | Shape::Inverse) && self.rows.iter().any(|row| row.y <= self.tol)
        {
            return None;
        }
        let scale = move |y: f64| match shape {
            Shape::Geometric => (y / level).ln(),
            Shape::Inverse => level / y - 1.0,
            Shape::OneMinusSqrt => (1.0 - y / level).powi(2),
            _ => y / level - 1.0,
        };
        let rate = move |g: f64| match shape {
            Shape::Geometric => level * g.exp(),
            Shape::Inverse => level / (1.0 + g),
            Shape::OneMinusSqrt => level * (1.0 - g.max(0.0).sqrt()),
            _ => level * (1.0 + g),
        };
        // On a floor the rows no longer follow the line.
        let floor = matches!(self.end, End::Floor { .. }) && self.rows.len() > 2;
        let rows = &self.rows[..self.rows.len() - usize::from(floor)];
        let n = rows.len() as f64;
        let (mt, mg) =
            rows.iter().fold((0.0, 0.0), |(t, g), row| (t + row.t as f64 / n, g + scale(row.y) / n));
        let (mut up, mut down) = (0.0, 0.0);
        for row in rows {
            up += (scale(row.y) - mg) * (row.t as f64 - mt);
            down += (row.t as f64 - mt).powi(2);
        }
        let crossing = mt - mg / (up / down);
        if !crossing.is_finite() {
            return None;
        }
        let start = (crossing.round().max(0.0) as u64).clamp(self.range.0, self.range.1);
        let (mut up, mut down) = (0.0, 0.0);
        for row in rows {
            let distance = row.t as f64 - start as f64;
            up += scale(row.y) * distance;
            down += distance * distance;
        }
        let slope = up / down;
        let at = |t: u64| rate(slope * (t as f64 - start as f64));
        let snapped = |t: u64| {
            let value = at(t);
            (value > -8.0 * self.tol).then(|| rounding::shortest(value.max(0.0), 2.0 * self.tol))
        };
        let (end, to) = match self.end {
            End::Fixed(end) => (end, snapped(end)?),
            End::Floor { after, upto, value } => {
                let reached = start as f64 + scale(value) / slope;
                if !reached.is_finite() {
                    return None;
                }
                ((reached.round().max(0.0) as u64).clamp(after + 1, upto), value)
            }
            End::Open { from, upto, .. } => {
                let customary = CUSTOMARY.iter().find_map(|share| {
                    let value = share * level;
                    let reached = start as f64 + scale(value) / slope;
                    let end = reached.round();
                    let fits = end >= from as f64
                        && end <= upto as f64
                        && (at(end as u64) - value).abs() <= 8.0 * self.tol;
                    fits.then(|| (end as u64, rounding::shortest(value, self.tol)))
                });
                match customary {
                    Some(found) => found,
                    None => (from, snapped(from)?),
                }
            }
        };
        (end > start && to <= level).then_some(Fall { start, end, shape, to })
    }

    /// The final rate that fits best, given everything else, and the mean squared distance.
    fn judge(&self, rows: &[Row], start: f64, end: f64, shape: Shape) -> (f64, f64) {
        let f = |row: &Row| {
            let p = ((row.t as f64 - start) / (end - start)).clamp(0.0, 1.0);
            shape.between(1.0, 0.0, p)
        };
        let to = match self.end {
            End::Floor { value, .. } => value,
            _ => {
                let (mut up, mut down) = (0.0, 0.0);
                for row in rows {
                    let rest = 1.0 - f(row);
                    up += (row.y - self.level * f(row)) * rest;
                    down += rest * rest;
                }
                if down > 0.0 { (up / down).clamp(0.0, self.level) } else { 0.0 }
            }
        };
        let squares: f64 = rows.iter().map(|row| (to + (self.level - to) * f(row) - row.y).powi(2)).sum();
        (squares / rows.len() as f64, to)
    }

    fn sample(&self) -> Vec<Row> {
        let n = self.rows.len();
        let kept = n.min(96);
        (0..kept).map(|i| self.rows[if kept == 1 { 0 } else { i * (n - 1) / (kept - 1) }]).collect()
    }

    /// The start that fits best for an end.
    fn start_for(&self, rows: &[Row], end: f64, shape: Shape) -> (f64, f64) {
        let (lo, hi) =
            (self.range.0 as f64, (self.range.1 as f64).min(rows[0].t as f64 - 0.5).max(self.range.0 as f64));
        golden(lo, hi, 40, |start| self.judge(rows, start, end, shape).0)
    }

    /// Shapes whose bend shows where they end.
    fn bent(&self, shape: Shape) -> Option<Fall> {
        let rows = self.sample();
        let cost = |end: f64| self.start_for(&rows, end, shape).1;
        let end = match self.end {
            End::Fixed(end) => end as f64,
            End::Floor { after, upto, .. } => golden(after as f64, upto as f64, 40, cost).0,
            End::Open { from, upto, far } => {
                let from = from as f64;
                let length = from - self.range.0 as f64;
                let reach = if far { from + 3.0 * length } else { upto as f64 };
                // From coarse to fine: the cost need not have one valley only.
                let grid: Vec<f64> =
                    (0..=24).map(|i| from + (reach - from) * (f64::from(i) / 24.0).powi(2)).collect();
                let costs: Vec<f64> = grid.iter().map(|&end| cost(end)).collect();
                let least = (0..grid.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b]))?;
                let (lo, hi) = (grid[least.saturating_sub(1)], grid[(least + 1).min(grid.len() - 1)]);
                golden(lo, hi, 40, cost).0
            }
        };
        let start = self.start_for(&rows, end, shape).0;
        self.whole(&rows, start, end, shape)
    }

    /// Steps from real to whole numbers of updates, downhill.
    fn whole(&self, rows: &[Row], start: f64, end: f64, shape: Shape) -> Option<Fall> {
        let (lo, hi) = match self.end {
            End::Fixed(end) => (end, end),
            End::Floor { after, upto, .. } => (after + 1, upto),
            End::Open { from, upto, far } => (from, if far { u64::MAX } else { upto }),
        };
        let bounded = |start: i64, end: i64| {
            let start = (start.max(0) as u64).clamp(self.range.0, self.range.1);
            (start, (end.max(0) as u64).clamp(lo, hi).max(start + 1))
        };
        let cost = |(start, end): (u64, u64)| self.judge(rows, start as f64, end as f64, shape).0;
        let mut at = bounded(start.round() as i64, end.round() as i64);
        let mut least = cost(at);
        for _ in 0..200 {
            let next = (-1..=1)
                .flat_map(|a| (-1..=1).map(move |b| (a, b)))
                .map(|(a, b)| bounded(at.0 as i64 + a, at.1 as i64 + b))
                .map(|point| (cost(point), point))
                .min_by(|a, b| a.0.total_cmp(&b.0))?;
            if next.0 >= least {
                break;
            }
            (least, at) = next;
        }
        let (_, to) = self.judge(self.rows, at.0 as f64, at.1 as f64, shape);
        let to = rounding::shortest(to, 2.0 * self.tol);
        Some(Fall { start: at.0, end: at.1, shape, to })
    }

    /// (1 − p)^β with β from the rows; the end is the stated one, the floor or the last row.
    fn power(&self) -> Option<Fall> {
        let rows = self.sample();
        let end = match self.end {
            End::Fixed(end) => end as f64,
            End::Floor { upto, .. } => upto as f64,
            End::Open { from, .. } => from as f64,
        };
        let cost = |beta: f64| self.start_for(&rows, end, Shape::Power(beta)).1;
        let (log_beta, _) = golden((0.2_f64).ln(), (6.0_f64).ln(), 40, |log_beta| cost(log_beta.exp()));
        let beta = log_beta.exp();
        let mut best: Option<(f64, Fall)> = None;
        for beta in [rounding::shortest(beta, 0.02 * beta), rounding::shortest(beta, 0.002 * beta), beta] {
            let shape = Shape::Power(beta);
            let start = self.start_for(&rows, end, shape).0;
            let Some(fall) = self.whole(&rows, start, end, shape) else { continue };
            let off = self.off(&fall);
            if best.is_none_or(|(least, _)| off < 0.5 * least) {
                best = Some((off, fall));
            }
            if off <= 4.0 * self.tol {
                break;
            }
        }
        best.map(|(_, fall)| fall)
    }
}

/// Golden-section search: the point and its cost.
fn golden(lo: f64, hi: f64, steps: usize, mut cost: impl FnMut(f64) -> f64) -> (f64, f64) {
    const SHARE: f64 = 0.618_033_988_749_894_9;
    if hi <= lo {
        return (lo, cost(lo));
    }
    let (mut a, mut b) = (lo, hi);
    let (mut c, mut d) = (b - SHARE * (b - a), a + SHARE * (b - a));
    let (mut at_c, mut at_d) = (cost(c), cost(d));
    for _ in 0..steps {
        if at_c <= at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - SHARE * (b - a);
            at_c = cost(c);
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + SHARE * (b - a);
            at_d = cost(d);
        }
        if b - a < 1e-3 {
            break;
        }
    }
    // The ends count too: a start or an end often lies on its bound.
    [lo, hi, if at_c <= at_d { c } else { d }]
        .into_iter()
        .map(|x| (x, cost(x)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((lo, at_c))
}

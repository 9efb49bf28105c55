//! One annealing: where it starts and ends, its shape and final rate.

use super::line::{Given, least, sample, shares, solve, whole};
use super::{Row, rounding};
use crate::schedule::Shape;

/// The annealing found.
#[derive(Debug, Clone, Copy, PartialEq)]
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

/// The rows of a fall and what is known about it.
pub(super) struct Problem<'a> {
    /// From rows at the level before it to the last row that is not higher than the one before.
    pub rows: &'a [Row],
    /// The rate before it.
    pub level: f64,
    /// Smallest and largest possible start.
    pub starts: (u64, u64),
    /// Ends that need no further reason (the horizon, the last row), the best first.
    pub natural: Vec<u64>,
    /// The largest possible end of a shape whose bend shows it.
    pub latest: u64,
    /// The largest possible end of a shape that shows it by a customary final rate alone.
    pub customary_until: u64,
    /// Whether the last rows stay at one rate.
    pub steady: bool,
    /// Rounding of the rows.
    pub tol: f64,
}

/// Final rates that people use, as shares of the peak.
const CUSTOMARY: [f64; 9] = [0.0, 0.1, 0.01, 0.05, 0.2, 0.001, 0.5, 0.02, 0.25];
/// Rows that a search looks at.
const LOOKED_AT: usize = 400;

impl Problem<'_> {
    /// The shape that follows the rows best, and its largest distance from them; earlier shapes win where rounding
    /// leaves the choice open.
    pub(super) fn fit(&self) -> Option<(f64, Fall)> {
        let last = *self.rows.last()?;
        let floor = if self.steady { last.y } else { f64::NEG_INFINITY };
        let inner =
            self.rows.iter().filter(|row| row.y < self.level - self.tol && row.y > floor + self.tol).count();
        if inner < 2 {
            return self.short(last);
        }
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
            let found = if let Shape::Power(_) = shape { self.power() } else { self.of_shape(shape) };
            let Some((off, fall)) = found else { continue };
            if best.is_none_or(|(least, _)| off < 0.5 * least) {
                best = Some((off, fall));
            }
            if off <= self.tight() {
                break;
            }
        }
        best.map(|(off, fall)| (off, self.roundest(fall, off)))
    }

    /// As much as rounding explains.
    fn tight(&self) -> f64 {
        1.02 * self.tol + 1e-13 * self.level
    }

    /// One row between the level and the end, or none: a straight line.
    fn short(&self, last: Row) -> Option<(f64, Fall)> {
        let start = self
            .rows
            .iter()
            .rev()
            .find(|row| row.y >= self.level - self.tol)
            .map_or(self.starts.0, |row| row.t);
        let start = start.clamp(self.starts.0, self.starts.1.max(self.starts.0));
        let to = rounding::shortest(last.y, self.tol);
        let between = self.rows.iter().find(|row| row.y < self.level - self.tol && row.y > last.y + self.tol);
        let first_low = self.rows.iter().find(|row| row.y <= last.y + self.tol)?;
        let mut end = first_low.t;
        if let Some(row) = between.filter(|_| self.steady) {
            // The line through the one row, on to the floor.
            let slope = (self.level - row.y) / (row.t.saturating_sub(start).max(1)) as f64;
            end = whole(
                start as f64 + (self.level - to) / slope,
                row.t.saturating_add(1),
                first_low.t.max(row.t + 1),
            );
        } else if let (Some(&natural), true) = (self.natural.first(), first_low.t == last.t)
            && natural > last.t
        {
            end = natural;
        }
        let fall = Fall { start, end: end.max(start.saturating_add(1)), shape: Shape::Linear, to };
        Some((self.off(&fall), fall))
    }

    /// Largest distance of the rows from a fall.
    fn off(&self, fall: &Fall) -> f64 {
        self.off_within(fall, f64::INFINITY)
    }

    /// As [`Problem::off`]; infinite as soon as a row is further than `limit`.
    fn off_within(&self, fall: &Fall, limit: f64) -> f64 {
        let length = fall.end.saturating_sub(fall.start).max(1) as f64;
        let mut most = 0.0_f64;
        for row in self.rows.iter().rev() {
            let p = (row.t.saturating_sub(fall.start) as f64 / length).min(1.0);
            let rate = if p == 0.0 { self.level } else { fall.shape.between(self.level, fall.to, p) };
            let off = (rate - row.y).abs();
            if off.is_nan() || off > limit {
                return f64::INFINITY;
            }
            most = most.max(off);
        }
        most
    }

    /// Some of the rows, most of them where the rate falls.
    fn looked_at(&self, most: usize) -> Vec<Row> {
        let low = self.rows.iter().position(|row| row.y < self.level - self.tol).unwrap_or(0);
        let (level, falling) = self.rows.split_at(low);
        [sample(level, most / 4), sample(falling, most)].concat()
    }

    fn last_y(&self) -> f64 {
        self.rows.last().map_or(0.0, |row| row.y)
    }

    /// Final rates worth a try, the likeliest first.
    fn targets(&self) -> Vec<f64> {
        let last = rounding::shortest(self.last_y(), self.tol);
        let mut targets = Vec::new();
        if self.steady {
            targets.push(last);
        }
        let customary = CUSTOMARY.iter().map(|share| rounding::shortest(share * self.level, self.tol));
        targets.extend(customary.filter(|&to| to <= last + self.tol));
        if !self.steady {
            targets.push(last);
        }
        targets
    }

    /// A fall of this shape to this rate: free, and with each end that needs no reason of its own.
    fn to_rate(&self, rows: &[Row], shape: Shape, to: f64, best: &mut Option<(f64, Fall)>) {
        if shape.check(self.level, to).is_err() || to >= self.level {
            return;
        }
        let shares = shares(rows, shape, self.level, to, 1.5 * self.tol);
        let tight = self.tight();
        let mut consider = |start: f64, end: f64| {
            let latest = if bent(shape) { self.latest } else { self.customary_until };
            let start = whole(start, self.starts.0, self.starts.1);
            let end = whole(end, start.saturating_add(1), latest.max(start.saturating_add(1)));
            let fall = Fall { start, end, shape, to };
            let limit = best.map_or(f64::INFINITY, |(least, _)| least);
            let off = self.off_within(&fall, limit);
            if best.is_none_or(|(least, _)| off < least && least > tight) {
                *best = Some((off, fall));
            }
        };
        let first = self.starts.0 as f64;
        for &end in &self.natural {
            if let Some((start, ..)) = solve(&shares, Given::End(end as f64)) {
                consider(first, end as f64);
                consider(start, end as f64);
            }
        }
        if let Some((start, end, _)) = solve(&shares, Given::Nothing) {
            consider(start, end);
        }
        if let Some((_, end, _)) = solve(&shares, Given::Start(first)) {
            consider(first, end);
        }
    }

    fn of_shape(&self, shape: Shape) -> Option<(f64, Fall)> {
        let rows = self.looked_at(LOOKED_AT);
        let mut best = None;
        for to in self.targets() {
            self.to_rate(&rows, shape, to, &mut best);
            if best.is_some_and(|(off, _)| off <= self.tight()) {
                return best;
            }
        }
        if !self.steady {
            // The log ends before the fall does, or at a rate of its own.
            let floor =
                if matches!(shape, Shape::Geometric | Shape::Inverse) { 1e-6 * self.level } else { 0.0 };
            let upto = self.last_y();
            let mut givens: Vec<Given> = self.natural.iter().map(|&end| Given::End(end as f64)).collect();
            if bent(shape) {
                givens.push(Given::Nothing);
            }
            for given in givens {
                let cost = |to: f64| {
                    let shares = shares(&rows, shape, self.level, to, 1.5 * self.tol);
                    solve(&shares, given).map_or(f64::INFINITY, |(.., squares)| squares)
                };
                let (to, _) = least(floor, upto, 24, cost);
                self.polish(&rows, shape, to, given, &mut best);
                if best.is_some_and(|(off, _)| off <= self.tight()) {
                    return best;
                }
            }
        }
        if let Some((_, fall)) = best {
            self.descend(&rows, fall, &mut best);
        }
        best
    }

    /// Whole updates near a solution with a real final rate, the rate fitted anew to each.
    fn polish(&self, rows: &[Row], shape: Shape, to: f64, given: Given, best: &mut Option<(f64, Fall)>) {
        let shares = shares(rows, shape, self.level, to, 1.5 * self.tol);
        let Some((start, end, _)) = solve(&shares, given) else { return };
        let latest = if bent(shape) { self.latest } else { self.customary_until };
        let start = whole(start, self.starts.0, self.starts.1);
        let end = match given {
            Given::End(end) => end as u64,
            _ => whole(end, start.saturating_add(1), latest.max(start.saturating_add(1))),
        };
        if end <= start {
            return;
        }
        let fall = Fall { start, end, shape, to };
        self.keep(rows, fall, best);
        self.descend(rows, fall, best);
    }

    /// The fall with the final rate that fits best, and with a shorter one where that fits too.
    fn keep(&self, rows: &[Row], fall: Fall, best: &mut Option<(f64, Fall)>) {
        let Some(raw) = self.rate_for(rows, fall) else { return };
        let at = |to: f64| {
            let fall = Fall { to, ..fall };
            (self.off(&fall), fall)
        };
        let mut found = at(raw);
        for slack in [8.0, 4.0, 2.0, 1.0, 0.3] {
            let short = at(rounding::shortest(raw, slack * self.tol).clamp(0.0, self.level));
            if short.0 <= self.tight().max(found.0) && fall.shape.check(self.level, short.1.to).is_ok() {
                found = short;
                break;
            }
        }
        if best.is_none_or(|(least, _)| found.0 < least) {
            *best = Some(found);
        }
    }

    /// The final rate that fits best for a start, an end and a shape.
    fn rate_for(&self, rows: &[Row], fall: Fall) -> Option<f64> {
        if self.steady {
            return Some(rounding::shortest(self.last_y(), self.tol));
        }
        let length = (fall.end - fall.start) as f64;
        let (mut up, mut down) = (0.0, 0.0);
        for row in rows.iter().filter(|row| row.t > fall.start) {
            let p = ((row.t - fall.start) as f64 / length).min(1.0);
            match fall.shape {
                Shape::Geometric if row.y > 0.0 => {
                    up += row.y * row.y * p * (row.y / self.level).ln();
                    down += row.y * row.y * p * p;
                }
                Shape::Inverse if row.y > 0.0 => {
                    let weight = row.y.powi(4);
                    up += weight * p * (1.0 / row.y - 1.0 / self.level);
                    down += weight * p * p;
                }
                shape => {
                    let f = shape.between(1.0, 0.0, p);
                    up += (row.y - self.level * f) * (1.0 - f);
                    down += (1.0 - f) * (1.0 - f);
                }
            }
        }
        let solved = up / down;
        let to = match fall.shape {
            Shape::Geometric => self.level * solved.exp(),
            Shape::Inverse => 1.0 / (1.0 / self.level + solved),
            _ => solved,
        };
        to.is_finite().then(|| to.clamp(0.0, self.level))
    }

    /// Steps to neighbouring whole updates, downhill.
    fn descend(&self, rows: &[Row], fall: Fall, best: &mut Option<(f64, Fall)>) {
        const STEPS: usize = 24;
        let fixed = self.natural.contains(&fall.end);
        let mut at = fall;
        let mut least = f64::INFINITY;
        for _ in 0..STEPS {
            let mut next = None;
            for (a, b) in [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)] {
                let (Some(start), Some(end)) = (at.start.checked_add_signed(a), at.end.checked_add_signed(b))
                else {
                    continue;
                };
                let inside =
                    start >= self.starts.0 && start <= self.starts.1 && end <= self.latest.max(at.end);
                if !inside || end <= start || (fixed && b != 0) {
                    continue;
                }
                let moved = Fall { start, end, ..at };
                let Some(to) = self.rate_for(rows, moved) else { continue };
                let moved = Fall { to, ..moved };
                let cost = self.squares(rows, &moved);
                if cost < least {
                    (least, next) = (cost, Some(moved));
                }
            }
            match next {
                Some(moved) => at = moved,
                None => break,
            }
        }
        self.keep(rows, at, best);
    }

    fn squares(&self, rows: &[Row], fall: &Fall) -> f64 {
        let length = (fall.end - fall.start) as f64;
        rows.iter()
            .map(|row| {
                let p = (row.t.saturating_sub(fall.start) as f64 / length).min(1.0);
                let rate = if p == 0.0 { self.level } else { fall.shape.between(self.level, fall.to, p) };
                (rate - row.y).powi(2)
            })
            .sum()
    }

    /// (1 − p)^β with β from the rows; the end is one that needs no reason.
    fn power(&self) -> Option<(f64, Fall)> {
        let rows = self.looked_at(LOOKED_AT / 2);
        let mut best: Option<(f64, Fall)> = None;
        let last = rounding::shortest(self.last_y(), self.tol);
        let mut targets = vec![last];
        if !self.steady && last > 0.0 {
            targets.push(0.0);
        }
        let mut givens: Vec<Given> = self.natural.iter().map(|&end| Given::End(end as f64)).collect();
        if self.steady {
            givens.push(Given::Nothing);
        }
        for to in targets {
            for &given in &givens {
                let cost = |log_beta: f64| {
                    let shape = Shape::Power(log_beta.exp());
                    let shares = shares(&rows, shape, self.level, to, 1.5 * self.tol);
                    solve(&shares, given).map_or(f64::INFINITY, |(.., squares)| squares)
                };
                let (log_beta, _) = least((0.2_f64).ln(), (6.0_f64).ln(), 16, cost);
                let beta = log_beta.exp();
                for beta in
                    [rounding::shortest(beta, 0.02 * beta), rounding::shortest(beta, 0.002 * beta), beta]
                {
                    let shape = Shape::Power(beta);
                    let shares = shares(&rows, shape, self.level, to, 1.5 * self.tol);
                    let Some((start, end, _)) = solve(&shares, given) else { continue };
                    let start = whole(start, self.starts.0, self.starts.1);
                    let end = whole(end, start.saturating_add(1), self.latest.max(start.saturating_add(1)));
                    let fall = Fall { start, end, shape, to };
                    let off = self.off(&fall);
                    if best.is_none_or(|(least, _)| off < 0.5 * least) {
                        best = Some((off, fall));
                    }
                    if off <= self.tight() {
                        return best;
                    }
                }
            }
        }
        best
    }

    /// Where rounding leaves several starts and ends open, the roundest.
    fn roundest(&self, fall: Fall, off: f64) -> Fall {
        if self.tol < 1e-9 * self.level || off > self.tight() {
            return fall;
        }
        let room = (fall.end - fall.start) / 20;
        let mut best = fall;
        let near = |value: u64, unit: u64| (value.saturating_add(unit / 2) / unit) * unit;
        for unit in [1000, 500, 100, 50, 10, 5] {
            let start = near(best.start, unit);
            if best.start == self.starts.0 || best.start.is_multiple_of(unit) {
                break;
            }
            let moved = Fall { start, ..best };
            let inside = start >= self.starts.0 && start <= self.starts.1 && start < best.end;
            if inside && start.abs_diff(best.start) <= room && self.off(&moved) <= self.tight() {
                best = moved;
                break;
            }
        }
        best
    }
}

/// Whether the bend of a shape shows where it ends.
fn bent(shape: Shape) -> bool {
    matches!(shape, Shape::Cosine | Shape::Exponential | Shape::Power(_))
}

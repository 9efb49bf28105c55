//! What follows the warm-up: constant stretches, falls, jumps, re-rises.

use super::fall::{self, End, Fall};
use super::warmup::Head;
use super::{RecogniseOptions, Row, rounding};
use crate::schedule::{Segment, Shape};
use crate::units::Steps;

/// The whole schedule as segments; `None` where the rows fit no reading.
pub(super) fn read(
    rows: &[Row],
    head: &Head,
    peak: f64,
    tol: f64,
    options: &RecogniseOptions,
    notes: &mut Vec<String>,
) -> Option<Vec<Segment>> {
    let mut body = Body { segments: head.segments.clone(), covered: 0, notes, tol, peak, options };
    body.covered = body.segments.iter().map(|segment| segment.updates.0).sum();
    // Rows that begin during the annealing: the peak is stated, its last update is not in the rows.
    let with_peak;
    let (rows, top) = match head.top {
        Some(top) => (rows, top),
        None => {
            let at = body.covered.min(rows[0].t.checked_sub(1)?);
            with_peak = [&[Row { t: at, y: peak }], rows].concat();
            (with_peak.as_slice(), 0)
        }
    };
    body.follow(rows, top, head)?;
    Some(body.segments)
}

struct Body<'a> {
    segments: Vec<Segment>,
    covered: u64,
    notes: &'a mut Vec<String>,
    tol: f64,
    peak: f64,
    options: &'a RecogniseOptions,
}

impl Body<'_> {
    fn push(&mut self, upto: u64, from: f64, to: f64, shape: Shape) {
        if upto > self.covered {
            self.segments.push(Segment { updates: Steps(upto - self.covered), from, to, shape });
            self.covered = upto;
        }
    }

    fn hold(&mut self, upto: u64, rate: f64) {
        self.push(upto, rate, rate, Shape::Linear);
    }

    fn follow(&mut self, rows: &[Row], top: usize, head: &Head) -> Option<()> {
        let last = rows.len() - 1;
        let end = self.options.total.map_or(rows[last].t, |total| total.0);
        let tol = self.tol;
        let same = |a: f64, b: f64| (a - b).abs() <= tol;
        let run = |from: usize| (from..last).find(|&i| !same(rows[i + 1].y, rows[from].y)).unwrap_or(last);
        let mut c = top;
        loop {
            let level = rounding::shortest(rows[c].y, tol);
            let j = run(c);
            if j == last {
                self.hold(end, level);
                return Some(());
            }
            let k = j + 1;
            let stage = run(k) > k && (rows[k].y - level).abs() > (0.02 * self.peak).max(20.0 * tol);
            if rows[k].y > level {
                let mut u = k;
                while u < last && rows[u + 1].y > rows[u].y + tol {
                    u += 1;
                }
                let up = rounding::shortest(rows[u].y, tol);
                if u == k {
                    // A jump back: between the two rows, taken at the later one.
                    self.hold(rows[k].t - 1, level);
                } else {
                    let (from, upto) = rise(&rows[j..=u], level, up)?;
                    self.hold(from.max(self.covered), level);
                    self.push(upto, level, up, Shape::Linear);
                }
                c = u;
            } else if stage {
                self.notes.push(format!(
                    "the rate drops somewhere in updates {} … {}; taken at the latter",
                    rows[j].t + 1,
                    rows[k].t
                ));
                self.hold(rows[k].t - 1, level);
                c = k;
            } else {
                c = self.fall(rows, c, j, level, head)?;
                if c == last {
                    if self.options.total.is_some() || self.covered < rows[last].t {
                        let rate = self.segments.last().map_or(level, |segment| segment.to);
                        self.hold(end, rate);
                    }
                    return Some(());
                }
            }
        }
    }

    /// Reads the fall that starts after row `j`; gives the index of the row it ends at.
    fn fall(&mut self, rows: &[Row], c: usize, j: usize, level: f64, head: &Head) -> Option<usize> {
        let (last, tol) = (rows.len() - 1, self.tol);
        let mut e = j + 1;
        while e < last && rows[e + 1].y <= rows[e].y + tol {
            e += 1;
        }
        // A floor: rows that stay at the last rate, more of them than rounding alone makes equal elsewhere.
        let floor = (j + 1..=e).find(|&i| (rows[i].y - rows[e].y).abs() <= tol).unwrap_or(e);
        let plateau = rows[j..=floor].windows(2).filter(|pair| (pair[0].y - pair[1].y).abs() <= tol).count();
        let floored =
            e - floor + 1 > 2 * plateau.min(40) + 1 && floor > j + 1 || e - floor > 2 && floor == j + 1;
        let stop = if floored { floor } else { e };
        let stride = rows[stop].t - rows[stop - 1].t;
        let finish = if floored {
            End::Floor {
                after: rows[floor - 1].t,
                upto: rows[floor].t,
                value: rounding::shortest(rows[e].y, tol),
            }
        } else if e < last {
            End::Open { from: rows[e].t, upto: rows[e + 1].t - 1, far: false }
        } else if let Some(total) = self.options.total {
            End::Fixed(total.0)
        } else {
            End::Open { from: rows[e].t, upto: rows[e].t + stride, far: true }
        };
        // The stable stretch reaches at least to row j where more than one row shows it.
        let lo = if j > c { rows[j].t } else { self.covered.min(rows[j].t) };
        let range = (lo.max(self.covered), rows[j + 1].t.saturating_sub(1).max(lo));
        let Fall { start, end, shape, to } = fall::fit(&rows[j..=stop], level, range, finish, tol)?;
        if e == last && !floored && end != rows[e].t && self.options.total.is_none() {
            self.notes.push(format!(
                "the rows end at update {}; the {shape} annealing they follow ends at update {end} with a rate of {to:e}",
                rows[e].t
            ));
        }
        // Without a row of the warm-up, a cosine that begins where the log does says how long it was.
        if shape == Shape::Cosine && head.updates.is_none() && self.segments.is_empty() && start <= rows[0].t
        {
            if start > 0 {
                self.notes.push(format!(
                    "the cosine begins at update {start}: the warm-up is taken to end there, on a line from 0"
                ));
            }
            self.push(start, head.start.min(level), level, Shape::Linear);
        }
        self.hold(start, level);
        self.push(end.max(start + 1), level, to, shape);
        if floored && end < rows[stop].t {
            self.hold(rows[stop].t, to);
        }
        Some(if floored { e } else { stop })
    }
}

/// Where a straight re-rise begins and ends. The first row is at the low rate, the last at the high one.
fn rise(rows: &[Row], from: f64, to: f64) -> Option<(u64, u64)> {
    let inner = &rows[1..rows.len() - 1];
    let (low, high) = (rows[0].t, rows[rows.len() - 1].t);
    if inner.len() < 2 {
        return Some((low, high));
    }
    let (a, b) = (inner[0], inner[inner.len() - 1]);
    let slope = (b.y - a.y) / (b.t - a.t) as f64;
    let begins = (a.t as f64 - (a.y - from) / slope).round() as u64;
    let ends = (b.t as f64 + (to - b.y) / slope).round() as u64;
    (slope > 0.0).then(|| (begins.clamp(low, a.t - 1), ends.clamp(b.t + 1, high)))
}

//! What follows the warm-up: constant stretches, falls, jumps, re-rises.

use super::fall::{Fall, Problem};
use super::line::whole;
use super::warmup::Head;
use super::{RecogniseOptions, Row, rounding};
use crate::bounds;
use crate::schedule::{Segment, Shape};
use crate::units::Steps;

/// What was read, or how far the nearest reading is from the rows.
pub(super) enum Read {
    /// Segments from update 1, and where the last fall ends if the rows end with it.
    Segments { segments: Vec<Segment>, fall_ends: Option<u64> },
    /// No reading comes close; the distance of the nearest, in rate, where there is one.
    Nothing(Option<f64>),
}

/// The whole schedule as segments.
pub(super) fn read(
    rows: &[Row],
    head: &Head,
    peak: f64,
    tol: f64,
    options: &RecogniseOptions,
    late: u64,
    notes: &mut Vec<String>,
) -> Read {
    let covered = head.segments.iter().map(|segment| segment.updates.0).sum();
    let segments = head.segments.clone();
    let mut body =
        Body { segments, covered, notes, tol, peak, options, late, nearest: None, fall_ends: None };
    // Rows that begin during the annealing: the peak is stated, its last update is not in the rows.
    let with_peak;
    let (rows, top) = match head.top {
        Some(top) => (rows, top),
        None => {
            let Some(before) = rows[0].t.checked_sub(1) else { return Read::Nothing(None) };
            with_peak = [&[Row { t: body.covered.min(before), y: peak }], rows].concat();
            (with_peak.as_slice(), 0)
        }
    };
    match body.follow(rows, top, head) {
        Some(()) => Read::Segments { segments: body.segments, fall_ends: body.fall_ends },
        None => Read::Nothing(body.nearest),
    }
}

struct Body<'a> {
    segments: Vec<Segment>,
    covered: u64,
    notes: &'a mut Vec<String>,
    tol: f64,
    peak: f64,
    options: &'a RecogniseOptions,
    /// How many updates the run is behind its scheduler, by whose count the rows stand.
    late: u64,
    /// Distance of a fall that follows no shape.
    nearest: Option<f64>,
    fall_ends: Option<u64>,
}

impl Body<'_> {
    fn push(&mut self, upto: u64, from: f64, to: f64, shape: Shape) {
        if upto > self.covered {
            self.segments.push(Segment::new(Steps(upto - self.covered), from, to, shape));
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
                if c == last {
                    self.hold(end, up);
                    return Some(());
                }
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

    /// Reads the fall after the level that rows `c` … `j` show; gives the index of the row it ends at.
    fn fall(&mut self, rows: &[Row], c: usize, j: usize, level: f64, head: &Head) -> Option<usize> {
        let (last, tol) = (rows.len() - 1, self.tol);
        let mut e = j + 1;
        while e < last && rows[e + 1].y <= rows[e].y + tol {
            e += 1;
        }
        let problem = self.problem(rows, c, e, level);
        let found = problem.fit();
        let accept = self.options.accept * self.peak;
        // A constant stretch of many rows that no single fall explains together with what follows is one of its own.
        let found = match found {
            Some((off, fall)) if off <= accept.max(4.0 * tol) => Some((off, fall)),
            found if j > c => {
                let shorter = Problem {
                    rows: &rows[j..=e],
                    starts: (rows[j].t.max(self.covered), problem.starts.1),
                    ..problem
                };
                match (shorter.fit(), found) {
                    (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
                    (a, b) => a.or(b),
                }
            }
            found => found,
        };
        let (off, Fall { start, end, shape, to }) = found?;
        if off > accept.max(4.0 * tol) {
            self.nearest = Some(off);
            return None;
        }
        if e == last && end > rows[e].t && self.options.total.is_none() {
            self.notes.push(format!(
                "the rows end at update {}; the {shape} annealing they follow ends at update {end} with a rate of {to:e}",
                rows[e].t + self.late,
                end = end.saturating_add(self.late)
            ));
        }
        self.fall_ends = (e == last).then_some(end);
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
        self.push(end.max(start.saturating_add(1)), level, to, shape);
        if end < rows[e].t {
            self.hold(rows[e].t, to);
        }
        Some(e)
    }

    /// What the rows `c` … `e` say about a fall among them.
    fn problem<'r>(&self, rows: &'r [Row], c: usize, e: usize, level: f64) -> Problem<'r> {
        let (last, tol) = (rows.len() - 1, self.tol);
        let low = (c + 1..=e).find(|&i| rows[i].y < level - tol).unwrap_or(e);
        let first = self.covered.min(rows[low].t.saturating_sub(1));
        let starts = (first.max(self.covered), rows[low].t.saturating_sub(1).max(self.covered));
        // Two rows that differ by no more than rounding may be a floor.
        let steady = e > low && (rows[e].y - rows[e - 1].y).abs() <= tol;
        let stride = rows[e].t - rows[e - 1].t;
        let mut natural = Vec::new();
        let (latest, customary_until) = if e < last {
            natural.push(rows[e].t);
            (rows[e + 1].t - 1, rows[e + 1].t - 1)
        } else if let Some(total) = self.options.total {
            natural.push(total.0);
            if total.0 != rows[e].t {
                natural.push(rows[e].t);
            }
            (total.0, total.0)
        } else {
            natural.push(rows[e].t);
            let length = rows[e].t.saturating_sub(starts.0);
            let far = rows[e].t.saturating_add(length.saturating_mul(3));
            (far.min(bounds::UPDATES.most), rows[e].t.saturating_add(stride).min(bounds::UPDATES.most))
        };
        Problem { rows: &rows[c..=e], level, starts, natural, latest, customary_until, steady, tol }
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
    let begins = a.t as f64 - (a.y - from) / slope;
    let ends = b.t as f64 + (to - b.y) / slope;
    (slope > 0.0).then(|| (whole(begins, low, a.t - 1), whole(ends, b.t + 1, high)))
}

//! The rise at the beginning of a log.

use super::line::{Given, least, sample, shares, solve, whole};
use super::{RecogniseOptions, Row, rounding};
use crate::schedule::{Segment, Shape};
use crate::units::Steps;

/// The warm-up, from the rows or as stated.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    /// Its segments, from update 1.
    pub segments: Vec<Segment>,
    /// Its length; `None` if neither rows nor options tell.
    pub updates: Option<u64>,
    /// Rate at "update 0".
    pub start: f64,
    /// Index of the first row at the peak; `None` if every row is below it.
    pub top: Option<usize>,
    /// Whether the rows show it.
    pub in_rows: bool,
    /// Whether its length is known.
    pub known: bool,
    /// How many updates later (1) or earlier (−1) the rows must be taken for the line to begin at update 0.
    pub shift: i64,
    /// What was assumed.
    pub notes: Vec<String>,
}

fn line(updates: u64, from: f64, to: f64, shape: Shape) -> Segment {
    Segment::new(Steps(updates), from, to, shape)
}

pub(super) fn read(rows: &[Row], peak: f64, tol: f64, options: &RecogniseOptions) -> Head {
    let top = rows.iter().position(|row| row.y >= peak - tol);
    let rising = top.unwrap_or(0);
    let climbs = rows[..=rising].windows(2).all(|pair| pair[1].y >= pair[0].y - tol);
    let mut head = Head { top, start: options.warmup_lr.unwrap_or(0.0).min(peak), ..Head::default() };
    if rising > 0 && climbs {
        from_rows(rows, rising, peak, tol, options, &mut head);
        return head;
    }
    let first = rows[0].t;
    if let Some(stated) = options.warmup {
        // Where the rows already fall, the warm-up ends before the first of them.
        let latest = if top == Some(0) { first } else { first.saturating_sub(1) };
        let updates = stated.0.min(latest);
        if updates < stated.0 {
            head.notes.push(format!(
                "a warm-up of {stated} updates is stated, but the rows are at the peak at update {first}: it is taken to end there"
            ));
        }
        head.updates = Some(updates);
        head.known = true;
        head.segments.push(line(updates, head.start, peak, Shape::Linear));
    } else if first <= 1 && rising == 0 {
        // The very first update already uses the peak (or the rows fall from it).
        head.updates = Some(0);
        head.known = true;
    } else {
        head.notes.push(format!(
            "the rows begin at update {first} without a warm-up: its length is unknown and taken for 0; state it"
        ));
    }
    head
}

/// The rows with the peak among them, where they rise on a line and fall again without a row at the peak.
pub(super) fn with_peak(rows: &[Row], peak: f64) -> Option<Vec<Row>> {
    let highest = (0..rows.len()).max_by(|&a, &b| rows[a].y.total_cmp(&rows[b].y))?;
    if highest < 2 || rows[highest].y >= peak {
        return None;
    }
    let (slope, length) = free_line(&rows[..highest], peak)?;
    let before = rows[highest - 1];
    let straight = (before.y - (peak - slope * (length - before.t as f64))).abs() <= 1e-3 * peak;
    let t = whole(length, before.t + 1, rows[highest].t.max(before.t + 1) + 1_000_000);
    let after = rows.partition_point(|row| row.t < t);
    let free = rows.get(after).is_none_or(|row| row.t != t) && (highest..=highest + 1).contains(&after);
    (straight && free).then(|| [&rows[..after], &[Row { t, y: peak }], &rows[after..]].concat())
}

fn from_rows(rows: &[Row], top: usize, peak: f64, tol: f64, options: &RecogniseOptions, head: &mut Head) {
    head.in_rows = true;
    head.known = true;
    let rise = &rows[..top];
    let (after, upto) = (rise[top - 1].t, rows[top].t);
    let free = free_line(rise, peak);
    if options.warmup.is_none()
        && let Some(found) = Rounded::through(rise, upto, peak, tol)
    {
        found.write(peak, head);
        return;
    }
    let stated = options.warmup.map(|stated| stated.0).filter(|&stated| {
        let fits = stated > after && stated <= upto;
        if !fits {
            head.notes.push(format!(
                "a warm-up of {stated} updates is stated, but the rows reach the peak in updates {} … {upto}: the rows are followed",
                after + 1
            ));
        }
        fits
    });
    let length = match (stated, free) {
        (Some(stated), _) => stated,
        (None, Some((_, length))) => whole(length, after + 1, upto),
        // One row: the line from 0 through it, if it reaches the peak before the next row.
        (None, None) => {
            let length = if rise[0].y > 0.0 { peak * rise[0].t as f64 / rise[0].y } else { 0.0 };
            whole(length, after + 1, upto)
        }
    };
    let (slope, off) = line_to_peak(rise, length, peak);
    let start = peak - slope * length as f64;
    // The intercept inherits the rows' rounding, magnified by how far the line is drawn out.
    let reach = 20.0 * tol * (1.0 + rise[0].t as f64 / (upto - rise[0].t) as f64);
    head.updates = Some(length);
    if off <= (options.accept * peak).max(4.0 * tol) && slope > 0.0 {
        straight(length, slope, start, reach, peak, free.is_some(), head);
        return;
    }
    if let Some((wait, length, start)) = cosine_rise(rise, upto, peak, tol, options.accept * peak) {
        head.updates = Some(length);
        head.start = start;
        head.notes.push(format!("the warm-up is half a cosine of {} updates", length - wait));
        head.segments.push(line(wait, start, start, Shape::Linear));
        head.segments.push(line(length - wait, start, peak, Shape::Cosine));
        return;
    }
    head.notes.push("the warm-up is no straight line: it is followed from row to row".to_owned());
    let mut before = 0;
    let mut rate = head.start.min(rise[0].y);
    for row in rise.iter().chain([&Row { t: upto, y: peak }]) {
        head.segments.push(line(row.t - before, rate, row.y, Shape::Linear));
        (before, rate) = (row.t, row.y);
    }
    head.updates = Some(upto);
}

/// The slope of the line through the rows that reaches the peak at update `length`, and the largest distance of the rows
/// from it.
fn line_to_peak(rise: &[Row], length: u64, peak: f64) -> (f64, f64) {
    let (mut up, mut down) = (0.0, 0.0);
    for row in rise {
        let distance = length as f64 - row.t as f64;
        up += (peak - row.y) * distance;
        down += distance * distance;
    }
    let slope = up / down;
    let off = |row: &Row| (peak - slope * (length as f64 - row.t as f64) - row.y).abs();
    (slope, rise.iter().map(off).fold(0.0, f64::max))
}

/// A warm-up on a line from 0, of rows whose rates are rounded.
struct Rounded {
    /// Its length as the scheduler counts.
    length: u64,
    /// How many updates earlier than the scheduler's the rows are; negative: later.
    early: i64,
}

impl Rounded {
    /// The line peak·(t + early)/length that explains the rows within their rounding: `early` is whole, and 0 where they leave
    /// more than one.
    ///
    /// The first row at the peak may lie before the warm-up's end, because its rate is rounded up; of the lengths that explain
    /// the rows the roundest is taken.
    ///
    /// # Formula
    /// η = a + s·t by least squares, early = a/s, sd(a) = u·√(1/n + t̄²/Σ(t − t̄)²), u = tol/√3 for uniform rounding.
    fn through(rise: &[Row], upto: u64, peak: f64, tol: f64) -> Option<Self> {
        const SDS: f64 = 4.0;
        if tol < 1e-9 * peak || rise.len() < 3 {
            return None;
        }
        let n = rise.len() as f64;
        let (slope, reached) = free_line(rise, peak)?;
        let mean = rise.iter().map(|row| row.t as f64).sum::<f64>() / n;
        let squares: f64 = rise.iter().map(|row| (row.t as f64 - mean).powi(2)).sum();
        let doubt = SDS * tol / 3.0_f64.sqrt() * (1.0 / n + mean * mean / squares).sqrt() / slope;
        let offset = peak / slope - reached;
        // Where rows cannot tell one update, they are what they seem.
        let early = if doubt < 0.5 { offset.round() } else { 0.0 };
        if (offset - early).abs() > doubt.max(0.02) || !(-1000.0..=1.0).contains(&early) {
            return None;
        }
        let explains = |length: f64| {
            let rate = |t: u64| (peak * (t as f64 + early) / length).clamp(0.0, peak);
            rise.iter().all(|row| (rate(row.t) - row.y).abs() <= 1.02 * tol)
                && (rate(upto) - peak).abs() <= 1.02 * tol
        };
        let after = rise[rise.len() - 1].t as f64;
        let length = [1000.0, 500.0, 100.0, 50.0, 10.0, 5.0, 1.0]
            .into_iter()
            .map(|unit| (peak / slope / unit).round() * unit)
            .find(|&length| length - early > after && length >= 1.0 && explains(length))?;
        Some(Self { length: length as u64, early: early as i64 })
    }

    fn write(&self, peak: f64, head: &mut Head) {
        head.shift = if self.early.abs() == 1 { self.early } else { 0 };
        if self.early < 0 {
            let zeros = self.early.unsigned_abs();
            head.notes.push(format!("the first {zeros} update(s) use a rate of 0, as some trainers do"));
            head.segments.push(line(zeros, 0.0, 0.0, Shape::Linear));
            head.segments.push(line(self.length, 0.0, peak, Shape::Linear));
            head.updates = Some(self.length + zeros);
        } else {
            let early = self.early.unsigned_abs();
            head.start = peak * early as f64 / self.length as f64;
            head.segments.push(line(self.length - early, head.start, peak, Shape::Linear));
            head.updates = Some(self.length - early);
        }
    }
}

/// A straight warm-up of this length and slope that meets update 0 at the rate `start`.
fn straight(length: u64, slope: f64, start: f64, reach: f64, peak: f64, free: bool, head: &mut Head) {
    // Whole updates of rate 0 that the line would leave before it rises.
    let zeros = (length as f64 - peak / slope).round();
    // One update's rate must stand out from what rounding does to the intercept.
    let clear = free && reach < 0.5 * slope;
    if start.abs() <= reach || (start < 0.0 && zeros < 1.0) {
        head.segments.push(line(length, 0.0, peak, Shape::Linear));
    } else if start > 0.0 {
        head.shift = i64::from(clear && (start / slope - 1.0).abs() < 0.02);
        head.start = rounding::shortest(start, reach).clamp(0.0, peak);
        head.segments.push(line(length, head.start, peak, Shape::Linear));
    } else {
        // Trainers that start at 0 use it for whole updates before the line rises.
        let zeros = whole(zeros, 0, length - 1);
        head.shift = -i64::from(clear && zeros == 1 && (start / slope + 1.0).abs() < 0.02);
        head.notes.push(format!("the first {zeros} update(s) use a rate of 0, as some trainers do"));
        head.segments.push(line(zeros, 0.0, 0.0, Shape::Linear));
        head.segments.push(line(length - zeros, 0.0, peak, Shape::Linear));
    }
}

/// Least-squares line through the rows: slope, and where it meets the peak.
fn free_line(rise: &[Row], peak: f64) -> Option<(f64, f64)> {
    if rise.len() < 2 {
        return None;
    }
    let n = rise.len() as f64;
    let (mt, my) = rise.iter().fold((0.0, 0.0), |(t, y), row| (t + row.t as f64 / n, y + row.y / n));
    let (mut up, mut down) = (0.0, 0.0);
    for row in rise {
        up += (row.y - my) * (row.t as f64 - mt);
        down += (row.t as f64 - mt).powi(2);
    }
    let slope = up / down;
    (slope > 0.0).then(|| (slope, mt + (peak - my) / slope))
}

/// Updates at the first rate, length and first rate of the half cosine through the rows, if one comes within `accept`.
///
/// For a first rate the share of the way is linear in the update, so that both ends are solved for; the first rate
/// itself is the first row's, or what fits best below it.
fn cosine_rise(rise: &[Row], upto: u64, peak: f64, tol: f64, accept: f64) -> Option<(u64, u64, f64)> {
    let (first, after) = (*rise.first()?, rise.last()?.t);
    if rise.len() < 2 {
        return None;
    }
    let rows = sample(rise, 400);
    let mut best: Option<(f64, u64, u64, f64)> = None;
    let mut consider = |start: f64, given: Given| {
        let shares = shares(&rows, Shape::Cosine, start, peak, 1.5 * tol);
        let Some((begin, end, _)) = solve(&shares, given) else { return };
        let length = whole(end, after + 1, upto);
        let wait = whole(begin, 0, length - 1);
        let off = rise
            .iter()
            .map(|row| {
                let p = row.t.saturating_sub(wait) as f64 / (length - wait) as f64;
                let rate = if p == 0.0 { start } else { Shape::Cosine.between(start, peak, p.min(1.0)) };
                (rate - row.y).abs()
            })
            .fold(0.0, f64::max);
        if best.is_none_or(|(least, ..)| off < least) {
            best = Some((off, wait, length, start));
        }
    };
    let squares = |start: f64, given: Given| {
        let shares = shares(&rows, Shape::Cosine, start, peak, 1.5 * tol);
        solve(&shares, given).map_or(f64::INFINITY, |(.., squares)| squares)
    };
    consider(0.0, Given::Start(0.0));
    for given in [Given::Start(0.0), Given::Start(1.0), Given::Nothing] {
        consider(rounding::shortest(first.y, tol), given);
        let (start, _) = least(0.0, first.y, 24, |start| squares(start, given));
        consider(rounding::shortest(start, 4.0 * tol).min(first.y), given);
        consider(start, given);
    }
    best.filter(|(off, ..)| *off <= accept).map(|(_, wait, length, start)| (wait, length, start))
}

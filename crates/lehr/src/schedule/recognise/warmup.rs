//! The rise at the beginning of a log.

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
    /// Whether its line is that of a log that counts updates from 0.
    pub one_late: bool,
    /// What was assumed.
    pub notes: Vec<String>,
}

fn line(updates: u64, from: f64, to: f64, shape: Shape) -> Segment {
    Segment { updates: Steps(updates), from, to, shape }
}

pub(super) fn read(rows: &[Row], peak: f64, tol: f64, options: &RecogniseOptions) -> Head {
    let top = rows.iter().position(|row| row.y >= peak - tol);
    let rising = top.unwrap_or(0);
    let climbs = rows[..=rising].windows(2).all(|pair| pair[1].y >= pair[0].y - tol);
    let mut head = Head { top, start: options.warmup_lr.unwrap_or(0.0), ..Head::default() };
    if rising > 0 && climbs {
        from_rows(rows, rising, peak, tol, options, &mut head);
        return head;
    }
    let first = rows[0].t;
    if let Some(stated) = options.warmup {
        head.updates = Some(stated.0);
        head.known = true;
        head.segments.push(line(stated.0, head.start.min(peak), peak, Shape::Linear));
    } else if first == 1 && rising == 0 {
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

fn from_rows(rows: &[Row], top: usize, peak: f64, tol: f64, options: &RecogniseOptions, head: &mut Head) {
    head.in_rows = true;
    head.known = true;
    let rise = &rows[..top];
    let (after, upto) = (rise[top - 1].t, rows[top].t);
    let free = free_line(rise, peak);
    let length = match (options.warmup, free) {
        (Some(stated), _) => stated.0.clamp(after + 1, upto),
        (None, Some((_, length))) => (length.round().max(0.0) as u64).clamp(after + 1, upto),
        // One row: the line from 0 through it, if it reaches the peak before the next row.
        (None, None) => {
            let length = if rise[0].y > 0.0 { peak * rise[0].t as f64 / rise[0].y } else { 0.0 };
            (length.round() as u64).clamp(after + 1, upto)
        }
    };
    let slope = {
        let (mut up, mut down) = (0.0, 0.0);
        for row in rise {
            let distance = length as f64 - row.t as f64;
            up += (peak - row.y) * distance;
            down += distance * distance;
        }
        up / down
    };
    let start = peak - slope * length as f64;
    let off = rise
        .iter()
        .map(|row| (peak - slope * (length as f64 - row.t as f64) - row.y).abs())
        .fold(0.0, f64::max);
    // The intercept inherits the rows' rounding, magnified by how far the line is drawn out.
    let reach = 20.0 * tol * (1.0 + rise[0].t as f64 / (upto - rise[0].t) as f64);
    head.updates = Some(length);
    if off <= (options.accept * peak).max(4.0 * tol) {
        // Whole updates of rate 0 that the line would leave before it rises.
        let zeros = (length as f64 - peak / slope).round();
        if start.abs() <= reach || (start < 0.0 && zeros < 1.0) {
            head.segments.push(line(length, 0.0, peak, Shape::Linear));
        } else if start > 0.0 {
            head.one_late = free.is_some() && (start / slope - 1.0).abs() < 0.02;
            head.start = rounding::shortest(start, reach);
            head.segments.push(line(length, head.start, peak, Shape::Linear));
        } else {
            // Trainers that start at 0 use it for whole updates before the line rises.
            let zeros = (zeros as u64).min(length - 1);
            head.notes.push(format!("the first {zeros} update(s) use a rate of 0, as some trainers do"));
            head.segments.push(line(zeros, 0.0, 0.0, Shape::Linear));
            head.segments.push(line(length - zeros, 0.0, peak, Shape::Linear));
        }
        return;
    }
    if let Some((length, start)) = cosine_rise(rise, upto, peak, options.accept * peak) {
        head.updates = Some(length);
        head.start = rounding::shortest(start, reach);
        head.notes.push(format!("the warm-up is half a cosine of {length} updates"));
        head.segments.push(line(length, head.start, peak, Shape::Cosine));
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

/// Length and first rate of the half cosine through the rows, if one comes within `accept`.
fn cosine_rise(rise: &[Row], upto: u64, peak: f64, accept: f64) -> Option<(u64, f64)> {
    let after = rise[rise.len() - 1].t;
    let mut best: Option<(f64, u64, f64)> = None;
    for length in after + 1..=upto {
        let share = |row: &Row| Shape::Cosine.between(1.0, 0.0, row.t as f64 / length as f64);
        let (mut up, mut down) = (0.0, 0.0);
        for row in rise {
            up += (row.y - peak * (1.0 - share(row))) * share(row);
            down += share(row) * share(row);
        }
        let start = (up / down).max(0.0);
        let off =
            rise.iter().map(|row| (peak + (start - peak) * share(row) - row.y).abs()).fold(0.0, f64::max);
        if best.is_none_or(|(least, ..)| off < least) {
            best = Some((off, length, start));
        }
    }
    best.filter(|(off, ..)| *off <= accept).map(|(_, length, start)| (length, start))
}

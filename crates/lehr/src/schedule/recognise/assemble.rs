//! Segments as a schedule, with the name of a family where there is one.

use super::{RecogniseOptions, Row, warmup};
use crate::schedule::{Schedule, ScheduleError, Segment, Shape, WsdSpec};
use crate::units::Steps;

/// The schedule of a run whose scheduler goes through `segments`, `late` updates late.
///
/// `run` updates are seen in the rows; the schedule is as long as the scheduler's course where that goes further, unless
/// the horizon is known: then the last rate goes on to it, or what lies behind it is cut off.
pub(super) fn schedule(
    mut segments: Vec<Segment>,
    late: u64,
    run: u64,
    horizon: Option<u64>,
) -> Result<Schedule, ScheduleError> {
    segments.retain(|segment| segment.updates.0 > 0);
    if late > 0
        && let Some(first) = segments.first().map(|segment| segment.from)
    {
        segments.insert(0, Segment::flat(Steps(late), first));
    }
    let length = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.updates.0));
    // A late scheduler's horizon is the run's: the run stays `late` updates short of its end.
    let wanted = horizon.unwrap_or(run.max(length.saturating_sub(late)));
    if length < wanted
        && let Some(last) = segments.last().map(Segment::last_lr)
    {
        segments.push(Segment::flat(Steps(wanted - length), last));
    }
    merge(&mut segments);
    let mut over = length.saturating_sub(wanted);
    while over > 0
        && let [.., _, last] = segments.as_mut_slice()
        && last.from == last.to
    {
        let taken = over.min(last.updates.0);
        (last.updates.0, last.whole.0, over) = (last.updates.0 - taken, last.whole.0 - taken, over - taken);
        if last.updates.0 == 0 {
            segments.pop();
        }
    }
    if let Some(spec) = as_wsd(&segments, over) {
        return spec.checked().map(Schedule::Wsd);
    }
    Schedule::piecewise(cut(segments, wanted))
}

/// Neighbouring stretches of one rate become one.
fn merge(segments: &mut Vec<Segment>) {
    segments.dedup_by(|next, kept| {
        let same = kept.from == kept.to && next.from == next.to && kept.to == next.from;
        if same {
            (kept.updates.0, kept.whole.0) = (kept.updates.0 + next.updates.0, kept.whole.0 + next.updates.0);
        }
        same
    });
}

/// The first `wanted` updates.
fn cut(segments: Vec<Segment>, wanted: u64) -> Vec<Segment> {
    let mut left = wanted;
    let mut kept = Vec::with_capacity(segments.len());
    for segment in segments {
        let taken = segment.updates.0.min(left);
        left -= taken;
        if taken > 0 {
            kept.push(if taken == segment.updates.0 { segment } else { segment.head(Steps(taken)) });
        }
    }
    kept
}

/// Wait, warm-up, stable, annealing, of whose last updates `over` are not reached.
fn as_wsd(segments: &[Segment], over: u64) -> Option<WsdSpec> {
    let length: u64 = segments.iter().map(|segment| segment.updates.0).sum();
    let mut spec = WsdSpec { total: Steps(length - over), unreached: Steps(over), ..WsdSpec::default() };
    let mut rest = segments;
    if let [wait, rise, ..] = rest
        && wait.from == wait.to
        && rise.from == wait.to
        && rise.to > rise.from
    {
        (spec.late, rest) = (wait.updates, &rest[1..]);
    }
    let mut risen = None;
    if let [first, after @ ..] = rest
        && first.to > first.from
    {
        (spec.warmup, spec.warmup_lr, spec.rise, rest) = (first.updates, first.from, first.shape, after);
        risen = Some(first.to);
    }
    spec.peak_lr = rest.first().map(|segment| segment.from).or(risen)?;
    if risen.is_some_and(|risen| risen != spec.peak_lr) {
        return None;
    }
    spec.final_lr = spec.peak_lr;
    let mut stable = 0;
    if let [first, after @ ..] = rest
        && first.from == first.to
    {
        (stable, rest) = (first.updates.0, after);
    }
    if let [fall] = rest
        && fall.from == spec.peak_lr
        && fall.to < fall.from
    {
        (spec.anneal, spec.shape, spec.final_lr, rest) = (fall.updates, fall.shape, fall.to, &[]);
    }
    // Without a warm-up, waiting is standing still.
    if over > 0 && spec.late.0 == 0 && spec.warmup.0 == 0 && stable >= over {
        spec.late = Steps(over);
    }
    let fits = spec.unreached <= spec.late && spec.unreached <= spec.anneal;
    (rest.is_empty() && fits && spec.peak_lr > 0.0).then_some(spec)
}

/// The rows themselves: sampled if dense, else straight lines with jumps kept.
pub(super) fn through_rows(
    rows: &[Row],
    head: &warmup::Head,
    options: &RecogniseOptions,
    tol: f64,
) -> Result<Schedule, ScheduleError> {
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    let total = options.total.map_or(last.t, |total| total.0).max(last.t);
    if first.t == 1 && last.t == rows.len() as u64 && total == last.t {
        return Schedule::sampled(rows.iter().map(|row| row.y).collect());
    }
    let flat = |updates, rate| Segment::flat(Steps(updates), rate);
    let line = |updates, from, to| Segment::new(Steps(updates), from, to, Shape::Linear);
    let mut segments = Vec::new();
    // Before the first row: the warm-up if it is known to end there, else the first rate.
    match head.updates.filter(|&w| w >= 1 && w <= first.t) {
        Some(w) if !head.in_rows => {
            segments.push(line(w, head.start.min(first.y), first.y));
            segments.push(flat(first.t - w, first.y));
        }
        _ if head.in_rows => {
            let slope = rows.get(1).map_or(0.0, |next| (next.y - first.y) / (next.t - first.t) as f64);
            segments.push(line(first.t, (first.y - slope * first.t as f64).max(0.0), first.y));
        }
        _ => segments.push(flat(first.t, first.y)),
    }
    for (i, pair) in rows.windows(2).enumerate() {
        let (a, b) = (pair[0], pair[1]);
        let change = (b.y - a.y).abs();
        let before = if i == 0 { f64::INFINITY } else { (a.y - rows[i - 1].y).abs() };
        let after = rows.get(i + 2).map_or(f64::INFINITY, |next| (next.y - b.y).abs());
        let updates = b.t - a.t;
        if change > 20.0 * tol && before < 0.1 * change && after < 0.1 * change {
            // A jump, at the later of the two rows.
            segments.push(flat(updates - 1, a.y));
            segments.push(flat(1, b.y));
        } else {
            segments.push(line(updates, a.y, b.y));
        }
    }
    segments.push(flat(total - last.t, last.y));
    schedule(segments, 0, total, Some(total))
}

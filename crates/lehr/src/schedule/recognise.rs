//! From logged (step, rate) rows back to the schedule that produced them.

mod body;
mod fall;
mod rounding;
mod warmup;

use self::rounding::Reading;
use super::phase::Family;
use super::{Schedule, ScheduleError, Segment, Shape, Wsd};
use crate::units::Steps;
use serde::Serialize;

/// What the caller knows beyond the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RecogniseOptions {
    /// Horizon T. Unknown: the last row's update, or up to one logging interval later where the curve ends there at a
    /// customary final rate, or wherever the bend of a cosine or exponential points to.
    pub total: Option<Steps>,
    /// Warm-up updates, for logs that begin after it.
    pub warmup: Option<Steps>,
    /// Rate at "update 0" of a warm-up that the rows do not show; 0 if unknown.
    pub warmup_lr: Option<f64>,
    /// Peak rate, for logs that begin during the annealing.
    pub peak_lr: Option<f64>,
    /// A row's rate is that of update `step + offset`. Unknown: 1 if the log counts from 0 or its warm-up line shows
    /// it, else 0.
    pub offset: Option<i64>,
    /// Largest |Δlr|/peak at which a family counts as recognised.
    pub accept: f64,
}

impl Default for RecogniseOptions {
    fn default() -> Self {
        Self { total: None, warmup: None, warmup_lr: None, peak_lr: None, offset: None, accept: 1e-3 }
    }
}

/// How far the recognised schedule is from the rows, relative to the peak rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Residual {
    /// Largest |Δlr|/peak.
    pub max: f64,
    /// Root mean square of Δlr/peak.
    pub rms: f64,
}

/// A schedule read from rows, and how much to trust it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recognised {
    /// The schedule, from update 1.
    pub schedule: Schedule,
    /// Its family.
    pub family: Family,
    /// Distance from the rows.
    pub residual: Residual,
    /// Rounding of the rows relative to the peak rate, as far as their digits show it.
    pub tolerance: f64,
    /// Whether the residual is no more than rounding explains.
    pub exact: bool,
    /// A row's rate is that of update `step + offset`.
    pub offset: i64,
    /// The first update that a row shows; the schedule before it is inferred or was stated.
    pub known_from: Steps,
    /// Whether the warm-up was in the rows or was stated.
    pub warmup_known: bool,
    /// What was assumed, for the reader.
    pub notes: Vec<String>,
}

/// Why rows give no schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecogniseError {
    /// No row.
    #[error("no (step, lr) row to recognise a schedule from")]
    Empty,
    /// Steps do not ascend.
    #[error(
        "step {next} follows step {step}; expected strictly increasing steps (sort the rows and drop duplicates)"
    )]
    Order {
        /// The earlier row's step.
        step: u64,
        /// The later row's step.
        next: u64,
    },
    /// A rate is negative, NaN or infinite.
    #[error("the rate at step {step} is {value}; expected a finite rate of at least 0")]
    Rate {
        /// The row's step.
        step: u64,
        /// The value found.
        value: f64,
    },
    /// Every rate is 0.
    #[error("every logged rate is 0; expected the rates that the updates used")]
    AllZero,
    /// The offset moves a row before update 1.
    #[error("step {step} with offset {offset} is before update 1; a log that counts from 0 has offset 1")]
    BeforeFirst {
        /// The row's step.
        step: u64,
        /// The offset.
        offset: i64,
    },
    /// The stated horizon is shorter than the rows.
    #[error("the stated horizon is {total}, but the rows reach update {last}")]
    BeyondTotal {
        /// The horizon.
        total: u64,
        /// The last row's update.
        last: u64,
    },
    /// What was found makes no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// A logged point: the update and its rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub t: u64,
    pub y: f64,
}

/// Recognises the schedule behind logged rows of (step, rate), sparse or dense.
///
/// Warm-up (length, first rate), peak, start of annealing, shape, final rate, jumps between constant stages and
/// re-rises are read off the rows; whole numbers of updates are preferred, and rates are read with as few digits as
/// the rows' rounding allows. Where no family comes within `options.accept`, the result is the rows themselves:
/// sampled if they hold every update, else straight lines between them with jumps kept.
///
/// # Errors
/// [`RecogniseError`]: no row, steps out of order, a bad rate, rows beyond the stated horizon.
///
/// # Examples
/// ```
/// use lehr::schedule::{Family, RecogniseOptions, Schedule, recognise};
/// let truth: Schedule = "wsd:peak=3e-4,total=2000,warmup=100,anneal=500,shape=1-sqrt,final=0".parse()?;
/// let rows: Vec<(u64, f64)> = (1..=40).map(|i| (i * 50, truth.lr(i * 50))).collect();
/// let found = recognise(&rows, &RecogniseOptions::default())?;
/// assert_eq!((found.schedule, found.family, found.exact), (truth, Family::Wsd, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recognise(rows: &[(u64, f64)], options: &RecogniseOptions) -> Result<Recognised, RecogniseError> {
    check(rows)?;
    // Digits can be read in two ways; the finer one first, because few digits may just be round numbers.
    let finer = with_reading(rows, options, Reading::Finer)?;
    if finer.is_recognised(options) && finer.exact {
        return Ok(finer);
    }
    let coarser = with_reading(rows, options, Reading::Coarser)?;
    Ok(if finer.is_recognised(options) && !coarser.is_recognised(options) { finer } else { coarser })
}

impl Recognised {
    fn is_recognised(&self, options: &RecogniseOptions) -> bool {
        self.residual.max <= options.accept && !matches!(self.family, Family::Piecewise | Family::Sampled)
    }
}

fn with_reading(
    rows: &[(u64, f64)],
    options: &RecogniseOptions,
    reading: Reading,
) -> Result<Recognised, RecogniseError> {
    let mut notes = Vec::new();
    let offset = options.offset.unwrap_or_else(|| {
        let offset = i64::from(rows[0].0 == 0);
        if offset == 1 {
            notes.push("the log counts from 0: step s is taken for update s + 1".to_owned());
        }
        offset
    });
    let shifted = shift(rows, offset)?;
    let logged_peak = shifted.iter().fold(0.0, |peak: f64, row| peak.max(row.y));
    if logged_peak == 0.0 {
        return Err(RecogniseError::AllZero);
    }
    let tol = rounding::tolerance(&shifted, logged_peak, reading);
    let peak = rounding::shortest(options.peak_lr.unwrap_or(logged_peak), tol);
    let head = warmup::read(&shifted, peak, tol, options);
    if options.offset.is_none() && offset == 0 && head.one_late && shifted[0].t >= 1 {
        notes.push(
            "the warm-up line starts one update early: step s is taken for update s + 1 (0-based log)"
                .to_owned(),
        );
        let options = RecogniseOptions { offset: Some(1), ..options.clone() };
        let mut found = with_reading(rows, &options, reading)?;
        notes.append(&mut found.notes);
        return Ok(Recognised { notes, ..found });
    }
    let last = shifted[shifted.len() - 1].t;
    if let Some(total) = options.total
        && total.0 < last
    {
        return Err(RecogniseError::BeyondTotal { total: total.0, last });
    }
    let mut tried = Vec::new();
    notes.extend(head.notes.iter().cloned());
    let mut family_notes = notes.clone();
    if let Some(segments) = body::read(&shifted, &head, peak, tol, options, &mut family_notes) {
        let schedule = assemble(segments)?;
        tried.push((residual(&schedule, &shifted, peak), schedule, family_notes));
    }
    let good = tried.iter().position(|(residual, ..)| residual.max <= options.accept);
    let (residual, schedule, notes) = if let Some(index) = good {
        tried.swap_remove(index)
    } else {
        let schedule = through_rows(&shifted, &head, options, tol)?;
        if let Some((residual, ..)) = tried.first() {
            notes.push(format!(
                "no family comes within {:.1e} of the peak (the nearest is off by {:.1e}): the rows are used as they are",
                options.accept, residual.max
            ));
        }
        (residual(&schedule, &shifted, peak), schedule, notes)
    };
    Ok(Recognised {
        family: schedule.family(),
        exact: residual.max <= 8.0 * tol / peak,
        residual,
        tolerance: tol / peak,
        offset,
        known_from: Steps(shifted[0].t),
        warmup_known: head.known,
        notes,
        schedule,
    })
}

fn check(rows: &[(u64, f64)]) -> Result<(), RecogniseError> {
    if rows.is_empty() {
        return Err(RecogniseError::Empty);
    }
    if let Some(&(step, value)) = rows.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
        return Err(RecogniseError::Rate { step, value });
    }
    match rows.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        Some(pair) => Err(RecogniseError::Order { step: pair[0].0, next: pair[1].0 }),
        None => Ok(()),
    }
}

fn shift(rows: &[(u64, f64)], offset: i64) -> Result<Vec<Row>, RecogniseError> {
    rows.iter()
        .map(|&(step, y)| match step.checked_add_signed(offset) {
            Some(t) if t >= 1 => Ok(Row { t, y }),
            _ => Err(RecogniseError::BeforeFirst { step, offset }),
        })
        .collect()
}

/// Warm-up, stable, annealing as a [`Wsd`] where the segments are that, else piecewise.
fn assemble(mut segments: Vec<Segment>) -> Result<Schedule, ScheduleError> {
    segments.retain(|segment| segment.updates.0 > 0);
    segments.dedup_by(|next, kept| {
        let same = kept.from == kept.to && next.from == next.to && kept.to == next.from;
        if same {
            kept.updates.0 += next.updates.0;
        }
        same
    });
    let mut rest = segments.as_slice();
    let mut wsd = Wsd {
        peak_lr: 0.0,
        total: Steps(rest.iter().map(|segment| segment.updates.0).sum()),
        warmup: Steps(0),
        warmup_lr: 0.0,
        anneal: Steps(0),
        shape: Shape::Linear,
        final_lr: 0.0,
    };
    if let [first, ..] = rest
        && first.to > first.from
        && first.shape == Shape::Linear
    {
        (wsd.warmup, wsd.warmup_lr, rest) = (first.updates, first.from, &rest[1..]);
    }
    wsd.peak_lr = rest.first().map_or_else(|| segments[0].to, |segment| segment.from);
    wsd.final_lr = wsd.peak_lr;
    if let [first, ..] = rest
        && first.from == first.to
    {
        rest = &rest[1..];
    }
    if let [fall] = rest
        && fall.from == wsd.peak_lr
        && fall.to < fall.from
    {
        (wsd.anneal, wsd.shape, wsd.final_lr, rest) = (fall.updates, fall.shape, fall.to, &[]);
    }
    let joined = wsd.warmup.0 == 0 || segments[0].to == wsd.peak_lr;
    if rest.is_empty() && joined && wsd.peak_lr > 0.0 {
        wsd.checked().map(Schedule::Wsd)
    } else {
        Schedule::piecewise(segments)
    }
}

/// The rows themselves: sampled if dense, else straight lines with jumps kept.
fn through_rows(
    rows: &[Row],
    head: &warmup::Head,
    options: &RecogniseOptions,
    tol: f64,
) -> Result<Schedule, ScheduleError> {
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    let total = options.total.map_or(last.t, |total| total.0);
    if first.t == 1 && last.t == rows.len() as u64 && total == last.t {
        return Schedule::sampled(rows.iter().map(|row| row.y).collect());
    }
    let flat =
        |updates, rate| Segment { updates: Steps(updates), from: rate, to: rate, shape: Shape::Linear };
    let line = |updates, from, to| Segment { updates: Steps(updates), from, to, shape: Shape::Linear };
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
    assemble(segments)
}

fn residual(schedule: &Schedule, rows: &[Row], peak: f64) -> Residual {
    let (mut max, mut squares) = (0.0_f64, 0.0);
    let mut add = |wanted: f64, found: f64| {
        let difference = (wanted - found).abs() / peak;
        max = max.max(difference);
        squares += difference * difference;
    };
    match schedule.segments() {
        None => {
            let rates = schedule.rates();
            rows.iter().for_each(|row| add(row.y, rates[row.t as usize - 1]));
        }
        Some(segments) => {
            let (mut before, mut i) = (0, 0);
            for row in rows {
                while i + 1 < segments.len() && row.t > before + segments[i].updates.0 {
                    before += segments[i].updates.0;
                    i += 1;
                }
                add(row.y, segments[i].lr((row.t - before).min(segments[i].updates.0)));
            }
        }
    }
    Residual { max, rms: (squares / rows.len() as f64).sqrt() }
}

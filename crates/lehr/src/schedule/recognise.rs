//! From logged (step, rate) rows back to the schedule that produced them.

mod assemble;
mod body;
mod fall;
mod line;
mod place;
mod rounding;
mod strays;
mod warmup;

use self::place::Place;
use self::rounding::{Digits, Reading};
use super::phase::Family;
use super::{Schedule, ScheduleError};
use crate::bounds::{self, BoundError};
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
    /// A row's rate is that of update `step + offset`: 1 for a log that counts from 0, and for a trainer that logs the
    /// rate of the next update. Unknown: 1 if the steps, the warm-up's line or the annealing's end show it, else 0.
    pub offset: Option<i64>,
    /// Largest |Δlr|/peak at which a family counts as recognised; more where the column's own rounding is coarser.
    pub accept: f64,
}

impl Default for RecogniseOptions {
    fn default() -> Self {
        Self { total: None, warmup: None, warmup_lr: None, peak_lr: None, offset: None, accept: 1e-3 }
    }
}

/// Rounding of a column, as a share of the peak rate, up to which a family that lies within it counts as recognised; coarser
/// columns hold too little to tell families apart.
const COARSEST: f64 = 0.02;

impl RecogniseOptions {
    /// Largest |Δlr|/peak at which a family counts as recognised in a column whose rounding is `tolerance`: what is
    /// stated, or what the column itself cannot tell (rounded halves pull a line by up to half as much again).
    fn accepted(&self, tolerance: f64) -> f64 {
        if tolerance > COARSEST { self.accept } else { self.accept.max(1.5 * tolerance) }
    }
}

/// How far the recognised schedule is from the rows, relative to the peak rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "ScheduleResidual"))]
pub struct Residual {
    /// Largest |Δlr|/peak, a share of the peak rate.
    pub max: f64,
    /// Root mean square of Δlr/peak, a share of the peak rate.
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
    /// Steps of rows that no schedule explains and that were left out: a rate of 0 after the end of a constant trunk, and
    /// one or two rows that stand apart from a plain schedule.
    pub left_out: Vec<u64>,
    /// What was assumed, for the reader.
    pub notes: Vec<String>,
    /// Whether the schedule leads through the rows because nothing plainer follows them.
    #[serde(skip)]
    as_rows: bool,
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
    /// A rate outside its bound: negative, NaN, infinite.
    #[error("the rate at step {step} is {}; expected {}", super::text::number(*value), bounds::RATE.words)]
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
    /// An option lies outside its bound.
    #[error("{0}")]
    Option(BoundError),
    /// A step lies outside its bound.
    #[error("step {step} is beyond {} updates, the most that are allowed; are the steps tokens or samples?", bounds::UPDATES.most)]
    TooFar {
        /// The row's step.
        step: u64,
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
/// sampled if they hold every update, else straight lines between them with jumps kept. Lengths are solved for, so that
/// the cost is O(rows log rows) whatever the steps are.
///
/// A trainer's own shift by one update is found from the rows and kept beside the family: `offset` where rows hold the
/// rate of update `step + 1`, [`super::WsdSpec::late`] where update t uses what the scheduler names for t − 1.
///
/// # Errors
/// [`RecogniseError`]: no row, steps out of order or beyond their bound, a bad rate or option, rows beyond the stated
/// horizon.
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
    check(rows, options)?;
    let (kept, left_out) = without_stray_end(rows);
    let mut found = if left_out.is_empty() {
        read(rows, options)?
    } else {
        let whole =
            RecogniseOptions { total: options.total.or(Some(horizon(rows, options))), ..options.clone() };
        read(kept, &whole).or_else(|_| read(kept, options))?
    };
    if !left_out.is_empty() {
        let steps = left_out.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        found.notes.push(format!(
            "the rate at step {steps} is 0 after a constant rate to the end: left out, as that of a scheduler that has ended"
        ));
        found.left_out = left_out;
    } else if !found.is_plain(options)
        && let Some(without) = without_strays(rows, options)
    {
        return Ok(without);
    }
    Ok(found)
}

/// The update of the last row.
fn horizon(rows: &[(u64, f64)], options: &RecogniseOptions) -> Steps {
    let (place, _) = Place::of(rows, options);
    Steps(place.run(rows, None))
}

/// The plain schedule of all rows but one or two that stand apart from it; `None` if there is none.
fn without_strays(rows: &[(u64, f64)], options: &RecogniseOptions) -> Option<Recognised> {
    let strays = strays::find(rows);
    if strays.is_empty() {
        return None;
    }
    let kept: Vec<(u64, f64)> =
        rows.iter().enumerate().filter(|(i, _)| !strays.contains(i)).map(|(_, &row)| row).collect();
    let end = strays.last() == Some(&(rows.len() - 1));
    let total = options.total.or_else(|| end.then(|| horizon(rows, options)));
    let mut found = read(&kept, &RecogniseOptions { total, ..options.clone() }).ok()?;
    if !found.is_plain(options) {
        return None;
    }
    let rates = super::Rates::new(&found.schedule);
    let fits = |&i: &usize| {
        let t = rows[i].0.checked_add_signed(found.offset).filter(|&t| t >= 1 && t <= rates.total());
        t.is_some_and(|t| (rates.at(t) - rows[i].1).abs() <= strays::APART * rates.peak())
    };
    if strays.iter().any(fits) {
        return None;
    }
    found.left_out = strays.iter().map(|&i| rows[i].0).collect();
    let steps = found.left_out.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    found.notes.push(format!("the rate at step {steps} fits no schedule: left out, as a stray row"));
    Some(found)
}

/// The schedule of rows that are all meant.
fn read(rows: &[(u64, f64)], options: &RecogniseOptions) -> Result<Recognised, RecogniseError> {
    let digits = Digits::of(rows.iter().map(|&(_, y)| y));
    // Digits can be read in several ways; the finest first, because few digits may just be round numbers.
    let exact = with_reading(rows, options, &digits, Reading::Exact)?;
    let finer = if exact.is_recognised(options) && exact.exact {
        exact
    } else {
        with_reading(rows, options, &digits, Reading::Finer)?
    };
    if finer.is_recognised(options) && finer.exact {
        return Ok(finer);
    }
    let coarser = with_reading(rows, options, &digits, Reading::Coarser)?;
    if !finer.is_recognised(options) && !coarser.is_recognised(options) && digits.are_mixed() {
        let mixed = with_reading(rows, options, &digits, Reading::Mixed)?;
        if mixed.is_recognised(options) {
            return Ok(mixed);
        }
    }
    Ok(if finer.is_recognised(options) && !coarser.is_recognised(options) { finer } else { coarser })
}

impl Recognised {
    /// Whether one of the plain families comes within what is accepted.
    fn is_plain(&self, options: &RecogniseOptions) -> bool {
        let plain = matches!(
            self.family,
            Family::Constant | Family::Cosine | Family::LinearToZero | Family::Wsd | Family::TwoStage
        );
        plain && self.is_recognised(options)
    }

    fn is_recognised(&self, options: &RecogniseOptions) -> bool {
        self.residual.max <= options.accepted(self.tolerance)
            && !self.as_rows
            && !matches!(self.family, Family::Piecewise | Family::Sampled)
    }
}

/// As [`placed`]; where no row may stand at the peak, also with short numbers above the largest rate for it.
fn with_reading(
    rows: &[(u64, f64)],
    options: &RecogniseOptions,
    digits: &Digits,
    reading: Reading,
) -> Result<Recognised, RecogniseError> {
    let found = placed(rows, options, digits, reading)?;
    if (found.is_recognised(options) && found.exact) || options.peak_lr.is_some() {
        return Ok(found);
    }
    let largest = rows.iter().fold(0.0, |peak: f64, row| peak.max(row.1));
    for peak in rounding::short_above(largest).filter(|&peak| bounds::PEAK_RATE.holds(peak)) {
        let stated = RecogniseOptions { peak_lr: Some(peak), ..options.clone() };
        if let Ok(mut better) = placed(rows, &stated, digits, reading)
            && better.is_recognised(options)
            && better.exact
            && better.warmup_known
        {
            better.notes.push(format!("the peak rate {peak:e} lies between two rows"));
            return Ok(better);
        }
    }
    Ok(found)
}

/// Tries the place of the rows that their steps suggest, and where the rates then speak of another, that one. Where neither
/// explains the rows, they may be an update early or late without a warm-up that shows it.
fn placed(
    rows: &[(u64, f64)],
    options: &RecogniseOptions,
    digits: &Digits,
    reading: Reading,
) -> Result<Recognised, RecogniseError> {
    let found = suggested(rows, options, digits, reading)?;
    if options.offset.is_some() || (found.is_recognised(options) && found.exact) {
        return Ok(found);
    }
    let (plain, _) = Place::of(rows, options);
    for shift in [1, -1] {
        let Some((moved, why)) = plain.moved(shift, options) else { continue };
        if let Ok(Attempt { found: mut other, .. }) = attempt(rows, options, digits, reading, moved)
            && other.is_plain(options)
            && other.exact
        {
            other.notes.insert(0, why);
            return Ok(other);
        }
    }
    Ok(found)
}

/// As [`placed`], without the last resort.
fn suggested(
    rows: &[(u64, f64)],
    options: &RecogniseOptions,
    digits: &Digits,
    reading: Reading,
) -> Result<Recognised, RecogniseError> {
    let (place, why) = Place::of(rows, options);
    let mut first = match attempt(rows, options, digits, reading, place) {
        // Steps that seem to count from 0 may not: the stated horizon decides.
        Err(RecogniseError::BeyondTotal { .. }) if options.offset.is_none() && place.offset > 0 => {
            attempt(rows, options, digits, reading, Place::default())?
        }
        other => other?,
    };
    first.found.notes.splice(0..0, why.filter(|_| first.place == place));
    let Some((moved, why)) = first.place.moved(first.shift, options) else { return Ok(first.found) };
    let Ok(mut second) = attempt(rows, options, digits, reading, moved) else { return Ok(first.found) };
    let better = second.found.is_recognised(options)
        && (!first.found.is_recognised(options)
            || second.found.residual.max <= first.found.residual.max + 2.0 * first.found.tolerance);
    if !better {
        return Ok(first.found);
    }
    second.found.notes.insert(0, why);
    Ok(second.found)
}

/// A reading of the rows at one place.
struct Attempt {
    found: Recognised,
    place: Place,
    /// How many updates later (1) or earlier (−1) the rates want the rows to be.
    shift: i64,
}

fn attempt(
    rows: &[(u64, f64)],
    options: &RecogniseOptions,
    digits: &Digits,
    reading: Reading,
    place: Place,
) -> Result<Attempt, RecogniseError> {
    let (used, known_from) = place.rows(rows, options.total)?;
    let mut notes = Vec::new();
    let all = used.as_slice();
    // What the scheduler says before its first update is no part of its course.
    let course = &all[all.iter().take_while(|row| row.t == 0).count().min(all.len() - 1)..];
    let logged_peak = course.iter().fold(0.0, |peak: f64, row| peak.max(row.y));
    if logged_peak == 0.0 {
        return Err(RecogniseError::AllZero);
    }
    let stated = options.peak_lr.unwrap_or(logged_peak);
    let completed = if stated > logged_peak { warmup::with_peak(course, stated) } else { None };
    let course = completed.as_deref().unwrap_or(course);
    let tol = digits.tolerance(stated.max(logged_peak), reading);
    // Never 0: a rate may be stated that the rounding of the rows would swallow.
    let peak = rounding::shortest(stated, tol.min(0.01 * stated));
    let head = warmup::read(course, peak, tol, options);
    notes.extend(head.notes.iter().cloned());
    let mut family_notes = notes.clone();
    let run = place.run(rows, options.total);
    let (mut shift, mut good) = (head.shift, None);
    let nearest;
    match body::read(course, &head, peak, tol, options, place.late, &mut family_notes) {
        body::Read::Segments { segments, fall_ends } => {
            let last = course[course.len() - 1].t;
            if let (0, Some(end)) = (shift, fall_ends) {
                shift = i64::from(end == last + 1) - i64::from(end.checked_add(1) == Some(last));
            }
            // The row after the last update of the run: a trainer that logs the rate of the next one.
            let ended = options.total.is_none()
                && place.is_next(rows)
                && fall_ends.is_some_and(|end| end + 1 == last);
            let horizon = options.total.map(|total| total.0).or_else(|| ended.then(|| run - 1));
            let schedule = assemble::schedule(segments, place.late, run, horizon)?;
            let residual = residual(&schedule, rows, place, peak);
            nearest = Some(residual.max);
            if residual.max <= options.accepted(tol / peak) {
                good = Some((residual, schedule));
            }
        }
        body::Read::Nothing(off) => nearest = off.map(|off| off / peak),
    }
    let as_rows = good.is_none();
    let (residual, schedule) = if let Some(found) = good {
        notes = family_notes;
        found
    } else {
        if let Some(nearest) = nearest {
            notes.push(format!(
                "no family comes within {:.1e} of the peak (the nearest is off by {nearest:.1e}): the rows are used as they are",
                options.accepted(tol / peak)
            ));
        }
        let updates = Place { late: 0, ..place }.rows(rows, options.total)?.0;
        let schedule = assemble::through_rows(&updates, &head, options, tol)?;
        (residual(&schedule, rows, place, peak), schedule)
    };
    if let Some(total) = options.total.filter(|&total| total != schedule.total()) {
        return Err(RecogniseError::BeyondTotal { total: total.0, last: schedule.total().0 });
    }
    let found = Recognised {
        family: schedule.family(),
        exact: residual.max <= (tol / peak).max(1e-12) * (1.0 + 1e-6),
        residual,
        tolerance: tol / peak,
        offset: place.offset,
        known_from,
        warmup_known: head.known,
        left_out: Vec::new(),
        notes,
        schedule,
        as_rows,
    };
    Ok(Attempt { found, place, shift })
}

fn check(rows: &[(u64, f64)], options: &RecogniseOptions) -> Result<(), RecogniseError> {
    let Some(&(last, _)) = rows.last() else { return Err(RecogniseError::Empty) };
    if let Some(&(step, value)) = rows.iter().find(|(_, value)| !bounds::RATE.holds(*value)) {
        return Err(RecogniseError::Rate { step, value });
    }
    if let Some(pair) = rows.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        return Err(RecogniseError::Order { step: pair[0].0, next: pair[1].0 });
    }
    if last > bounds::UPDATES.most {
        return Err(RecogniseError::TooFar { step: last });
    }
    let whole = |what: &str, value: Option<u64>, bound: bounds::Whole| {
        value.map_or(Ok(0), |value| bound.check(what, value)).map_err(RecogniseError::Option)
    };
    let real = |what: &str, value: Option<f64>, bound: bounds::Real| {
        value.map_or(Ok(0.0), |value| bound.check(what, value)).map_err(RecogniseError::Option)
    };
    whole("the stated horizon", options.total.map(|total| total.0), bounds::UPDATES)?;
    whole("the stated warm-up", options.warmup.map(|warmup| warmup.0).filter(|&w| w > 0), bounds::UPDATES)?;
    whole("the offset's size", options.offset.map(i64::unsigned_abs), bounds::OFFSET)?;
    real("the warm-up's first rate", options.warmup_lr, bounds::RATE)?;
    real("the stated peak rate", options.peak_lr, bounds::PEAK_RATE)?;
    real("the accepted distance", Some(options.accept), ACCEPT)?;
    if rows.iter().all(|&(_, y)| y == 0.0) {
        return Err(RecogniseError::AllZero);
    }
    Ok(())
}

/// Distances from the rows that may be asked for, as a share of the peak.
const ACCEPT: bounds::Real =
    bounds::Real { least: 1e-12, most: 1.0, zero: true, words: "a share between 0 and 1" };

/// The rows without one or two at the very end whose rate is 0 after a constant one, and the steps of those: what a
/// trunk logs whose scheduler has ended. A shorter log may hold an annealing of one row.
fn without_stray_end(rows: &[(u64, f64)]) -> (&[(u64, f64)], Vec<u64>) {
    const ENOUGH: usize = 20;
    const LEVEL: usize = 10;
    let zeros = rows.iter().rev().take(3).take_while(|row| row.1 == 0.0).count();
    let kept = &rows[..rows.len() - zeros];
    let [.., last] = kept else { return (rows, Vec::new()) };
    let level = kept.len() >= LEVEL.max(ENOUGH - 1)
        && kept[kept.len() - LEVEL..].iter().all(|row| (row.1 - last.1).abs() <= 1e-7 * last.1);
    let Some(&(first, _)) = rows.get(kept.len()) else { return (rows, Vec::new()) };
    // The annealing, if it were one, would be shorter than a fortieth of the run.
    let short = (first - last.0).saturating_mul(40) <= first;
    if (1..=2).contains(&zeros) && level && short {
        (kept, rows[kept.len()..].iter().map(|row| row.0).collect())
    } else {
        (rows, Vec::new())
    }
}

/// Distance of the logged rows from the schedule; rows of updates that it does not have are left out.
fn residual(schedule: &Schedule, rows: &[(u64, f64)], place: Place, peak: f64) -> Residual {
    let (mut max, mut squares, mut count) = (0.0_f64, 0.0, 0_usize);
    let rates = super::Rates::new(schedule);
    for &(step, wanted) in rows {
        let Some(t) = step.checked_add_signed(place.offset).filter(|&t| t >= 1 && t <= rates.total()) else {
            continue;
        };
        let difference = (wanted - rates.at(t)).abs() / peak;
        let difference = if difference.is_finite() { difference } else { f64::MAX.sqrt() };
        max = max.max(difference);
        squares += difference * difference;
        count += 1;
    }
    Residual { max, rms: (squares / count.max(1) as f64).sqrt() }
}

//! The rows of one run as the log holds them, before anything is stitched or checked.

use crate::unit::UnitEvidence;
use lehr::{Caveat, LossKind, RunMeta, Schedule, Split};

/// Rows of one split, in the order of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// Updates done.
    pub step: Vec<u64>,
    /// Losses; NaN and infinities stand here until they are checked.
    pub loss: Vec<f64>,
    /// Rates; NaN where the row has none.
    pub lr: Vec<f64>,
    /// Line or row in the file.
    pub place: Vec<u32>,
    /// Seconds of the clock, NaN where a row has none; empty where the log has none at all.
    pub time: Vec<f64>,
}

impl Points {
    /// Adds a row.
    pub fn push(&mut self, step: u64, loss: f64, lr: Option<f64>, place: u64) {
        self.step.push(step);
        self.loss.push(loss);
        self.lr.push(lr.unwrap_or(f64::NAN));
        self.place.push(u32::try_from(place).unwrap_or(u32::MAX));
    }

    /// Says when the last row was written; all rows before it have a time, too.
    pub(crate) fn stamp(&mut self, time: f64) {
        if self.time.len() + 1 == self.step.len() {
            self.time.push(time);
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.step.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.step.is_empty()
    }

    /// Appends the rows of another file.
    fn append(&mut self, mut later: Self) {
        let timed = |points: &Self| points.time.len() == points.step.len();
        if timed(self) && timed(&later) {
            self.time.append(&mut later.time);
        } else {
            self.time.clear();
        }
        self.step.append(&mut later.step);
        self.loss.append(&mut later.loss);
        self.lr.append(&mut later.lr);
        self.place.append(&mut later.place);
    }

    /// The rows at `index`, in that order.
    #[must_use]
    pub(crate) fn at(&self, index: &[usize]) -> Self {
        Self {
            step: index.iter().map(|&i| self.step[i]).collect(),
            loss: index.iter().map(|&i| self.loss[i]).collect(),
            lr: index.iter().map(|&i| self.lr[i]).collect(),
            place: index.iter().map(|&i| self.place[i]).collect(),
            time: if self.time.len() == self.step.len() {
                index.iter().map(|&i| self.time[i]).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// How many samples or tokens an update takes, by a column that counts them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The last row: update, count.
    last: (u64, f64),
    /// Smallest increase per update between two rows; infinite before the second row.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Pace {
    /// Begins with a row.
    #[must_use]
    pub fn new(step: u64, count: f64) -> Self {
        Self { last: (step, count), low: f64::INFINITY, high: 0.0 }
    }

    /// Adds the next row; one that goes back begins anew.
    pub fn add(&mut self, step: u64, count: f64) {
        if step > self.last.0 && count > self.last.1 {
            let pace = (count - self.last.1) / (step - self.last.0) as f64;
            self.low = self.low.min(pace);
            self.high = self.high.max(pace);
        }
        self.last = (step, count);
    }

    /// The one number, if it is one: all within 2 % of each other.
    #[must_use]
    pub fn constant(&self) -> Option<f64> {
        (self.low.is_finite() && self.high <= 1.02 * self.low).then_some(self.low)
    }
}

/// One run as read: its rows by split, and what the source knows about it.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRun {
    /// The file, as errors name it.
    pub file: String,
    /// Whether places are lines (else rows).
    pub lines: bool,
    /// The run's name; unique once read.
    pub id: String,
    /// What the source knows besides.
    pub meta: RunMeta,
    /// Files in which the run goes on, and the first update of each.
    pub continued: Vec<(u64, String)>,
    /// Rows of the training loss.
    pub train: Points,
    /// Rows of the validation loss.
    pub validation: Points,
    /// Rows of a loss whose split is not stated.
    pub unstated: Points,
    /// Rates of rows without a loss: update, rate.
    pub rates: Vec<(u64, f64)>,
    /// What one value of the training loss stands for.
    pub train_kind: LossKind,
    /// Whether the training loss is a moving average of unknown decay, by its name.
    pub smoothed: bool,
    /// What the log says about the unit of the training loss.
    pub unit: UnitEvidence,
    /// What it says about that of the validation loss.
    pub validation_unit: UnitEvidence,
    /// The schedule, where the source states it.
    pub schedule: Option<Schedule>,
    /// Samples an update, guessed from the log, where it counts samples and states no batch.
    pub guessed_batch: Option<u64>,
    /// The horizon, where the source states it.
    pub total: Option<u64>,
    /// Whether rates are multiples of a peak that the log does not hold.
    pub multiplier: bool,
    /// A rate that the source's configuration states, and its name there.
    pub base_lr: Option<(f64, String)>,
    /// Whether update t uses what the scheduler says for t − 1 (Hugging Face).
    pub rates_of_before: bool,
    /// Smallest and largest number of samples or tokens an update, by what the log counts.
    pub pace: Option<Pace>,
    /// Whether that column counts tokens.
    pub pace_of_tokens: bool,
    /// What the importer has to say.
    pub notes: Vec<(&'static str, String)>,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
    /// Why the losses must not be fitted: reason, way out.
    pub refused: Option<(String, String)>,
}

impl RawRun {
    /// A run without rows.
    #[must_use]
    pub fn new(file: &str, id: &str, lines: bool) -> Self {
        Self {
            file: file.to_owned(),
            lines,
            id: id.to_owned(),
            meta: RunMeta::named(id),
            continued: Vec::new(),
            train: Points::default(),
            validation: Points::default(),
            unstated: Points::default(),
            rates: Vec::new(),
            train_kind: LossKind::Instant,
            smoothed: false,
            unit: UnitEvidence::default(),
            validation_unit: UnitEvidence::default(),
            schedule: None,
            guessed_batch: None,
            total: None,
            multiplier: false,
            base_lr: None,
            rates_of_before: false,
            pace: None,
            pace_of_tokens: false,
            notes: Vec::new(),
            caveats: Vec::new(),
            refused: None,
        }
    }

    /// Every update of a row.
    fn steps_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        let points = [&mut self.train, &mut self.validation, &mut self.unstated];
        points
            .into_iter()
            .flat_map(|points| points.step.iter_mut())
            .chain(self.rates.iter_mut().map(|(step, _)| step))
    }

    /// The smallest update of a row.
    pub(crate) fn first_step(&mut self) -> Option<u64> {
        self.steps_mut().map(|step| *step).min()
    }

    /// Counts the rows' updates from a later one on.
    pub(crate) fn shift(&mut self, by: u64) {
        self.steps_mut().for_each(|step| *step += by);
        self.total = self.total.map(|total| total + by);
    }

    /// Appends the rows of a file in which the run goes on.
    pub(crate) fn go_on(&mut self, mut later: Self) {
        self.continued.extend(later.first_step().map(|first| (first, later.file.clone())));
        self.train.append(later.train);
        self.validation.append(later.validation);
        self.unstated.append(later.unstated);
        self.rates.append(&mut later.rates);
        self.unit.rows.append(&mut later.unit.rows);
        self.validation_unit.rows.append(&mut later.validation_unit.rows);
        self.smoothed |= later.smoothed;
        self.pace = match (self.pace, later.pace) {
            (Some(a), Some(b)) => Some(Pace { low: a.low.min(b.low), high: a.high.max(b.high), ..b }),
            (a, b) => a.or(b),
        };
        let new: Vec<_> = later.notes.into_iter().filter(|note| !self.notes.contains(note)).collect();
        self.notes.extend(new);
        let new: Vec<_> = later.caveats.into_iter().filter(|caveat| !self.caveats.contains(caveat)).collect();
        self.caveats.extend(new);
        self.refused = self.refused.take().or(later.refused);
    }

    /// The file that holds the row of an update.
    #[must_use]
    pub(crate) fn file_of(&self, step: u64) -> &str {
        self.continued.iter().rev().find(|(first, _)| *first <= step).map_or(&self.file, |(_, file)| file)
    }

    /// The rows of a split.
    pub fn points_mut(&mut self, split: Split) -> &mut Points {
        match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
            Split::Unstated => &mut self.unstated,
        }
    }

    /// The rows of a split.
    #[must_use]
    pub fn points(&self, split: Split) -> &Points {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Unstated => &self.unstated,
        }
    }
}

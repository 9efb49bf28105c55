//! The rows of one run as the log holds them, before anything is stitched or checked.

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
}

impl Points {
    /// Adds a row.
    pub fn push(&mut self, step: u64, loss: f64, lr: Option<f64>, place: u64) {
        self.step.push(step);
        self.loss.push(loss);
        self.lr.push(lr.unwrap_or(f64::NAN));
        self.place.push(u32::try_from(place).unwrap_or(u32::MAX));
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

    /// The rows at `index`, in that order.
    #[must_use]
    pub(crate) fn at(&self, index: &[usize]) -> Self {
        Self {
            step: index.iter().map(|&i| self.step[i]).collect(),
            loss: index.iter().map(|&i| self.loss[i]).collect(),
            lr: index.iter().map(|&i| self.lr[i]).collect(),
            place: index.iter().map(|&i| self.place[i]).collect(),
        }
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
    /// The schedule, where the source states it.
    pub schedule: Option<Schedule>,
    /// The horizon, where the source states it.
    pub total: Option<u64>,
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
            train: Points::default(),
            validation: Points::default(),
            unstated: Points::default(),
            rates: Vec::new(),
            train_kind: LossKind::Instant,
            schedule: None,
            total: None,
            notes: Vec::new(),
            caveats: Vec::new(),
            refused: None,
        }
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

//! Which update a row's rate belongs to, and what the trainer's scheduler calls that update.

use super::{RecogniseError, RecogniseOptions, Row};
use crate::units::Steps;

/// A row of step s holds the rate of update s + `offset`, which the scheduler names for s + `offset` − `late`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: i64,
    pub late: u64,
}

impl Place {
    /// The place that options and steps suggest, and why it is not the plain one.
    pub(super) fn of(rows: &[(u64, f64)], options: &RecogniseOptions) -> (Self, Option<String>) {
        if let Some(offset) = options.offset {
            return (Self { offset, late: 0 }, None);
        }
        let one = Self { offset: 1, late: 0 };
        if rows[0].0 == 0 && rows[0].1 > 0.0 {
            return (one, Some("the log counts from 0: step s is taken for update s + 1".to_owned()));
        }
        match stride_less_one(rows) {
            Some(stride) => {
                let why = format!(
                    "every step is one less than a multiple of {stride}: the log counts from 0, step s is taken for update s + 1"
                );
                (one, Some(why))
            }
            None => (Self::default(), None),
        }
    }

    /// The place that a wish of the rates to be later (1) or earlier (−1) leads to, and why.
    pub(super) fn moved(self, shift: i64, options: &RecogniseOptions) -> Option<(Self, String)> {
        let late = "update t uses what the scheduler names for t − 1, as some trainers do".to_owned();
        let next = "the rates are one update early: step s holds the rate of update s + 1 (a log that counts from 0, or one of the next update's rate)";
        match (shift, self.late) {
            (1, 1) => Some((Self { late: 0, ..self }, next.to_owned())),
            (1, 0) if options.offset.is_none() && self.offset == 0 => {
                Some((Self { offset: 1, late: 0 }, next.to_owned()))
            }
            (-1, 0) => Some((Self { late: 1, ..self }, late)),
            _ => None,
        }
    }

    /// The update of a step, if it is one.
    fn update(self, step: u64) -> Option<u64> {
        step.checked_add_signed(self.offset).filter(|&t| t >= 1)
    }

    /// The rows at the scheduler's updates (0 where it has not begun), and the first update that a row shows.
    ///
    /// A row of step 0 with a rate of 0 stands before any update and is left out unless it is the only one. A row
    /// of the update after the horizon is left out where the offset alone puts it there.
    pub(super) fn rows(
        self,
        rows: &[(u64, f64)],
        total: Option<Steps>,
    ) -> Result<(Vec<Row>, Steps), RecogniseError> {
        let mut placed = Vec::with_capacity(rows.len());
        let mut known_from = None;
        // A log may hold the rate of the update after its last; no trainer logs further ahead.
        let ahead = self.offset.clamp(0, 1).unsigned_abs();
        for &(step, y) in rows {
            let Some(update) = self.update(step) else {
                if step == 0 && self.offset == 0 && y == 0.0 {
                    continue;
                }
                return Err(RecogniseError::BeforeFirst { step, offset: self.offset });
            };
            if let Some(total) = total
                && update > total.0
            {
                if update - total.0 <= ahead && !placed.is_empty() {
                    continue;
                }
                return Err(RecogniseError::BeyondTotal { total: total.0, last: update });
            }
            known_from.get_or_insert(update);
            placed.push(Row { t: update.saturating_sub(self.late), y });
        }
        if placed.is_empty() {
            return Err(RecogniseError::AllZero);
        }
        Ok((placed, Steps(known_from.unwrap_or(1))))
    }

    /// Updates of the run as far as the rows show them.
    pub(super) fn run(self, rows: &[(u64, f64)], total: Option<Steps>) -> u64 {
        let last = rows.last().and_then(|&(step, _)| self.update(step)).unwrap_or(1);
        total.map_or(last, |total| total.0)
    }

    /// Whether rows may hold the rate of the update after their own, rather than be counted from 0.
    pub(super) fn is_next(self, rows: &[(u64, f64)]) -> bool {
        self.offset == 1 && rows[0].0 > 0 && stride_less_one(rows).is_none()
    }
}

/// The stride of a log all of whose steps are one less than a multiple of it.
fn stride_less_one(rows: &[(u64, f64)]) -> Option<u64> {
    const ENOUGH: usize = 4;
    const LEAST: u64 = 3;
    if rows.len() < ENOUGH {
        return None;
    }
    let stride = rows.windows(2).fold(0, |stride, pair| common(stride, pair[1].0 - pair[0].0));
    (stride >= LEAST && (rows[0].0 + 1).is_multiple_of(stride)).then_some(stride)
}

/// Greatest common divisor.
fn common(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

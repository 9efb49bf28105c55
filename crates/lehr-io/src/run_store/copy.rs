//! The rows of a store's points, whatever program wrote them last.

use crate::error::{Place, ReadError};
use crate::source::Source;
use crate::table::parquet::{broken, columns, for_each_row};
use crate::table::{Cell, Want};
use std::collections::{BTreeMap, BTreeSet};

/// Columns of the points, and what each holds.
const COLUMNS: [(&str, Want); 5] = [
    ("run_id", Want::Text),
    ("split", Want::Text),
    ("step", Want::Number),
    ("lr", Want::Number),
    ("loss", Want::Number),
];

/// Points of one run and split.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Updates done.
    pub step: Vec<i64>,
    /// Rates.
    pub lr: Vec<f64>,
    /// Losses.
    pub loss: Vec<f64>,
}

impl Rows {
    fn push(&mut self, (step, lr, loss): (i64, f64, f64)) {
        self.step.push(step);
        self.lr.push(lr);
        self.loss.push(loss);
    }

    /// In the order of updates; rows of one update stay as they were.
    fn sorted(self) -> Self {
        if self.step.is_sorted() {
            return self;
        }
        let mut order: Vec<usize> = (0..self.step.len()).collect();
        order.sort_by_key(|&i| self.step[i]);
        let mut sorted = Self::default();
        for i in order {
            sorted.push((self.step[i], self.lr[i], self.loss[i]));
        }
        sorted
    }
}

/// A run and one of its splits.
type Key = (String, Option<String>);

/// Takes the rows of one run and split.
type Write<'a> = dyn FnMut(&str, Option<&str>, Rows) -> Result<(), ReadError> + 'a;

/// Hands the rows of all runs whose names `keep` accepts to `write`, once for each run and split, and counts the rows of
/// each run.
pub(super) fn rows(
    points: &Source,
    keep: &dyn Fn(&str) -> bool,
    write: &mut Write<'_>,
) -> Result<BTreeMap<String, u64>, ReadError> {
    let there = columns(points)?;
    if let Some((missing, _)) = COLUMNS.iter().find(|(name, _)| !there.iter().any(|column| column == name)) {
        return Err(broken(points, &format_args!("it has no column '{missing}'")));
    }
    let mut counts = BTreeMap::new();
    let mut send = |(run, split): &Key, rows: Rows| {
        *counts.entry(run.clone()).or_default() += rows.step.len() as u64;
        write(run, split.as_deref(), rows.sorted())
    };
    if is_sorted(points)? {
        let mut held: Option<(Key, Rows)> = None;
        each(points, keep, &mut |run, split, row| {
            match &mut held {
                Some(((of, part), rows)) if of == run && part.as_deref() == split => rows.push(row),
                other => {
                    let mut rows = Rows::default();
                    rows.push(row);
                    if let Some((key, rows)) =
                        other.replace(((run.to_owned(), split.map(str::to_owned)), rows))
                    {
                        send(&key, rows)?;
                    }
                }
            }
            Ok(())
        })?;
        if let Some((key, rows)) = held {
            send(&key, rows)?;
        }
    } else {
        let mut held: BTreeMap<Key, Rows> = BTreeMap::new();
        each(points, keep, &mut |run, split, row| {
            held.entry((run.to_owned(), split.map(str::to_owned))).or_default().push(row);
            Ok(())
        })?;
        for (key, rows) in held {
            send(&key, rows)?;
        }
    }
    Ok(counts)
}

/// Whether the rows of every run and split follow one another.
fn is_sorted(points: &Source) -> Result<bool, ReadError> {
    let mut seen: BTreeSet<Key> = BTreeSet::new();
    let mut last: Option<Key> = None;
    let mut sorted = true;
    for_each_row(points, &COLUMNS[..2], &mut |_, cells| {
        let (run, split) = (text(&cells[0]).unwrap_or_default(), text(&cells[1]));
        if last.as_ref().is_none_or(|(of, part)| of != run || part.as_deref() != split) {
            let key = (run.to_owned(), split.map(str::to_owned));
            sorted = seen.insert(key.clone());
            last = Some(key);
        }
        Ok(sorted)
    })?;
    Ok(sorted)
}

fn text<'a>(cell: &'a Cell<'_>) -> Option<&'a str> {
    match cell {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

/// Visits the rows of the runs that are kept.
fn each(
    points: &Source,
    keep: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(&str, Option<&str>, (i64, f64, f64)) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let missing = |place: Place, what: &str, expected: &str| ReadError::Value {
        file: points.name().to_owned(),
        place,
        what: what.to_owned(),
        found: "nothing".to_owned(),
        expected: expected.to_owned(),
    };
    let mut asked: Option<(String, bool)> = None;
    for_each_row(points, &COLUMNS, &mut |place, cells| {
        let Some(run) = text(&cells[0]) else { return Err(missing(place, "run_id", "the name of a run")) };
        let kept = match &asked {
            Some((name, kept)) if name == run => *kept,
            _ => asked.insert((run.to_owned(), keep(run))).1,
        };
        if !kept {
            return Ok(true);
        }
        let number = |i: usize| match cells[i] {
            Cell::Number(value) => Ok(value),
            _ => Err(missing(place, COLUMNS[i].0, "a number")),
        };
        let (step, lr, loss) = (number(2)?, number(3)?, number(4)?);
        // Whole numbers up to 2^53 are exact.
        if step.fract() != 0.0 || !(0.0..=9_007_199_254_740_992.0).contains(&step) {
            return Err(ReadError::Value {
                file: points.name().to_owned(),
                place,
                what: "step".to_owned(),
                found: step.to_string(),
                expected: "a whole number of updates, at least 0".to_owned(),
            });
        }
        visit(run, text(&cells[1]), (step as i64, lr, loss))?;
        Ok(true)
    })?;
    Ok(())
}

//! Runs in several files, one a job: told by what the files hold, and read as one.

use super::ReadOptions;
use super::finish::Context;
use super::tables::{self, Emit};
use crate::error::ReadError;
use crate::import::{Group, Log, TableLog};
use crate::mapping::Mapping;
use crate::rows::RawRun;
use crate::source::Source;
use crate::table::{Format, Want, sniff};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How much of a file is read to see where it begins.
const HEAD: u64 = 64 << 10;
/// Rows at either end of a file whose mean loss is compared.
const ENDS: usize = 8;
/// More updates than any run has.
const MOST: f64 = 1e15;
/// Losses and batches go on within this share, rates within this share or as they fell from row to row.
const SAME: f64 = 0.05;

/// Which logs go on in which, of all that are read.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    next: BTreeMap<usize, usize>,
    later: BTreeSet<usize>,
    has_beginning: bool,
}

impl Jobs {
    /// Finds them: a log that begins late goes on from one of the same kind that ends just before, with the same columns,
    /// horizon, batch, rate and loss, where each goes on in one other at most; of several such, those of the same folder and of
    /// names that differ in numbers alone. Files are read for this only where one begins late and another before it.
    pub(super) fn find(
        logs: &[Arc<Group>],
        names: &[String],
        options: &ReadOptions,
        is_named: &dyn Fn(&str) -> bool,
    ) -> Self {
        if logs.len() < 2 {
            return Self::default();
        }
        let begins: Vec<Option<Beginning>> = logs.iter().map(|log| Beginning::of(log, options)).collect();
        let has_beginning = begins.iter().flatten().any(|begin| !begin.late);
        let mut found = Self { has_beginning, ..Self::default() };
        let before = |at: usize| {
            begins[at].as_ref().filter(|begin| begin.late && !is_named(&names[at])).map_or_else(
                Vec::new,
                |begin| {
                    (0..logs.len())
                        .filter(|&other| {
                            other != at
                                && begins[other].as_ref().is_some_and(|before| {
                                    before.first < begin.first && before.mapping == begin.mapping
                                })
                                && kind(&logs[other]) == kind(&logs[at])
                        })
                        .collect()
                },
            )
        };
        let candidates: BTreeMap<usize, Vec<usize>> =
            (0..logs.len()).map(|at| (at, before(at))).filter(|(_, before)| !before.is_empty()).collect();
        let wanted: BTreeSet<usize> =
            candidates.iter().flat_map(|(&at, before)| before.iter().copied().chain([at])).collect();
        let extents: BTreeMap<usize, Extent> =
            wanted.into_iter().filter_map(|at| Some((at, Extent::of(&logs[at], options)?))).collect();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (&at, before) in &candidates {
            let goes_on = |&&other: &&usize| matches!((extents.get(&other), extents.get(&at)), (Some(a), Some(b)) if a.goes_on_in(b));
            let all: Vec<usize> = before.iter().filter(goes_on).copied().collect();
            let apart = |other: usize| apart(&logs[other].named, &logs[at].named);
            let nearest = all.iter().map(|&other| apart(other)).min();
            pairs.extend(
                all.into_iter().filter(|&other| Some(apart(other)) == nearest).map(|other| (other, at)),
            );
        }
        for &(a, b) in &pairs {
            let alone = |is_same: &dyn Fn(&(usize, usize)) -> bool| {
                pairs.iter().filter(|pair| is_same(pair)).count() == 1
            };
            if alone(&|pair| pair.0 == a) && alone(&|pair| pair.1 == b) {
                found.next.insert(a, b);
                found.later.insert(b);
            }
        }
        found
    }

    /// Whether a log is the rest of a run that another begins.
    pub(super) fn is_later(&self, at: usize) -> bool {
        self.later.contains(&at)
    }

    /// The logs in which one goes on, in order.
    pub(super) fn after(&self, at: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.next.get(&at).copied(), |at| self.next.get(at).copied())
    }

    /// Whether a log shows its own beginning.
    pub(super) fn has_beginning(&self) -> bool {
        self.has_beginning
    }
}

/// Reads every run of a log that may go on in others, and hands it to `emit`.
pub(super) fn read(
    parts: &[Arc<Group>],
    name: &str,
    context: &Context<'_>,
    emit: &mut Emit<'_>,
) -> Result<(), ReadError> {
    let [first, rest @ ..] = parts else { return Ok(()) };
    if rest.is_empty() {
        return tables::read(first, name, context, emit);
    }
    let mut whole: Option<(RawRun, Option<Mapping>, String)> = None;
    for part in parts {
        tables::read(part, name, context, &mut |raw, mapping, kind| {
            match &mut whole {
                Some((run, ..)) => run.go_on(raw),
                None => whole = Some((raw, mapping.cloned(), kind.to_owned())),
            }
            Ok(())
        })?;
    }
    let Some((mut run, mapping, kind)) = whole else { return Ok(()) };
    let names: Vec<&str> = rest.iter().map(|part| part.named.name()).collect();
    run.notes.push((
        "jobs-joined",
        format!(
            "{} goes on in {}: next update, same rate and loss; one run",
            first.named.name(),
            names.join(", ")
        ),
    ));
    emit(run, mapping.as_ref(), &kind)
}

/// How far apart two files lie: in two folders, under names that differ in more than their numbers (`wsd_1.log`, `wsd_2.log`).
fn apart(a: &Source, b: &Source) -> (bool, bool) {
    let words = |source: &Source| source.name().replace(|c: char| c.is_ascii_digit(), "");
    (a.folder() != b.folder(), words(a) != words(b))
}

fn kind(group: &Group) -> Option<&'static str> {
    group.importer.map(crate::import::Importer::name)
}

/// Where a log of one run begins.
#[derive(Debug)]
struct Beginning {
    mapping: Mapping,
    first: u64,
    /// Whether that is later than a run begins, and not in its warm-up.
    late: bool,
}

impl Beginning {
    /// By the head of the file alone; `None` for several runs, and where nothing can be told.
    fn of(group: &Group, options: &ReadOptions) -> Option<Self> {
        let sources: Vec<Source> = group
            .sources
            .iter()
            .map(|source| Some(source.clone().with_bytes(source.head(HEAD).ok()?)))
            .collect::<Option<_>>()?;
        let log: Box<dyn Log> = match group.importer {
            Some(importer) => importer.open(&sources, &options.map).ok()?,
            None => {
                let whole = group.sources.first()?;
                match sniff(&whole.head(crate::table::HEAD).ok()?)? {
                    // Its columns stand at its end.
                    Format::Parquet => Box::new(TableLog { source: whole.clone(), format: Format::Parquet }),
                    format => Box::new(TableLog { source: sources.into_iter().next()?, format }),
                }
            }
        };
        let mapping = one_run(group, log.as_ref(), options)?;
        let mut rows: Vec<(u64, Option<f64>)> = Vec::new();
        // What was cut off in the middle of a row ends the reading with an error.
        let _ = log.for_each_row(&select(&mapping), &mut |_, cells| {
            if let Some(step) = cells[0].number().filter(|step| (1.0..MOST).contains(step))
                && cells[1..].iter().any(|cell| cell.number().is_some())
            {
                let rate = cells.get(1).filter(|_| mapping.lr.is_some());
                rows.push((step as u64, rate.and_then(crate::table::Cell::number)));
            }
            Ok(rows.len() < 16)
        });
        rows.sort_by_key(|row| row.0);
        let mut steps: Vec<u64> = rows.iter().map(|row| row.0).collect();
        steps.dedup();
        let [first, second, ..] = steps.as_slice() else { return None };
        let rates: Vec<f64> = rows.iter().filter_map(|row| row.1).collect();
        let rising = rates.windows(2).any(|pair| pair[1] > 1.001 * pair[0]);
        Some(Self { first: *first, late: *first > (second - first).saturating_mul(2) && !rising, mapping })
    }
}

/// The columns of a log of one run, counted in updates.
fn one_run(group: &Group, log: &dyn Log, options: &ReadOptions) -> Option<Mapping> {
    let mapping = Mapping::guess(group.named.name(), &log.columns().ok()?, &options.map).ok()?;
    let step = Some(&mapping.step);
    let of_updates = step != mapping.tokens.as_ref() && step != mapping.samples.as_ref();
    (mapping.run.is_none() && mapping.split.is_none() && of_updates).then_some(mapping)
}

/// Step, rate, losses, and what counts samples or tokens.
fn select(mapping: &Mapping) -> Vec<(&str, Want)> {
    let mut select = vec![(mapping.step.as_str(), Want::Number)];
    let names = [&mapping.lr, &mapping.loss, &mapping.val_loss];
    select.extend(names.iter().filter_map(|name| Some((name.as_deref()?, Want::Perhaps))));
    select.extend(mapping.tokens.as_deref().or(mapping.samples.as_deref()).map(|name| (name, Want::Perhaps)));
    select
}

/// What one file of a run covers.
#[derive(Debug)]
struct Extent {
    first: u64,
    last: u64,
    stride: u64,
    total: Option<u64>,
    params: Option<lehr::Params>,
    rate: Ends,
    /// Of the training, of the validation.
    losses: [Ends; 2],
    /// Samples or tokens an update.
    pace: Option<f64>,
}

/// What stands at both ends of a column.
#[derive(Debug, Default)]
struct Ends {
    first: Vec<f64>,
    last: std::collections::VecDeque<f64>,
}

impl Ends {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.first.len() < ENDS {
            self.first.push(value);
        }
        if self.last.len() == ENDS {
            self.last.pop_front();
        }
        self.last.push_back(value);
    }
}

fn mean<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> Option<f64> {
    let n = values.len();
    (n > 0).then(|| values.sum::<f64>() / n as f64)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * a.abs().max(b.abs())
}

impl Extent {
    fn of(group: &Group, options: &ReadOptions) -> Option<Self> {
        let log = tables::open(group, options).ok()?;
        let mapping = one_run(group, log.as_ref(), options)?;
        let select = select(&mapping);
        let place = |name: &Option<String>| {
            let name = name.as_deref()?;
            select.iter().skip(1).position(|(other, _)| *other == name).map(|at| at + 1)
        };
        let places = [place(&mapping.lr), place(&mapping.loss), place(&mapping.val_loss)];
        let count = place(&mapping.tokens).or(place(&mapping.samples));
        let (mut rate, mut losses) = (Ends::default(), [Ends::default(), Ends::default()]);
        let mut steps: Vec<u64> = Vec::new();
        let mut counts: Option<((u64, f64), (u64, f64))> = None;
        log.for_each_row(&select, &mut |_, cells| {
            let Some(step) =
                cells[0].number().filter(|step| (1.0..MOST).contains(step) && step.fract() == 0.0)
            else {
                return Ok(true);
            };
            let value = |place: Option<usize>| place.and_then(|at| cells[at].number());
            let [lr, loss, validation] = places.map(value);
            if lr.or(loss).or(validation).is_none() {
                return Ok(true);
            }
            let step = step as u64;
            lr.into_iter().for_each(|value| rate.add(value));
            loss.into_iter().for_each(|value| losses[0].add(value));
            validation.into_iter().for_each(|value| losses[1].add(value));
            if let Some(count) = value(count) {
                counts = Some((counts.map_or((step, count), |(first, _)| first), (step, count)));
            }
            if steps.last() != Some(&step) {
                steps.push(step);
            }
            Ok(true)
        })
        .ok()?;
        // A file that was restarted itself is told by its own rows.
        if steps.windows(2).any(|pair| pair[1] <= pair[0]) {
            return None;
        }
        let mut known = RawRun::new(group.named.name(), "", log.has_lines());
        log.describe(&mapping, &mut known).ok()?;
        let mut gaps: Vec<u64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let middle = gaps.len() / 2;
        let stride = if gaps.is_empty() { return None } else { *gaps.select_nth_unstable(middle).1 };
        Some(Self {
            first: *steps.first()?,
            last: *steps.last()?,
            stride,
            total: known.total,
            params: known.meta.params,
            rate,
            losses,
            pace: counts
                .filter(|(first, last)| last.0 > first.0)
                .map(|(first, last)| (last.1 - first.1) / (last.0 - first.0) as f64),
        })
    }

    /// Whether `later` goes on where this file ends: next update, rate, batch, horizon, size and loss.
    fn goes_on_in(&self, later: &Self) -> bool {
        let next = later.first > self.last && later.first - self.last <= 2 * self.stride.max(later.stride);
        let same = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => close(a, b),
            _ => true,
        };
        next && self.total == later.total
            && self.params == later.params
            && same(self.pace, later.pace)
            && self.rate_goes_on(later)
            && self.losses.iter().zip(&later.losses).any(|(a, b)| {
                matches!((mean(a.last.iter()), mean(b.first.iter())), (Some(a), Some(b)) if close(a, b))
            })
    }

    /// The next rate is the last one, or as far from it as rates of neighbouring rows are.
    fn rate_goes_on(&self, later: &Self) -> bool {
        let (Some(&a), Some(&b)) = (self.rate.last.back(), later.rate.first.first()) else { return false };
        let before = self.rate.last.iter().rev().nth(1).map_or(0.0, |before| (before - a).abs());
        let after = later.rate.first.get(1).map_or(0.0, |after| (after - b).abs());
        close(a, b) || (a - b).abs() <= 2.0 * before.max(after)
    }
}

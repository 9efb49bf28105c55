//! Rows of a table → raw runs.

use super::finish::Context;
use super::format::format_of;
use super::{ReadOptions, SplitChoice};
use crate::error::{Place, ReadError};
use crate::import::{Group, Log, TableLog};
use crate::manifest::{self, Manifest, Rise};
use crate::mapping::{self, Mapping, Role};
use crate::name::stem;
use crate::rows::{Pace, RawRun};
use crate::source::Source;
use crate::table::{self, Cell, Want};
use crate::unit;
use lehr::{CaveatKind, Shape, Split};
use std::collections::BTreeMap;

/// A table smaller than this is held whole; a larger one with a run column is read twice, so that each run can be
/// handed on as soon as its last row is read.
const HELD_WHOLE: u64 = 16 << 20;

pub(super) type Emit<'a> = dyn FnMut(RawRun, Option<&Mapping>, &str) -> Result<(), ReadError> + 'a;

/// The files of one run, or a table, as a log.
pub(super) fn open(group: &Group, options: &ReadOptions) -> Result<Box<dyn Log>, ReadError> {
    match group.importer {
        Some(importer) => importer.open(&group.sources, &options.map),
        None => {
            let source = group.sources[0].clone();
            let format = format_of(&source)?;
            Ok(Box::new(TableLog { source, format }))
        }
    }
}

/// Reads every run of a log and hands it to `emit`.
pub(super) fn read(
    group: &Group,
    name: &str,
    context: &Context<'_>,
    emit: &mut Emit<'_>,
) -> Result<(), ReadError> {
    let log = open(group, context.options)?;
    let file = group.sources[0].name();
    let columns = log.columns()?;
    let mut mapping = Mapping::guess(file, &columns, &context.options.map)?;
    if mapping.split.is_none() && mapping.loss.is_some() && mapping.val_loss.is_none() {
        mapping.split = split_by_values(log.as_ref(), &mapping, &columns, context.options);
        // Parts of one run that were logged as runs of their own: `train`, `validation`.
        if mapping.split == mapping.run {
            mapping.run = None;
        }
    }
    let mapping = mapping;
    let untaken = validations_not_taken(&mapping, &columns, context.options);
    let kind = log.kind();
    let length: u64 = group.sources.iter().map(Source::len).sum();
    let left = if length > HELD_WHOLE { rows_by_run(log.as_ref(), &mapping)? } else { None };
    let own = log.run_name();
    let name = own.as_deref().unwrap_or(name);
    let mut table = Table {
        log: log.as_ref(),
        options: context.options,
        file,
        name,
        mapping: &mapping,
        left,
        runs: Vec::new(),
        rows: 0,
    };
    table.read(&mut |mut raw| {
        let name = |column: &Option<String>| column.clone().unwrap_or_default();
        raw.unit.column = name(&mapping.loss);
        raw.unit.perplexity = name(&mapping.perplexity);
        raw.validation_unit.column = name(&mapping.val_loss);
        raw.validation_unit.perplexity = name(&mapping.val_perplexity);
        log.describe(&mapping, &mut raw)?;
        raw.notes.extend(untaken.clone().map(|note| ("validations-not-taken", note)));
        emit(raw, Some(&mapping), &kind)
    })
}

/// A column under another name than `split` that says of every row whether it is of the training or of the validation:
/// all its values are words for one of them, and both occur.
fn split_by_values(
    log: &dyn Log,
    mapping: &Mapping,
    columns: &[String],
    options: &ReadOptions,
) -> Option<String> {
    let of_runs = mapping.run.as_ref().filter(|_| options.map.get(Role::Run).is_none());
    let others = columns.iter().filter(|name| Some(*name) != mapping.run.as_ref());
    for name in others.filter(|name| mapping::could_tell_splits(name)).chain(of_runs) {
        let (mut training, mut validation, mut other) = (false, false, false);
        let read = log.for_each_row(&[(name, Want::Text)], &mut |_, cells| {
            match &cells[0] {
                Cell::Missing => {}
                cell => match cell.text().and_then(manifest::split) {
                    Some(Split::Train) => training = true,
                    Some(Split::Validation) => validation = true,
                    _ => other = true,
                },
            }
            Ok(!other)
        });
        // What is wrong with the rows is said where they are read.
        if read.is_ok() && training && validation && !other {
            return Some(name.clone());
        }
    }
    None
}

/// What to say about validation losses of several sets of which none, or one by its name, was taken.
fn validations_not_taken(mapping: &Mapping, columns: &[String], options: &ReadOptions) -> Option<String> {
    const SHOWN: usize = 6;
    let asked = [Role::Loss, Role::ValidationLoss].iter().any(|&role| options.map.get(role).is_some());
    if asked || options.split == SplitChoice::Train || options.map.rates_alone {
        return None;
    }
    let others = mapping::validation_losses(columns);
    let others: Vec<&String> = others
        .into_iter()
        .filter(|name| ![&mapping.loss, &mapping.val_loss].iter().any(|taken| taken.as_ref() == Some(name)))
        .collect();
    if others.is_empty() {
        return None;
    }
    let mut named: Vec<String> = others.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
    if others.len() > SHOWN {
        named.push(format!("{} more", others.len() - SHOWN));
    }
    let named = named.join(", ");
    Some(match (&mapping.val_loss, others.len()) {
        (Some(taken), _) => {
            format!(
                "of several validation losses '{taken}' is taken, not {named} ([[map]] val_loss=NAME takes another)"
            )
        }
        (None, 1) => {
            format!("the validation losses {named} are not taken ([[map]] val_loss=NAME takes them)")
        }
        (None, _) => format!(
            "the validation losses of several sets ({named}) are not told apart by their names: none is taken ([[map]] val_loss=NAME takes one)"
        ),
    })
}

/// Rows of each run, for tables that are too large to be held.
fn rows_by_run(log: &dyn Log, mapping: &Mapping) -> Result<Option<BTreeMap<String, u64>>, ReadError> {
    let Some(run) = mapping.run.as_deref() else { return Ok(None) };
    let mut count = BTreeMap::<String, u64>::new();
    log.for_each_row(&[(run, Want::Text)], &mut |_, cells| {
        if let Some(name) = cells[0].text() {
            match count.get_mut(name) {
                Some(rows) => *rows += 1,
                None => {
                    count.insert(name.to_owned(), 1);
                }
            }
        }
        Ok(true)
    })?;
    Ok(Some(count))
}

struct Table<'a> {
    log: &'a dyn Log,
    options: &'a ReadOptions,
    file: &'a str,
    name: &'a str,
    mapping: &'a Mapping,
    /// Rows still to come, by run; `None`: emit at the end.
    left: Option<BTreeMap<String, u64>>,
    runs: Vec<RawRun>,
    rows: u64,
}

/// Updates as a whole number.
pub(crate) fn whole(file: &str, place: Place, what: &str, value: f64) -> Result<u64, ReadError> {
    if value >= 0.0 && value.fract() == 0.0 && value < 1e15 {
        return Ok(value as u64);
    }
    Err(ReadError::Value {
        file: file.to_owned(),
        place,
        what: format!("column '{what}'"),
        found: value.to_string(),
        expected: "a whole number of updates of at least 0".to_owned(),
    })
}

/// A step column that counts something else than updates.
struct Axis {
    what: &'static str,
    /// So many an update.
    per: u64,
    option: &'static str,
    /// Whether that is a guess.
    is_guessed: bool,
}

impl Axis {
    fn update(&self, file: &str, place: Place, column: &str, value: f64) -> Result<u64, ReadError> {
        let updates = value / self.per as f64;
        if (0.0..1e15).contains(&updates) && (updates - updates.round()).abs() < 1e-6 * updates.max(1.0) {
            return Ok(updates.round() as u64);
        }
        Err(ReadError::Value {
            file: file.to_owned(),
            place,
            what: format!("column '{column}'"),
            found: value.to_string(),
            expected: format!("a multiple of the {} {} an update ({})", self.per, self.what, self.option),
        })
    }

    /// Says on the run how updates were made.
    fn say(&self, column: &str, raw: &mut RawRun) {
        if self.is_guessed {
            raw.caveats.push(CaveatKind::GuessedBatch { samples: self.per }.into());
            return;
        }
        let code = if self.what == "tokens" { "tokens-as-steps" } else { "samples-as-steps" };
        raw.notes
            .push((code, format!("'{column}' counts {}; update = {} / {}", self.what, self.what, self.per)));
    }
}

/// Selects a column, if there is one, and gives its place.
fn add<'a>(select: &mut Vec<(&'a str, Want)>, name: Option<&'a str>, want: Want) -> Option<usize> {
    select.push((name?, want));
    Some(select.len() - 1)
}

impl Table<'_> {
    fn read(&mut self, emit: &mut dyn FnMut(RawRun) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let mapping = self.mapping;
        let mut select: Vec<(&str, Want)> = vec![(&mapping.step, Want::Number)];
        let loss = add(&mut select, mapping.loss.as_deref(), Want::Number);
        let validation = add(&mut select, mapping.val_loss.as_deref(), Want::Number);
        let lr = add(&mut select, mapping.lr.as_deref(), Want::Number);
        let run = add(&mut select, mapping.run.as_deref(), Want::Text);
        let split = add(&mut select, mapping.split.as_deref(), Want::Text);
        let count =
            mapping.tokens.as_ref().or(mapping.samples.as_ref()).filter(|name| **name != mapping.step);
        let count = add(&mut select, count.map(String::as_str), Want::Number);
        let time = add(&mut select, mapping.time.as_deref(), Want::Perhaps);
        let perplexity = add(&mut select, mapping.perplexity.as_deref(), Want::Perhaps);
        let validation_perplexity = add(&mut select, mapping.val_perplexity.as_deref(), Want::Perhaps);
        let axis = self.axis()?;
        let loss_split = mapping.loss_split();
        let mut current = 0;
        let (log, file) = (self.log, self.file);
        let end = log.for_each_row(&select, &mut |place, cells| {
            self.rows += 1;
            let name = run.and_then(|i| cells[i].text());
            current = self.run(name, current);
            let rate = match lr.map(|i| &cells[i]) {
                Some(Cell::Number(rate)) if !rate.is_nan() => {
                    if !(rate.is_finite() && *rate >= 0.0) {
                        return Err(ReadError::Value {
                            file: file.to_owned(),
                            place,
                            what: format!("column '{}'", mapping.lr.as_deref().unwrap_or_default()),
                            found: rate.to_string(),
                            expected: "a finite rate of at least 0".to_owned(),
                        });
                    }
                    Some(*rate)
                }
                _ => None,
            };
            let loss = loss.and_then(|i| cells[i].number());
            let validation = validation.and_then(|i| cells[i].number());
            // A row of other metrics.
            if (loss.is_none() && validation.is_none() && rate.is_none()) || cells[0] == Cell::Missing {
                return self.row_done(name, axis.as_ref(), emit, &mut current);
            }
            let step = cells[0].number().unwrap_or(f64::NAN);
            let step = match &axis {
                None => whole(file, place, &mapping.step, step)?,
                Some(axis) => axis.update(file, place, &mapping.step, step)?,
            };
            let at = match place {
                Place::Line(at) | Place::Row(at) | Place::Byte(at) => at,
                Place::File => 0,
            };
            let row_split = match split.and_then(|i| cells[i].text()) {
                None => loss_split,
                Some(text) => manifest::split(text).ok_or_else(|| ReadError::Value {
                    file: file.to_owned(),
                    place,
                    what: format!("column '{}'", mapping.split.as_deref().unwrap_or_default()),
                    found: table::shortened(text),
                    expected: "train or val".to_owned(),
                })?,
            };
            let raw = &mut self.runs[current];
            if let Some(count) = count.and_then(|i| cells[i].number()) {
                raw.pace_of_tokens = mapping.tokens.is_some();
                raw.pace.get_or_insert_with(|| Pace::new(step, count)).add(step, count);
            }
            let time = time.map(|i| cells[i].number().unwrap_or(f64::NAN));
            if let Some(loss) = loss {
                let points = raw.points_mut(row_split);
                points.push(step, loss, rate, at);
                time.into_iter().for_each(|time| points.stamp(time));
                if let Some(perplexity) = perplexity.and_then(|i| cells[i].number())
                    && raw.unit.rows.len() < unit::ENOUGH
                {
                    raw.unit.rows.push((loss, perplexity));
                }
            }
            if let Some(loss) = validation {
                let points = raw.points_mut(Split::Validation);
                points.push(step, loss, rate, at);
                time.into_iter().for_each(|time| points.stamp(time));
                if let Some(perplexity) = validation_perplexity.and_then(|i| cells[i].number())
                    && raw.validation_unit.rows.len() < unit::ENOUGH
                {
                    raw.validation_unit.rows.push((loss, perplexity));
                }
            }
            if let (None, None, Some(rate)) = (loss, validation, rate) {
                raw.rates.push((step, rate));
            }
            self.row_done(name, axis.as_ref(), emit, &mut current)
        })?;
        if self.rows == 0 {
            return Err(ReadError::NoRows { file: file.to_owned() });
        }
        for mut raw in self.runs.drain(..) {
            if let Some(axis) = &axis {
                axis.say(&mapping.step, &mut raw);
            }
            if let Some(line) = end.cut_off {
                let what = if raw.lines { "line" } else { "record" };
                raw.notes.push(("cut-off", format!("{what} {line}, the last, is cut off and was left out")));
            }
            emit(raw)?;
        }
        Ok(())
    }

    /// What the log knows besides its rows.
    fn known(&self) -> Result<RawRun, ReadError> {
        let mut known = RawRun::new(self.file, self.name, self.log.has_lines());
        self.log.describe(self.mapping, &mut known)?;
        Ok(known)
    }

    /// What the step column counts, where it does not count updates.
    fn axis(&self) -> Result<Option<Axis>, ReadError> {
        let step = Some(&self.mapping.step);
        let axis = if step == self.mapping.tokens.as_ref() {
            let stated = self.options.tokens_per_step;
            let per = stated.or(self.known()?.meta.tokens_per_step.map(|tokens| tokens.0));
            Axis { what: "tokens", per: per.unwrap_or(0), option: "[[tokens_per_step]]", is_guessed: false }
        } else if step == self.mapping.samples.as_ref() {
            let stated = self.options.samples_per_step;
            let guess = if stated.is_none() { self.known()?.guessed_batch } else { None };
            Axis {
                what: "samples",
                per: stated.or(guess).unwrap_or(0),
                option: "[[samples_per_step]]",
                is_guessed: guess.is_some(),
            }
        } else {
            return Ok(None);
        };
        if axis.per == 0 {
            return Err(ReadError::Axis {
                file: self.file.to_owned(),
                column: self.mapping.step.clone(),
                what: axis.what,
                option: axis.option,
            });
        }
        Ok(Some(axis))
    }

    /// The place of a run in `runs`; most rows belong to the run of the row before.
    fn run(&mut self, name: Option<&str>, current: usize) -> usize {
        let name = name.unwrap_or(self.name);
        if self.runs.get(current).is_some_and(|raw| raw.id == name) {
            return current;
        }
        if let Some(at) = self.runs.iter().position(|raw| raw.id == name) {
            return at;
        }
        self.runs.push(RawRun::new(self.file, name, self.log.has_lines()));
        self.runs.len() - 1
    }

    /// Hands a run on once its last row is read.
    fn row_done(
        &mut self,
        name: Option<&str>,
        axis: Option<&Axis>,
        emit: &mut dyn FnMut(RawRun) -> Result<(), ReadError>,
        current: &mut usize,
    ) -> Result<bool, ReadError> {
        let (Some(left), Some(name)) = (&mut self.left, name) else { return Ok(true) };
        if let Some(rows) = left.get_mut(name) {
            *rows -= 1;
            if *rows == 0 {
                let mut raw = self.runs.remove(*current);
                *current = 0;
                if let Some(axis) = axis {
                    axis.say(&self.mapping.step, &mut raw);
                }
                emit(raw)?;
            }
        }
        Ok(true)
    }
}

/// How the warm-ups of a manifest's runs rise, by the word that names their schedule, from rows logged during them.
///
/// # Formula
/// lr/η_max = s + (1 − s)·g(t/W) with g a straight line or half a cosine: s = (lr/η_max − g)/(1 − g), the median over up
/// to 400 rows a word; the shape is the one with the smaller median |lr/η_max − s − (1 − s)·g|. Also tried: the peak one
/// update early.
pub(super) fn rises(
    logs: &[&Group],
    stated: &Manifest,
    options: &ReadOptions,
) -> Result<BTreeMap<String, Rise>, ReadError> {
    const ENOUGH: usize = 400;
    let mut samples = BTreeMap::<String, Vec<WarmupRow>>::new();
    for entry in stated.entries().iter().filter(|entry| !entry.states_warmup_lr()) {
        samples.entry(entry.kind().to_owned()).or_default();
    }
    for group in logs {
        if samples.values().all(|samples| samples.len() >= ENOUGH) {
            break;
        }
        let Ok(log) = open(group, options) else { continue };
        let Ok(columns) = log.columns() else { continue };
        let Ok(mapping) = Mapping::guess(group.named.name(), &columns, &options.map) else { continue };
        let Some(lr) = &mapping.lr else { continue };
        let own = log.run_name().unwrap_or_else(|| stem(group.named.file_name()).to_owned());
        let mut select = vec![(mapping.step.as_str(), Want::Number), (lr, Want::Number)];
        select.extend(mapping.run.as_deref().map(|run| (run, Want::Text)));
        log.for_each_row(&select, &mut |_, cells| {
            let (Some(step), Some(lr)) = (cells[0].number(), cells[1].number()) else { return Ok(true) };
            let run = cells.get(2).and_then(Cell::text).unwrap_or(&own);
            let Some(entry) = stated.get(run) else { return Ok(true) };
            let (Some(warmup), Some(peak)) = (entry.warmup()?, entry.peak_lr()?) else { return Ok(true) };
            let done = step / warmup as f64;
            if step >= 1.0
                && done < 0.9
                && peak > 0.0
                && lr.is_finite()
                && let Some(samples) = samples.get_mut(entry.kind()).filter(|samples| samples.len() < ENOUGH)
            {
                samples.push(WarmupRow { step, warmup: warmup as f64, rate: lr / peak });
            }
            Ok(samples.values().any(|samples| samples.len() < ENOUGH))
        })?;
    }
    Ok(samples
        .into_iter()
        .filter(|(_, samples)| !samples.is_empty())
        .map(|(kind, rows)| (kind, rise(&rows)))
        .collect())
}

/// One logged row of a warm-up.
struct WarmupRow {
    step: f64,
    warmup: f64,
    /// Rate as a share of the peak.
    rate: f64,
}

fn rise(rows: &[WarmupRow]) -> Rise {
    let middle = |mut values: Vec<f64>| {
        let at = values.len() / 2;
        *values.select_nth_unstable_by(at, f64::total_cmp).1
    };
    let mut best = (f64::INFINITY, Rise::default());
    for (shape, early) in [(Shape::Linear, 0), (Shape::Cosine, 0), (Shape::Linear, 1), (Shape::Cosine, 1)] {
        let g = |row: &WarmupRow| shape.between(0.0, 1.0, row.step / (row.warmup - early as f64));
        let share =
            middle(rows.iter().map(|row| (row.rate - g(row)) / (1.0 - g(row))).collect()).clamp(0.0, 1.0);
        // Rates are often logged in single precision, and a share such as 0.01 was meant.
        let round = (share * 1e3).round() / 1e3;
        let share = if (share - round).abs() < 0.01 * round { round } else { share };
        let misfit =
            middle(rows.iter().map(|row| (row.rate - share - (1.0 - share) * g(row)).abs()).collect());
        // The simpler reading stays unless another is clearly better.
        if misfit < 0.5 * best.0 {
            best = (misfit, Rise { share, shape, early });
        }
    }
    best.1
}

/// The first update of a log that holds one run; `None` for anything else.
pub(super) fn first_step(group: &Group, options: &ReadOptions) -> Option<u64> {
    let log = open(group, options).ok()?;
    let mapping = Mapping::guess(group.named.name(), &log.columns().ok()?, &options.map).ok()?;
    if mapping.run.is_some() {
        return None;
    }
    let mut rows: Vec<(u64, f64)> = Vec::new();
    let lr = mapping.lr.as_deref()?;
    log.for_each_row(&[(&mapping.step, Want::Number), (lr, Want::Number)], &mut |_, cells| {
        if let (Some(step), Some(lr)) = (cells[0].number(), cells[1].number())
            && step > 0.0
        {
            rows.push((step as u64, lr));
        }
        Ok(rows.len() < 3)
    })
    .ok()?;
    rows.sort_by_key(|&(step, _)| step);
    // A log that still rises, or that shows its own beginning, does not say where the warm-up of others ended.
    let rising = rows.windows(2).any(|pair| pair[1].1 > 1.001 * pair[0].1);
    let steps: Vec<u64> = rows.iter().map(|&(step, _)| step).collect();
    (!rising && crate::rebuild::misses_its_past(&steps)).then(|| steps.first().copied()).flatten()
}

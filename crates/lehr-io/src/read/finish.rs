//! One run's rows → a checked curve with its schedule.

mod schedule;

pub(super) use schedule::LONGEST_WARMUP;

use super::smoothing;
use super::unsmooth::unsmooth;
use super::{LoadedRun, ReadOptions, SplitChoice};
use crate::error::{Place, ReadError};
use crate::health::Health;
use crate::import::Group;
use crate::manifest::{Manifest, Rise};
use crate::name::params_in;
use crate::note::Note;
use crate::rows::{Points, RawRun};
use crate::source::Source;
use crate::stitch::stitch;
use crate::unit::{Found, LossUnit, UnitEvidence};
use lehr::schedule::Rates;
use lehr::{Caveat, CaveatKind, Curve, LossKind, ParamCount, Params, RunMeta, Schedule, Split, Tokens};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What is known besides the rows.
#[derive(Clone)]
pub(super) struct Context<'a> {
    pub(super) options: &'a ReadOptions,
    pub(super) manifest: Option<Arc<Manifest>>,
    /// How warm-ups rise, by the manifest's word for the schedule.
    pub(super) rises: Arc<BTreeMap<String, Rise>>,
    /// First update of the earliest log of the directory.
    pub(super) first_step: FirstStep<'a>,
    /// Whether a log among those that are read shows its own beginning.
    pub(super) has_beginning: bool,
}

/// The first update of the earliest log of a directory: looked for once, when it is first asked for.
#[derive(Clone, Default)]
pub(super) struct FirstStep<'a> {
    logs: Vec<Arc<Group>>,
    options: Option<&'a ReadOptions>,
    known: Rc<OnceCell<Option<u64>>>,
}

impl<'a> FirstStep<'a> {
    pub(super) fn by_directory<'b>(
        logs: impl Iterator<Item = &'b Arc<Group>>,
        options: &'a ReadOptions,
    ) -> BTreeMap<String, Self> {
        let mut found = BTreeMap::<String, Self>::new();
        for log in logs {
            let of = found.entry(log.named.directory().to_owned()).or_default();
            of.logs.push(Arc::clone(log));
            of.options = Some(options);
        }
        found
    }

    fn get(&self) -> Option<u64> {
        *self.known.get_or_init(|| {
            let options = self.options?;
            self.logs.iter().filter_map(|log| super::tables::first_step(log, options)).min()
        })
    }
}

/// Losses that scatter by more than this from row to row, nats, are of single batches: an evaluation set is larger.
const SINGLE_BATCH: f64 = 0.01;
/// Fewer rows than this say nothing about whose losses they are.
const ENOUGH: usize = 200;
/// Fewer validation points than this do not displace a training curve.
const FEW: usize = 5;

struct Finish<'a> {
    source: &'a Source,
    context: &'a Context<'a>,
    notes: Vec<Note>,
    caveats: Vec<Caveat>,
}

pub(super) fn finish(
    mut raw: RawRun,
    source: &Source,
    context: &Context<'_>,
) -> Result<LoadedRun, ReadError> {
    let mut work = Finish { source, context, notes: Vec::new(), caveats: Vec::new() };
    for (code, message) in std::mem::take(&mut raw.notes) {
        work.note(code, &raw.id, message);
    }
    work.caveats.append(&mut raw.caveats);
    if let Some((why, hint)) = raw.refused.take() {
        return Err(ReadError::Refused { file: raw.file, why, hint });
    }
    work.rescale(&mut raw);
    work.units(&mut raw);
    work.empty_validations(&mut raw);
    for split in [Split::Train, Split::Validation, Split::Unstated] {
        let points = std::mem::take(raw.points_mut(split));
        *raw.points_mut(split) = work.clean(&raw, split, points)?;
    }
    work.unsmooth(&mut raw);
    let meta = work.meta(&raw)?;
    let split = work.choose(&raw)?;
    let rates = rates(&raw);
    let mut points = std::mem::take(raw.points_mut(split));
    work.check(&raw, &mut points)?;
    let last = points.step.last().copied().unwrap_or(0);
    let (schedule, origin) = work.schedule(&raw, &rates, last)?;
    let mut meta = RunMeta { split, ..meta };
    if split != Split::Validation && raw.train_kind != LossKind::Instant {
        meta.loss_kind = raw.train_kind;
    }
    work.rounded(&raw.id, &points.loss);
    let stored = context.manifest.as_ref().and_then(|manifest| manifest.get(&raw.id));
    if let (Split::Train, Some(kind)) = (split, stored.and_then(crate::manifest::Entry::training)) {
        meta.loss_kind = kind;
    }
    let decay = work.unknown_smoothing(&raw, &meta, &points);
    let health = Health::of(&points.step, &points.loss);
    work.caveats.extend(health.caveats(&raw.id));
    // A run that diverged changes its level, too; that is said once.
    if health.diverged.is_none() {
        let averaged = decay.is_some() || matches!(meta.loss_kind, LossKind::Ema(_));
        work.levels(&raw.id, &points, &schedule, health.noise.unwrap_or(0.0), averaged);
    }
    if let (Split::Unstated, Some(noise)) = (split, health.noise)
        && noise > SINGLE_BATCH
        && points.len() >= ENOUGH
    {
        meta.split = Split::Train;
        work.note(
            "single-batches",
            &raw.id,
            format!(
                "losses scatter by {:.0} mnat from row to row: taken as training losses of single batches",
                1e3 * noise
            ),
        );
    }
    if let Some(most) = context.options.max_points {
        points = points.at(&spread(&points.step, most));
    }
    let curve = Curve::new(meta, schedule, points.step, points.loss)
        .map_err(|error| ReadError::Curve { file: raw.file.clone(), error })?;
    if let Some(decay) = decay {
        work.caveats.push(CaveatKind::smoothed(&curve, decay).into());
    }
    Ok(LoadedRun {
        curve,
        file: raw.file,
        format: String::new(),
        mapping: None,
        schedule: origin,
        health,
        caveats: work.caveats,
        notes: work.notes,
    })
}

/// The rates of a run as its schedule is recognised in them, and what was done with them.
pub(super) fn rates_of(
    mut raw: RawRun,
    source: &Source,
    context: &Context<'_>,
) -> (Vec<(u64, f64)>, Vec<Note>) {
    let mut work = Finish { source, context, notes: Vec::new(), caveats: Vec::new() };
    for (code, message) in std::mem::take(&mut raw.notes) {
        work.note(code, &raw.id, message);
    }
    work.rescale(&mut raw);
    (rates(&raw), work.notes)
}

/// All logged rates in order of the updates, one an update.
fn rates(raw: &RawRun) -> Vec<(u64, f64)> {
    let mut rates: Vec<(u64, f64)> = raw.rates.clone();
    for points in [&raw.train, &raw.validation, &raw.unstated] {
        rates.extend(
            points.step.iter().copied().zip(points.lr.iter().copied()).filter(|(_, lr)| lr.is_finite()),
        );
    }
    rates.retain(|&(step, _)| step > 0);
    rates.sort_by_key(|&(step, _)| step);
    rates.dedup_by_key(|&mut (step, _)| step);
    rates
}

/// At most `most` indices, evenly over the updates, the last always among them.
fn spread(step: &[u64], most: usize) -> Vec<usize> {
    let n = step.len();
    if n <= most || most == 0 {
        return (0..n).collect();
    }
    let (first, last) = (step[0] as f64, step[n - 1] as f64);
    let mut index: Vec<usize> = (1..=most)
        .map(|k| {
            let wanted = first + (last - first) * k as f64 / most as f64;
            let at = step.partition_point(|&t| (t as f64) < wanted).min(n - 1);
            if at > 0 && wanted - step[at - 1] as f64 <= step[at] as f64 - wanted { at - 1 } else { at }
        })
        .collect();
    index.dedup();
    index
}

impl Finish<'_> {
    fn note(&mut self, code: &str, about: &str, message: impl Into<String>) {
        self.notes.push(Note::new(code, about, message));
    }

    fn place(raw: &RawRun, at: u32) -> Place {
        match at {
            0 => Place::File,
            at if raw.lines => Place::Line(at.into()),
            at => Place::Row(at.into()),
        }
    }

    /// Without rows of update 0, restarts put together.
    fn clean(&mut self, raw: &RawRun, split: Split, points: Points) -> Result<Points, ReadError> {
        if points.is_empty() {
            return Ok(points);
        }
        let word = split_word(split);
        let after: Vec<usize> = (0..points.len()).filter(|&i| points.step[i] > 0).collect();
        let dropped = points.len() - after.len();
        let points = if dropped > 0 { points.at(&after) } else { points };
        let points = self.by_time(raw, word, points);
        if dropped > 0 {
            self.note(
                "before-first-update",
                &raw.id,
                format!(
                    "{dropped} {word} row{} of update 0, before any update, left out",
                    if dropped == 1 { "" } else { "s" }
                ),
            );
        }
        let stitched =
            stitch(&points.step, &points.loss, &points.lr, self.context.options.stitch).map_err(|mixed| {
                ReadError::MixedRuns {
                    file: raw.file_of(points.step[mixed.row]).to_owned(),
                    place: Self::place(raw, points.place[mixed.row]),
                    run: raw.id.clone(),
                    problem: mixed.problem,
                }
            })?;
        if !stitched.changed() {
            return Ok(points);
        }
        self.note("stitched", &raw.id, format!("{word} rows: {stitched}"));
        Ok(points.at(&stitched.keep))
    }

    /// Rows that go back in order of the clock, where the log has one: attempts stand one after the other in it,
    /// whatever the order of files and rows.
    fn by_time(&mut self, raw: &RawRun, word: &str, points: Points) -> Points {
        let n = points.len();
        let goes_back = points.step.windows(2).any(|pair| pair[1] <= pair[0]);
        if !goes_back || points.time.len() != n || points.time.iter().any(|time| !time.is_finite()) {
            return points;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| points.time[a].total_cmp(&points.time[b]));
        if order.windows(2).all(|pair| pair[0] < pair[1]) {
            return points;
        }
        self.note(
            "by-wall-time",
            &raw.id,
            format!("{word} rows are put in the order in which they were written, by the log's own clock"),
        );
        points.at(&order)
    }

    /// Losses in nats, whatever unit the log holds them in.
    fn units(&mut self, raw: &mut RawRun) {
        let stated = self.context.options.unit.map(|unit| Found { unit, why: "as stated".to_owned() });
        let mut of = |evidence: &UnitEvidence| match evidence.unit(&raw.id) {
            _ if stated.is_some() => stated.clone(),
            Ok(found) => found,
            Err(caveat) => {
                self.caveats.push(caveat.into());
                None
            }
        };
        let training = of(&raw.unit);
        let validation = if raw.validation_unit.column.is_empty() { None } else { of(&raw.validation_unit) };
        // One logger writes both in one unit; nats are what is assumed where nothing speaks.
        let both =
            [(training.clone().or_else(|| validation.clone()), false), (validation.or(training), true)];
        for (found, of_validation) in both {
            let Some(found) = found.filter(|found| found.unit != LossUnit::Nats) else { continue };
            let scale = found.unit.nats();
            let splits: &[Split] =
                if of_validation { &[Split::Validation] } else { &[Split::Train, Split::Unstated] };
            let mut any = false;
            for &split in splits {
                let points = raw.points_mut(split);
                points.loss.iter_mut().for_each(|loss| *loss *= scale);
                any |= !points.is_empty();
            }
            if !any {
                continue;
            }
            let word = if of_validation { "validation losses" } else { "losses" };
            self.note(
                "unit",
                &raw.id,
                format!("{word} are {} ({}): turned into nats", found.unit.name(), found.why),
            );
            let per_byte: Caveat = CaveatKind::LossPerByte { run: raw.id.clone() }.into();
            if found.unit == LossUnit::BitsPerByte && !self.caveats.contains(&per_byte) {
                self.caveats.push(per_byte);
            }
        }
    }

    /// Validation losses written as NaN where there was no validation, beside the training losses of every row.
    fn empty_validations(&mut self, raw: &mut RawRun) {
        let points = &raw.validation;
        let rows: Vec<usize> = (0..points.len()).filter(|&i| !points.loss[i].is_nan()).collect();
        let (all, empty) = (points.len(), points.len() - rows.len());
        let beside = raw.train.len() + raw.unstated.len();
        // A run that diverged has NaN in its training losses, too, and more validations before that.
        if rows.is_empty() || 2 * empty <= all || beside < all {
            return;
        }
        raw.validation = points.at(&rows);
        self.note(
            "empty-validations",
            &raw.id,
            format!("{empty} of {all} rows hold NaN for the validation loss: taken as rows without one"),
        );
    }

    /// Changes of level that no schedule makes, and a last point of another kind. What is averaged changes its level over
    /// many rows, and its noise wanders: small breaks are not looked for in it.
    fn levels(&mut self, id: &str, points: &Points, schedule: &Schedule, noise: f64, averaged: bool) {
        /// A rate that changes by less than this share of the peak does not change the level of the loss.
        const STEADY: f64 = 0.02;
        let rates = Rates::new(schedule);
        let peak = schedule.peak_lr();
        let rate = |t: u64| rates.at(t.clamp(1, rates.total()));
        let steady = |from: u64, to: u64| !averaged && (rate(from) - rate(to)).abs() <= STEADY * peak;
        let breaks = crate::health::level_breaks(&points.step, &points.loss, noise, &steady);
        self.caveats.extend(breaks.into_iter().map(|(before, after)| {
            Caveat::from(CaveatKind::LevelBreak { run: id.to_owned(), before, after })
        }));
        if let (Some(jump), Some(&update)) =
            (crate::health::last_jump(&points.step, &points.loss, noise), points.step.last())
        {
            self.caveats.push(CaveatKind::LastPointJumps { run: id.to_owned(), update, jump, noise }.into());
        }
    }

    /// The decay of a training loss that is a moving average although no name states its decay: 0 where it cannot be
    /// told, `None` where the loss is none.
    fn unknown_smoothing(&self, raw: &RawRun, meta: &RunMeta, points: &Points) -> Option<f64> {
        if meta.split == Split::Validation || meta.loss_kind != LossKind::Instant {
            return None;
        }
        let found = smoothing::decay(&points.step, &points.loss);
        if raw.smoothed { Some(found.unwrap_or(0.0)) } else { found }
    }

    /// Multiples of a peak turned into rates.
    fn rescale(&mut self, raw: &mut RawRun) {
        let given = self.context.options.lr_scale.map(|scale| (scale, "stated".to_owned()));
        if given.is_none() && !raw.multiplier {
            return;
        }
        let stated = given.is_some();
        let Some((scale, from)) = given.or_else(|| raw.base_lr.clone()) else {
            self.caveats.push(CaveatKind::LrMultiplier { run: raw.id.clone(), scale: None }.into());
            return;
        };
        let rates = raw.rates.iter_mut().map(|(_, lr)| lr);
        rates
            .chain(&mut raw.train.lr)
            .chain(&mut raw.validation.lr)
            .chain(&mut raw.unstated.lr)
            .for_each(|lr| *lr *= scale);
        if stated {
            return self.note("lr-scale", &raw.id, format!("logged rates are multiplied by {scale}"));
        }
        self.caveats
            .push(CaveatKind::LrMultiplier { run: raw.id.clone(), scale: Some((from, scale)) }.into());
    }

    /// Moving averages undone where rows are dense enough.
    fn unsmooth(&mut self, raw: &mut RawRun) {
        if let Some(kind) = self.context.options.loss_kind {
            raw.train_kind = kind;
        }
        let LossKind::Ema(decay) = raw.train_kind else { return };
        // A restart begins the average anew, and what was rolled back is still in it.
        let whole = !self.notes.iter().any(|note| note.code == "stitched");
        let split = if raw.train.is_empty() { Split::Unstated } else { Split::Train };
        match whole.then(|| unsmooth(raw.points(split), decay)).flatten() {
            Some((points, kind)) => {
                *raw.points_mut(split) = points;
                raw.train_kind = kind;
                let what = match kind {
                    LossKind::IntervalMean(k) => format!("means of {k} updates"),
                    _ => "losses of single updates".to_owned(),
                };
                self.note("average-undone", &raw.id, format!("the moving average (decay {decay}) is undone: {what}"));
            }
            None => self.note(
                "average-kept",
                &raw.id,
                format!("the moving average (decay {decay}) stays: the log is too sparse, or was restarted, to undo it"),
            ),
        }
    }

    /// What the counts of samples or tokens say about the batch.
    fn pace(&mut self, raw: &RawRun, meta: &mut RunMeta) {
        let Some(pace) = raw.pace.filter(|pace| pace.low.is_finite()) else { return };
        let said = |caveat: &Caveat| matches!(caveat.kind(), CaveatKind::BatchRamp { .. });
        if pace.constant().is_none() && !self.caveats.iter().any(said) {
            self.caveats.push(
                CaveatKind::BatchRamp {
                    run: raw.id.clone(),
                    least: pace.low,
                    most: pace.high,
                    tokens: raw.pace_of_tokens,
                }
                .into(),
            );
        }
        if let Some(tokens) = pace.constant().filter(|tokens| raw.pace_of_tokens && tokens.fract() == 0.0)
            && meta.tokens_per_step.is_none()
        {
            meta.tokens_per_step = Some(Tokens(tokens as u64));
        }
    }

    /// Losses written with two digits hide what a schedule changes.
    fn rounded(&mut self, id: &str, loss: &[f64]) {
        const ENOUGH: usize = 20;
        if loss.len() >= ENOUGH
            && loss.iter().all(|loss| (100.0 * loss - (100.0 * loss).round()).abs() < 1e-6)
        {
            self.caveats.push(CaveatKind::RoundedLosses { run: id.to_owned() }.into());
        }
    }

    /// Losses that cannot be fitted: an error, or left out where the user asked for it.
    fn check(&mut self, raw: &RawRun, points: &mut Points) -> Result<(), ReadError> {
        self.silent_end(raw, points);
        let good: Vec<usize> =
            (0..points.len()).filter(|&i| points.loss[i].is_finite() && points.loss[i] > 0.0).collect();
        let count = points.len() - good.len();
        if count == 0 {
            return Ok(());
        }
        let is_bad = |&i: &usize| !(points.loss[i].is_finite() && points.loss[i] > 0.0);
        let first = (0..points.len()).find(is_bad).unwrap_or_default();
        if !self.context.options.drop_nan || good.is_empty() {
            return Err(ReadError::Loss {
                file: raw.file_of(points.step[first]).to_owned(),
                place: Self::place(raw, points.place[first]),
                run: raw.id.clone(),
                step: points.step[first],
                loss: points.loss[first],
                count,
            });
        }
        let tail = (0..points.len()).rev().take_while(|i| is_bad(i)).count();
        self.caveats.push(
            CaveatKind::LossLeftOut {
                run: raw.id.clone(),
                rows: count as u64,
                first: points.step[first],
                tail: tail as u64,
            }
            .into(),
        );
        *points = points.at(&good);
        Ok(())
    }

    /// Rows at the end that have a rate and no loss, more of them than lie between two losses before.
    fn silent_end(&mut self, raw: &RawRun, points: &Points) {
        let (Some(&last), Some(end)) = (points.step.last(), raw.rates.iter().map(|(step, _)| *step).max())
        else {
            return;
        };
        let between = points.step.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        let rows = raw.rates.iter().filter(|(step, _)| *step > last).count();
        if rows >= 3 && end.saturating_sub(last) > 2 * between.unwrap_or(0) {
            self.note(
                "no-loss-at-the-end",
                &raw.id,
                format!(
                    "the last loss is of update {last}; {rows} more rows, up to update {end}, have a rate and no loss: whether the run diverged there is not seen"
                ),
            );
        }
    }

    fn choose(&mut self, raw: &RawRun) -> Result<Split, ReadError> {
        let has = |split| !raw.points(split).is_empty();
        let asked = match self.context.options.split {
            // Losses whose split no name states are what there is of a training.
            SplitChoice::Train if !has(Split::Train) && has(Split::Unstated) => Split::Unstated,
            SplitChoice::Train => Split::Train,
            SplitChoice::Validation => Split::Validation,
            SplitChoice::Auto => {
                let rest = if has(Split::Unstated) { Split::Unstated } else { Split::Train };
                let few = raw.validation.len() < FEW && raw.points(rest).len() > raw.validation.len();
                if has(Split::Validation) && few {
                    self.note(
                        "few-validation-points",
                        &raw.id,
                        format!(
                            "only {} validation points; the {} losses are used",
                            raw.validation.len(),
                            split_word(rest)
                        ),
                    );
                }
                if has(Split::Validation) && !few { Split::Validation } else { rest }
            }
        };
        if has(asked) {
            return Ok(asked);
        }
        let all: Vec<&str> = [Split::Train, Split::Validation, Split::Unstated]
            .into_iter()
            .filter(|&split| has(split))
            .map(split_word)
            .collect();
        if all.is_empty() {
            return Err(ReadError::NoPoint { file: raw.file.clone(), run: raw.id.clone() });
        }
        Err(ReadError::NoSplit {
            file: raw.file.clone(),
            run: raw.id.clone(),
            split: split_word(asked),
            has: all.join(" and "),
        })
    }

    fn meta(&mut self, raw: &RawRun) -> Result<RunMeta, ReadError> {
        let options = self.context.options;
        let mut meta = RunMeta { id: raw.id.clone(), ..raw.meta.clone() };
        let entry = self.context.manifest.as_ref().map(|manifest| manifest.get(&raw.id));
        match entry {
            Some(Some(entry)) => entry.describe(&mut meta, options.params_column.as_deref())?,
            Some(None) => self.note("not-in-manifest", &raw.id, "the manifest does not name this run"),
            None => {}
        }
        let complete = entry.flatten().is_some_and(crate::manifest::Entry::is_complete);
        if meta.params.is_none() && options.params.is_none() && !complete {
            let parts = self.source.parts();
            let directories = &parts[..parts.len().saturating_sub(1)];
            let named = directories
                .iter()
                .chain(&raw.id.split('/').collect::<Vec<_>>())
                .rev()
                .find_map(|part| params_in(part).map(|params| ((*part).to_owned(), params)));
            if let Some((part, params)) = named {
                meta.params = Some(Params(params));
                self.notes.push(Note::new(
                    "params-from-path",
                    self.source.directory(),
                    format!(
                        "N = {params} taken from the directory's name '{part}' ([[params]] says otherwise)"
                    ),
                ));
            }
        }
        if let Some(params) = options.params {
            meta.params = Some(Params(params));
            meta.active_params = None;
            meta.counted = ParamCount::Unstated;
        }
        self.pace(raw, &mut meta);
        if meta.tokens_per_step.is_none() {
            meta.tokens_per_step = options.tokens_per_step.map(Tokens);
        }
        Ok(meta)
    }
}

fn split_word(split: Split) -> &'static str {
    match split {
        Split::Train => "training",
        Split::Validation => "validation",
        Split::Unstated => "loss",
    }
}

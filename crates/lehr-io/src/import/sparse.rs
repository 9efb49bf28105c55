//! Rows in which most columns are empty, and what a source knows besides.

use super::Log;
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Mapping, Role, is_smoothed, is_wanted, smoothing_decay};
use crate::rows::RawRun;
use crate::table::{Cell, TableEnd, Visit, Want};
use lehr::{Caveat, CaveatKind, LossKind, Params, Steps, Tokens};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What one logged training loss stands for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum LossRule {
    /// The update's own loss.
    #[default]
    Instant,
    /// The mean since the row before.
    SinceLastRow,
    /// A moving average with this decay.
    Ema(f64),
}

/// What a source knows besides its rows.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Smallest and largest batch in samples, where it grew during the run.
    pub batch_ramp: Option<(f64, f64)>,
    /// The run's name.
    pub name: Option<String>,
    /// Its configuration, flat: names joined with `/`.
    pub config: BTreeMap<String, String>,
    /// What a training loss stands for.
    pub loss: LossRule,
    /// The horizon.
    pub total: Option<u64>,
    /// Samples an update, guessed from the log, where it counts samples and states no batch.
    pub guessed_batch: Option<u64>,
    /// Whether the scheduler is asked for update t − 1 when update t is done, as Hugging Face's is.
    pub rates_of_before: bool,
    /// What the importer has to say.
    pub notes: Vec<(&'static str, String)>,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
    /// Why the losses must not be fitted: reason, way out.
    pub refused: Option<(String, String)>,
    /// A last record that was cut off while it was written.
    pub cut_off: Option<u64>,
}

/// A log held in memory: only the columns that can play a role, only the cells that are there.
#[derive(Debug)]
pub struct Sparse {
    kind: &'static str,
    lines: bool,
    map: MapOverrides,
    names: Vec<String>,
    /// Index of a name, and whether its values are kept.
    index: HashMap<String, (u32, bool)>,
    /// Names seen lately, by a digest of the name: index and whether its values are kept.
    recent: Vec<Option<(u32, bool)>>,
    /// The names of the row before, by their place in it.
    order: Vec<Option<(u32, bool)>>,
    /// Place of each row, and where its cells begin.
    rows: Vec<(u32, u32)>,
    cells: Vec<(u32, f64)>,
    /// Seconds of the clock of each row; empty where the log has none.
    times: Vec<f64>,
    /// Columns of text: their cells hold places in `texts`.
    labels: BTreeSet<u32>,
    texts: Vec<String>,
    text_at: HashMap<String, u32>,
    /// What is known besides.
    pub facts: Facts,
}

/// Name of the column of times.
const TIME: &str = "wall_time";
/// Names found again without a look into the whole index.
const RECENT: usize = 256;
/// Places of a row whose names are remembered.
const LONGEST_ROW: usize = 1024;
/// More names than any tracker writes; a guard against broken files.
const MOST_NAMES: usize = 100_000;

impl Sparse {
    /// An empty log of this kind.
    #[must_use]
    pub fn new(kind: &'static str, lines: bool, map: &MapOverrides) -> Self {
        Self {
            kind,
            lines,
            map: map.clone(),
            names: Vec::new(),
            index: HashMap::new(),
            recent: vec![None; RECENT],
            order: Vec::new(),
            rows: Vec::new(),
            cells: Vec::new(),
            times: Vec::new(),
            labels: BTreeSet::new(),
            texts: Vec::new(),
            text_at: HashMap::new(),
            facts: Facts::default(),
        }
    }

    /// Begins a row that stands at `place` (line, row or offset).
    pub fn row(&mut self, place: u64) {
        self.rows.push((u32::try_from(place).unwrap_or(u32::MAX), self.cells.len() as u32));
    }

    /// Begins a row that was written at a time of the clock, seconds; a log has such rows alone, or none.
    pub fn row_at(&mut self, place: u64, time: f64) {
        self.row(place);
        self.times.push(time);
    }

    /// Whether every row has its time.
    fn has_times(&self) -> bool {
        !self.times.is_empty() && self.times.len() == self.rows.len()
    }

    /// Whether the values of a column are kept; learns the name.
    pub fn wants(&mut self, name: &str) -> Option<u32> {
        let digest = digest(name.as_bytes());
        if let Some((at, kept)) = self.recent[digest]
            && self.names[at as usize] == name
        {
            return kept.then_some(at);
        }
        if let Some(&(at, kept)) = self.index.get(name) {
            self.recent[digest] = Some((at, kept));
            return kept.then_some(at);
        }
        if self.names.len() >= MOST_NAMES {
            return None;
        }
        let at = self.names.len() as u32;
        let kept = is_wanted(name, &self.map);
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), (at, kept));
        kept.then_some(at)
    }

    /// Whether the values of a column are kept, if the name stood at the same place of a row before.
    pub fn wants_again(&self, place: usize, name: &[u8]) -> Option<Option<u32>> {
        let (at, kept) = (*self.order.get(place)?)?;
        (self.names[at as usize].as_bytes() == name).then(|| kept.then_some(at))
    }

    /// As [`wants`](Self::wants), and remembers the name at its place in the row.
    pub fn wants_at(&mut self, place: usize, name: &str) -> Option<u32> {
        let wanted = self.wants(name);
        if place < LONGEST_ROW {
            if self.order.len() <= place {
                self.order.resize(place + 1, None);
            }
            self.order[place] = self.index.get(name).copied();
        }
        wanted
    }

    /// Puts a value into the current row.
    pub fn put(&mut self, name: &str, value: f64) {
        if let Some(at) = self.wants(name) {
            self.put_at(at, value);
        }
    }

    /// Puts a value into the current row, under the index that [`wants`](Self::wants) gave.
    pub fn put_at(&mut self, at: u32, value: f64) {
        self.cells.push((at, value));
    }

    /// Puts a text into the current row: the run or the split that it belongs to. Such a column holds texts alone.
    pub fn put_text(&mut self, name: &str, text: &str) {
        self.wants(name);
        let Some(&(at, _)) = self.index.get(name) else { return };
        let place = match self.text_at.get(text) {
            Some(&place) => place,
            None => {
                let place = self.texts.len() as u32;
                self.texts.push(text.to_owned());
                self.text_at.insert(text.to_owned(), place);
                place
            }
        };
        self.labels.insert(at);
        self.cells.push((at, f64::from(place)));
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// A place among the recent names: length, first, middle and last byte.
fn digest(name: &[u8]) -> usize {
    let byte = |at: usize| name.get(at).copied().map_or(0, usize::from);
    let n = name.len();
    (n.wrapping_mul(31) ^ byte(0) ^ byte(n / 2).wrapping_mul(7) ^ byte(n.wrapping_sub(1)).wrapping_mul(13))
        % RECENT
}

impl Log for Sparse {
    fn kind(&self) -> String {
        self.kind.to_owned()
    }

    fn has_lines(&self) -> bool {
        self.lines
    }

    fn run_name(&self) -> Option<String> {
        self.facts.name.clone()
    }

    fn columns(&self) -> Result<Vec<String>, ReadError> {
        Ok(self
            .names
            .iter()
            .map(String::as_str)
            .chain(self.has_times().then_some(TIME))
            .map(str::to_owned)
            .collect())
    }

    fn for_each_row(&self, select: &[(&str, Want)], visit: &mut Visit<'_>) -> Result<TableEnd, ReadError> {
        let wanted: Vec<Option<(u32, bool)>> = select
            .iter()
            .map(|(name, _)| self.index.get(*name).map(|&(at, _)| (at, self.labels.contains(&at))))
            .collect();
        let time = select.iter().position(|(name, _)| *name == TIME).filter(|_| self.has_times());
        let mut cells = vec![Cell::Missing; select.len()];
        for (i, &(place, from)) in self.rows.iter().enumerate() {
            let to = self.rows.get(i + 1).map_or(self.cells.len(), |&(_, next)| next as usize);
            cells.fill(Cell::Missing);
            for &(at, value) in &self.cells[from as usize..to] {
                for (cell, wanted) in cells.iter_mut().zip(&wanted) {
                    match *wanted {
                        Some((column, true)) if column == at => {
                            *cell =
                                self.texts.get(value as usize).map_or(Cell::Missing, |text| Cell::Text(text));
                        }
                        Some((column, false)) if column == at => *cell = Cell::Number(value),
                        _ => {}
                    }
                }
            }
            if let Some(at) = time {
                cells[at] = Cell::Number(self.times[i]);
            }
            let place = if self.lines { Place::Line(place.into()) } else { Place::Row(place.into()) };
            if !visit(place, &cells)? {
                break;
            }
        }
        Ok(TableEnd { cut_off: self.facts.cut_off })
    }

    fn describe(&self, mapping: &Mapping, raw: &mut RawRun) -> Result<(), ReadError> {
        let facts = &self.facts;
        raw.notes.extend(facts.notes.iter().cloned());
        raw.caveats.extend(facts.caveats.iter().cloned());
        raw.caveats.extend(facts.batch_ramp.map(|(least, most)| {
            Caveat::from(CaveatKind::BatchRamp { run: raw.id.clone(), least, most, tokens: false })
        }));
        raw.refused.clone_from(&facts.refused);
        raw.rates_of_before = facts.rates_of_before;
        raw.train_kind = match facts.loss {
            LossRule::Instant => LossKind::Instant,
            LossRule::Ema(decay) => LossKind::Ema(decay),
            LossRule::SinceLastRow => {
                interval(training(raw)).map_or(LossKind::Instant, LossKind::IntervalMean)
            }
        };
        raw.total = facts.total;
        raw.guessed_batch = facts.guessed_batch;
        from_config(&facts.config, raw);
        by_names(mapping, &self.names, raw);
        Ok(())
    }
}

/// Updates of the training losses: those whose split no name states where no other losses are there.
fn training(raw: &RawRun) -> &[u64] {
    if raw.train.is_empty() { &raw.unstated.step } else { &raw.train.step }
}

/// The usual distance of two rows, if it is more than one update.
fn interval(step: &[u64]) -> Option<Steps> {
    let mut gaps: Vec<u64> =
        step.windows(2).filter(|pair| pair[1] > pair[0]).map(|pair| pair[1] - pair[0]).collect();
    if gaps.is_empty() {
        return None;
    }
    let middle = gaps.len() / 2;
    let (_, &mut gap, _) = gaps.select_nth_unstable(middle);
    (gap > 1).then_some(Steps(gap))
}

/// Whether the columns are those that the Hugging Face Trainer gives to a tracker that keeps the step apart (TensorBoard,
/// MLflow): loss, rate and epoch in one group, or beside the speed that only it writes under these names.
fn are_of_hf(columns: &[String]) -> bool {
    const SPEED: [&str; 5] = [
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "eval_samples_per_second",
        "total_flos",
    ];
    let has = |name: &str| columns.iter().any(|column| column == name);
    let all = |names: [&str; 3]| names.into_iter().all(has);
    all(["train/loss", "train/learning_rate", "train/epoch"])
        || all(["loss", "learning_rate", "epoch"]) && SPEED.into_iter().any(has)
}

/// What the names of the columns themselves tell: those of the mapping, and `columns` beside them where the source names
/// what it keeps.
pub(super) fn by_names(mapping: &Mapping, columns: &[String], raw: &mut RawRun) {
    if let Some(name) = mapping.loss.as_deref().filter(|name| is_smoothed(name))
        && raw.train_kind == LossKind::Instant
    {
        match smoothing_decay(name) {
            Some(decay) => {
                raw.train_kind = LossKind::Ema(decay);
                raw.notes.push(("loss-kind", format!("'{name}' states a moving average with decay {decay}")));
            }
            None => raw.smoothed = true,
        }
    }
    if mapping.lr.as_deref().is_some_and(|name| name.ends_with("lrm")) {
        raw.multiplier = true;
        // nanochat writes a moving average (decay 0.9 an update, debiased) next to the multiplier, and counts updates
        // from 0: the row of step t is written after update t + 1.
        if mapping.loss.as_deref() == Some("train/loss") && raw.train_kind == LossKind::Instant {
            raw.train_kind = LossKind::Ema(0.9);
            raw.notes.push((
                "loss-kind",
                "the training loss is a moving average with decay 0.9 (nanochat)".to_owned(),
            ));
            if training(raw).iter().chain(raw.rates.iter().map(|(step, _)| step)).any(|&step| step == 0) {
                raw.train
                    .step
                    .iter_mut()
                    .chain(raw.unstated.step.iter_mut())
                    .chain(raw.rates.iter_mut().map(|(step, _)| step))
                    .for_each(|step| *step += 1);
                raw.notes.push((
                    "counted-from-0",
                    "steps are counted from 0; update t is step t − 1 (nanochat)".to_owned(),
                ));
            }
        }
    }
    // LLaMA-Factory's trainer_log.jsonl copies the Hugging Face Trainer's rows.
    let of_hf = mapping.step == "current_steps"
        || (matches!(mapping.step.as_str(), "train/global_step" | "global_step" | "train.global_step")
            || are_of_hf(columns))
            && matches!(
                mapping.lr.as_deref(),
                Some("train/learning_rate" | "learning_rate" | "train.learning_rate")
            )
            && matches!(mapping.loss.as_deref(), Some("train/loss" | "loss" | "train.loss"));
    raw.rates_of_before |= of_hf;
    if raw.train_kind == LossKind::Instant
        && of_hf
        && let Some(gap) = interval(training(raw))
    {
        raw.train_kind = LossKind::IntervalMean(gap);
        raw.notes.push((
            "loss-kind",
            format!("columns of the Hugging Face Trainer: the training loss is the mean over {gap} updates"),
        ));
    }
}

/// N, batch and seed, where the configuration has them under a known name.
pub(super) fn from_config(config: &BTreeMap<String, String>, raw: &mut RawRun) {
    let number = |names: &[&str]| {
        names.iter().find_map(|name| {
            config
                .iter()
                .find(|(key, _)| {
                    key.rsplit(['/', '.']).next().is_some_and(|last| last.eq_ignore_ascii_case(name))
                })
                .and_then(|(_, value)| value.trim_matches('"').parse::<f64>().ok())
                .filter(|value| *value >= 1.0 && value.fract() == 0.0 && *value < 1e18)
                .map(|value| value as u64)
        })
    };
    if raw.meta.params.is_none() {
        raw.meta.params = number(&[
            "n_params",
            "num_params",
            "num_parameters",
            "total_params",
            "parameter_count",
            "model_params",
        ])
        .map(Params);
    }
    if raw.meta.tokens_per_step.is_none() {
        let length = number(&[
            "seq_length",
            "seq_len",
            "max_seq_len",
            "sequence_length",
            "block_size",
            "context_length",
        ]);
        let batch =
            number(&["global_batch_size", "train_batch_size_global", "device_train_batch_size_global"]);
        raw.meta.tokens_per_step =
            number(&["tokens_per_step", "tokens_per_update", "global_batch_size_tokens"])
                .or_else(|| length?.checked_mul(batch?))
                .map(Tokens);
    }
    if raw.base_lr.is_none() {
        // The rate that a multiplier multiplies; nanochat has one for each kind of parameter.
        raw.base_lr = ["matrix_lr", "learning_rate", "peak_lr", "max_lr", "lr"].iter().find_map(|name| {
            let value = config.get(*name)?.trim_matches('"').parse::<f64>().ok()?;
            (value > 0.0 && value < 10.0).then(|| (value, (*name).to_owned()))
        });
    }
    if raw.meta.seed.is_none() {
        raw.meta.seed = number(&["seed"]);
    }
    if raw.total.is_none() {
        raw.total = number(&[
            "max_steps",
            "train_iters",
            "total_steps",
            "num_iterations",
            "max_iters",
            "total_updates",
        ]);
    }
}

/// Whether a column that should not change does: its smallest and largest value.
pub(super) fn range_of(log: &Sparse, name: &str) -> Option<(f64, f64)> {
    let &(at, _) = log.index.get(name)?;
    let mut range: Option<(f64, f64)> = None;
    for &(_, value) in log.cells.iter().filter(|(column, value)| *column == at && value.is_finite()) {
        range = Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
    }
    range
}

/// A caveat where the batch grew during the run.
pub(super) fn flag_batch_ramp(log: &mut Sparse, name: &str) {
    if let Some((low, high)) = range_of(log, name).filter(|(low, high)| low < high) {
        log.facts.batch_ramp = Some((low, high));
    }
}

/// Whether a name plays the role.
pub(super) fn plays(role: Role, name: &str) -> bool {
    crate::mapping::guess(role, std::slice::from_ref(&name.to_owned())).is_some()
}

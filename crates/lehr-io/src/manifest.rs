//! Manifests: a table or a TOML file that says of each run what its log does not.

mod finals;

use crate::error::{Place, ReadError};
use crate::run_store::StoreManifest;
use crate::source::Source;
use crate::table::{self, Cell, Want, delimited::is_missing, shortened};
use lehr::{
    Arch, BranchPoint, LossKind, ParamCount, Params, RunMeta, Schedule, ScheduleError, Shape, Split, Steps,
    Tokens, WsdSpec,
};
use std::collections::BTreeMap;
use std::io::Read;

/// What a manifest says about one run: values by name, as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The run's name.
    pub id: String,
    file: String,
    place: Place,
    values: BTreeMap<String, String>,
    schedule: Option<Schedule>,
    /// What one training loss stands for, in a run store that holds them besides the losses of `meta`.
    training: Option<LossKind>,
    /// Everything about the run, in a run store.
    meta: Option<RunMeta>,
}

/// A manifest: entries by run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
    by_id: BTreeMap<String, usize>,
    /// What holds for every run that the manifest does not name, where it names none.
    defaults: Option<Entry>,
}

/// How a warm-up rises.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rise {
    /// Share of the peak at which it starts.
    pub share: f64,
    /// Its shape; the manifest's schedules have straight ones unless the log says otherwise.
    pub shape: Shape,
    /// Updates by which the peak comes before the stated warm-up's end: 1 where a trainer counts from 0.
    pub early: u64,
}

const ID: [&str; 4] = ["run_id", "run", "id", "name"];

/// What errors call the run of defaults that stand alone.
const EVERY: &str = "defaults";

/// Largest manifest that is read.
const LARGEST: u64 = 256 << 20;

impl Manifest {
    /// Whether a file of this name is taken for a manifest.
    #[must_use]
    pub fn is_named_so(file_name: &str) -> bool {
        matches!(file_name.to_lowercase().as_str(), "manifest.csv" | "manifest.tsv" | "manifest.toml")
    }

    /// Reads a manifest: TOML by its name, else a table with one row a run.
    ///
    /// # Errors
    /// [`ReadError`]: no column for the run's name, a run named twice, broken structure.
    pub fn read(source: &Source) -> Result<Self, ReadError> {
        if source.file_name().to_lowercase().ends_with(".toml") {
            return Self::read_toml(source);
        }
        let file = source.name();
        let head = source.head(table::HEAD).map_err(ReadError::io(file))?;
        let format = table::sniff(&head).ok_or_else(|| ReadError::Unrecognised {
            file: file.to_owned(),
            found: "no table".to_owned(),
            expected: "a manifest: CSV with one row a run, or TOML",
        })?;
        let columns = table::columns(source, format)?;
        let lower: Vec<String> = columns.iter().map(|column| column.trim().to_lowercase()).collect();
        let id = ID.iter().find_map(|id| lower.iter().position(|column| column == id)).ok_or_else(|| {
            ReadError::MissingColumn { file: file.to_owned(), role: "run", columns: columns.clone() }
        })?;
        let select: Vec<(&str, Want)> = columns.iter().map(|column| (column.as_str(), Want::Text)).collect();
        let mut manifest = Self::default();
        table::for_each_row(source, format, &select, &mut |place, cells| {
            let Some(name) = cells[id].text() else {
                return Err(ReadError::Value {
                    file: file.to_owned(),
                    place,
                    what: format!("column '{}'", columns[id]),
                    found: "empty".to_owned(),
                    expected: "the run's name".to_owned(),
                });
            };
            let values = lower
                .iter()
                .zip(cells)
                .filter_map(|(column, cell)| match cell {
                    Cell::Text(text) => Some((column.clone(), (*text).to_owned())),
                    _ => None,
                })
                .collect();
            manifest.add(Entry {
                id: name.to_owned(),
                file: file.to_owned(),
                place,
                values,
                schedule: None,
                training: None,
                meta: None,
            })?;
            Ok(true)
        })?;
        Ok(manifest)
    }

    fn read_toml(source: &Source) -> Result<Self, ReadError> {
        let file = source.name();
        let mut text = String::new();
        source
            .open()
            .map_err(ReadError::io(file))?
            .take(LARGEST)
            .read_to_string(&mut text)
            .map_err(ReadError::io(file))?;
        let document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count() as u64);
            ReadError::Broken {
                file: file.to_owned(),
                place: Place::Line(line),
                problem: format!("not valid TOML: {}", error.message()),
            }
        })?;
        let table = |value: &toml::Value, what: &str| {
            value.as_table().cloned().ok_or_else(|| ReadError::Broken {
                file: file.to_owned(),
                place: Place::File,
                problem: format!("{what} is {}; expected a table", value.type_str()),
            })
        };
        let defaults =
            document.get("defaults").map(|value| table(value, "'defaults'")).transpose()?.unwrap_or_default();
        let mut runs: Vec<(String, toml::Table)> = Vec::new();
        if let Some(value) = document.get("runs") {
            for (id, value) in &table(value, "'runs'")? {
                runs.push((id.clone(), table(value, &format!("'runs.{id}'"))?));
            }
        }
        if let Some(toml::Value::Array(list)) = document.get("run") {
            for value in list {
                let run = table(value, "'run'")?;
                let id =
                    ID.iter().find_map(|id| run.get(*id)).and_then(toml::Value::as_str).ok_or_else(|| {
                        ReadError::Broken {
                            file: file.to_owned(),
                            place: Place::File,
                            problem: "a [[run]] has no 'id'".to_owned(),
                        }
                    })?;
                runs.push((id.to_owned(), run.clone()));
            }
        }
        let mut manifest = Self::default();
        let alone = runs.is_empty() && !defaults.is_empty();
        if alone {
            runs.push((EVERY.to_owned(), toml::Table::new()));
        }
        for (id, run) in runs {
            let mut values = BTreeMap::new();
            let mut schedule = None;
            for (key, value) in defaults.iter().chain(&run) {
                match value {
                    toml::Value::String(text) => {
                        values.insert(key.to_lowercase(), text.clone());
                    }
                    toml::Value::Table(_) if key == "schedule" => {
                        schedule = Some(value.clone().try_into().map_err(|error: toml::de::Error| {
                            ReadError::Broken {
                                file: file.to_owned(),
                                place: Place::File,
                                problem: format!(
                                    "run '{id}': the schedule cannot be read: {}",
                                    error.message()
                                ),
                            }
                        })?);
                    }
                    toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
                        values.insert(key.to_lowercase(), value.to_string());
                    }
                    _ => {}
                }
            }
            manifest.add(Entry {
                id,
                file: file.to_owned(),
                place: Place::File,
                values,
                schedule,
                training: None,
                meta: None,
            })?;
        }
        if alone {
            manifest.by_id.clear();
            manifest.defaults = manifest.entries.pop();
        }
        Ok(manifest)
    }

    /// The manifest of a run store.
    ///
    /// # Errors
    /// None today: names are keys there.
    pub fn of_store(file: &str, store: StoreManifest) -> Result<Self, ReadError> {
        let mut manifest = Self::default();
        for (id, run) in store.runs {
            manifest.add(Entry {
                id,
                file: file.to_owned(),
                place: Place::File,
                values: BTreeMap::new(),
                schedule: Some(run.schedule),
                training: run.training,
                meta: Some(run.meta),
            })?;
        }
        Ok(manifest)
    }

    fn add(&mut self, entry: Entry) -> Result<(), ReadError> {
        if self.by_id.insert(entry.id.clone(), self.entries.len()).is_some() {
            return Err(ReadError::Broken {
                file: entry.file,
                place: entry.place,
                problem: format!("run '{}' has a second row; expected one a run", entry.id),
            });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entry of a run: by its whole name, or by the last component of it; defaults alone speak for every run.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        let last = id.rsplit('/').next().unwrap_or(id);
        let named = self.by_id.get(id).or_else(|| self.by_id.get(last)).map(|&at| &self.entries[at]);
        named.or(self.defaults.as_ref())
    }

    /// All entries, in the order of the manifest.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    fn text(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.values.get(*name))
            .map(|text| text.trim())
            .filter(|text| !is_missing(text))
    }

    fn wrong(&self, names: &[&str], found: &str, expected: &str) -> ReadError {
        let name = names.iter().find(|name| self.values.contains_key(**name)).unwrap_or(&names[0]);
        ReadError::Value {
            file: self.file.clone(),
            place: self.place,
            what: format!("run '{}': '{name}'", self.id),
            found: shortened(found),
            expected: expected.to_owned(),
        }
    }

    /// A number, if it is there.
    ///
    /// # Errors
    /// [`ReadError::Value`] when it is not a number.
    pub fn number(&self, names: &[&str]) -> Result<Option<f64>, ReadError> {
        let Some(text) = self.text(names) else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            // pandas writes a hole in a column of numbers as "nan".
            Ok(value) if value.is_nan() => Ok(None),
            _ => Err(self.wrong(names, text, "a finite number")),
        }
    }

    fn count(&self, names: &[&str]) -> Result<Option<u64>, ReadError> {
        match self.number(names)? {
            Some(value) if value >= 0.0 && value.fract() == 0.0 && value < 1e18 => Ok(Some(value as u64)),
            Some(value) => Err(self.wrong(names, &value.to_string(), "a whole number of at least 0")),
            None => Ok(None),
        }
    }

    /// The manifest's file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Warm-up updates, if stated.
    ///
    /// # Errors
    /// [`ReadError::Value`].
    pub fn warmup(&self) -> Result<Option<u64>, ReadError> {
        self.count(&["warmup_steps", "warmup", "warmup_updates"])
    }

    /// The run that this one branches off, and the last update that they share, if both are stated.
    ///
    /// # Errors
    /// [`ReadError::Value`].
    pub fn branch(&self) -> Result<Option<BranchPoint>, ReadError> {
        if let Some(meta) = &self.meta {
            return Ok(meta.branch.clone());
        }
        let trunk = self.text(&["branch_from", "trunk", "resumed_from"]);
        let at = self.count(&["branch_at_step", "branch_at", "branch_step"])?;
        // "Branched at 0" is a run of its own from the first update on.
        Ok(trunk
            .zip(at.filter(|&at| at > 0))
            .map(|(trunk, at)| BranchPoint { trunk: trunk.to_owned(), at: Steps(at) }))
    }

    /// The horizon, if stated.
    ///
    /// # Errors
    /// [`ReadError::Value`].
    pub fn total(&self) -> Result<Option<u64>, ReadError> {
        self.count(&["total_steps", "total", "horizon", "max_steps", "steps"])
    }

    /// The peak rate, if stated.
    ///
    /// # Errors
    /// [`ReadError::Value`].
    pub fn peak_lr(&self) -> Result<Option<f64>, ReadError> {
        self.number(&["peak_lr", "max_lr", "lr"])
    }

    /// Whether the manifest states where the warm-up starts.
    pub(crate) fn states_warmup_lr(&self) -> bool {
        self.schedule.is_some() || self.text(&["warmup_lr", "init_lr"]).is_some()
    }

    /// The schedule of the whole run, if the manifest states enough of it: peak rate and horizon at least.
    ///
    /// `rise` is what the logged rates say about the warm-up, where the manifest does not say it.
    ///
    /// # Errors
    /// [`ReadError::Value`] for an unknown schedule or shape; [`ReadError::Schedule`] for numbers that do not fit together.
    pub fn schedule(&self, rise: Rise) -> Result<Option<Schedule>, ReadError> {
        if let Some(schedule) = &self.schedule {
            return Ok(Some(schedule.clone()));
        }
        const KIND: [&str; 2] = ["schedule", "scheduler"];
        // The whole schedule in one text.
        if let Some(text) = self.text(&KIND).filter(|text| text.contains(':')) {
            return text
                .parse()
                .map(Some)
                .map_err(|error| self.wrong(&KIND, text, &format!("a schedule as text: {error}")));
        }
        let (Some(peak_lr), Some(total)) = (self.peak_lr()?, self.total()?) else { return Ok(None) };
        const SHAPE: [&str; 3] = ["shape", "decay_type", "anneal_shape"];
        let kind = self.text(&KIND).unwrap_or("wsd").to_lowercase();
        let stated_shape = self.text(&SHAPE).map(str::to_lowercase);
        let ratio = self.number(&["annealing_ratio", "ratio", "decay_fraction"])?;
        let anneal = self.count(&["anneal_steps", "decay_steps", "cooldown_steps"])?;
        if self.text(&KIND).is_none() && stated_shape.is_none() && ratio.is_none() && anneal.is_none() {
            return Ok(None);
        }
        let warmup = self.warmup()?.unwrap_or(0).saturating_sub(rise.early);
        let rest = total.saturating_sub(warmup);
        let none = matches!(stated_shape.as_deref(), Some("none" | "constant"));
        let (anneal, default_shape) = match kind.as_str() {
            "constant" | "none" => (0, Shape::Linear),
            "cosine" | "cos" => (anneal.unwrap_or(rest), Shape::Cosine),
            "linear" => (anneal.unwrap_or(rest), Shape::Linear),
            "wsd" | "trapezoidal" | "warmup-stable-decay" => {
                let asked = match (anneal, ratio) {
                    _ if none => 0,
                    (Some(anneal), _) => anneal,
                    (None, Some(ratio)) if (0.0..=1.0).contains(&ratio) => {
                        (ratio * total as f64).round() as u64
                    }
                    (None, Some(ratio)) => {
                        return Err(self.wrong(
                            &["annealing_ratio", "ratio"],
                            &ratio.to_string(),
                            "a share between 0 and 1",
                        ));
                    }
                    (None, None) => return Ok(None),
                };
                // A ratio of 1 means: everything after the warm-up.
                (if asked == total { rest } else { asked }, Shape::Linear)
            }
            // Two-stage, multi-stage …: the logged rates say more than the manifest.
            _ => return Ok(None),
        };
        let shape = match stated_shape.as_deref() {
            None | Some("none" | "constant") => default_shape,
            Some(text) => shape(text).ok_or_else(|| {
                self.wrong(
                    &SHAPE,
                    text,
                    "linear, cosine, sqrt (1 − √p), exponential, geometric, inverse, power:β or none",
                )
            })?,
        };
        let final_lr = match self.number(&["final_lr", "min_lr", "end_lr"])? {
            _ if anneal == 0 => peak_lr,
            Some(rate) => rate,
            None => 0.0,
        };
        let warmup_lr = match self.number(&["warmup_lr", "init_lr"])? {
            Some(rate) => rate,
            None if warmup > 0 => rise.share * peak_lr,
            None => 0.0,
        };
        let wsd = WsdSpec {
            peak_lr,
            total: Steps(total),
            warmup: Steps(warmup),
            warmup_lr,
            anneal: Steps(anneal),
            shape,
            final_lr,
            rise: if warmup > 0 { rise.shape } else { Shape::Linear },
            ..WsdSpec::default()
        };
        wsd.checked().map(|wsd| Some(Schedule::Wsd(wsd))).map_err(|error| self.schedule_error(error))
    }

    /// The word that names the family of the run's schedule.
    pub(crate) fn kind(&self) -> &str {
        self.text(&["schedule", "scheduler"]).unwrap_or_default()
    }

    fn schedule_error(&self, error: ScheduleError) -> ReadError {
        ReadError::Schedule { file: self.file.clone(), run: self.id.clone(), error }
    }

    /// What one training loss stands for, where the store holds them besides others.
    pub(crate) fn training(&self) -> Option<LossKind> {
        self.training
    }

    /// Whether everything about the run is stated, so that nothing is guessed.
    pub(crate) fn is_complete(&self) -> bool {
        self.meta.is_some()
    }

    /// Fills in what the manifest says about the run; `params_column` names the column of N.
    ///
    /// # Errors
    /// [`ReadError::Value`] for a value of the wrong kind, [`ReadError::UnknownColumn`] for a `params_column` that the
    /// manifest does not have.
    pub fn describe(&self, meta: &mut RunMeta, params_column: Option<&str>) -> Result<(), ReadError> {
        if let Some(stored) = &self.meta {
            meta.clone_from(stored);
            return Ok(());
        }
        const ARCH: [&str; 2] = ["arch", "architecture"];
        match self.text(&ARCH).map(str::to_lowercase).as_deref() {
            None | Some("dense") => {}
            Some("moe" | "mixture-of-experts") => {
                let whole = |names: &[&str]| -> Result<u32, ReadError> {
                    const EXPECTED: &str = "a count of at least 1 beside arch = moe";
                    match self.count(names)? {
                        Some(count @ 1..=0xffff_ffff) => Ok(count as u32),
                        Some(count) => Err(self.wrong(names, &count.to_string(), EXPECTED)),
                        None => Err(self.wrong(names, "missing", EXPECTED)),
                    }
                };
                meta.arch = Arch::Moe {
                    experts: whole(&["experts", "num_experts", "n_experts"])?,
                    top_k: whole(&["top_k", "topk", "experts_per_token"])?,
                };
            }
            Some(other) => return Err(self.wrong(&ARCH, other, "dense or moe")),
        }
        const NON_EMBEDDING: [&str; 2] = ["params_non_embedding", "non_embedding_params"];
        const TOTAL: [&str; 2] = ["params_total", "total_params"];
        const ACTIVE_NON_EMBEDDING: [&str; 2] =
            ["active_params_non_embedding", "params_active_non_embedding"];
        const ACTIVE: [&str; 2] = ["active_params", "params_active"];
        if let Some(column) = params_column {
            let lower = column.to_lowercase();
            if !self.values.contains_key(&lower) {
                return Err(ReadError::UnknownColumn {
                    file: self.file.clone(),
                    role: "params",
                    name: column.to_owned(),
                    columns: self.values.keys().cloned().collect(),
                });
            }
            meta.params = self.count(&[&lower])?.map(Params);
            meta.counted = if lower.contains("non_emb") {
                ParamCount::NonEmbedding
            } else if lower.contains("total") {
                ParamCount::Total
            } else {
                ParamCount::Unstated
            };
        } else {
            for (names, active, counted) in [
                (&NON_EMBEDDING[..], &ACTIVE_NON_EMBEDDING[..], ParamCount::NonEmbedding),
                (&TOTAL, &ACTIVE, ParamCount::Total),
                (&["params", "n_params", "parameters"], &ACTIVE, ParamCount::Unstated),
            ] {
                if let Some(params) = self.count(names)? {
                    meta.params = Some(Params(params));
                    meta.active_params = self.count(active)?.map(Params);
                    meta.counted = counted;
                    break;
                }
            }
        }
        if let Some(tokens) = self.count(&["tokens_per_step", "batch_tokens", "tokens_per_update"])? {
            meta.tokens_per_step = Some(Tokens(tokens));
        } else if let (Some(length), Some(batch)) =
            (self.count(&["seq_len", "sequence_length"])?, self.count(&["batch_size", "global_batch_size"])?)
        {
            meta.tokens_per_step = length.checked_mul(batch).map(Tokens);
        }
        if let Some(dataset) = self.text(&["dataset", "data"]) {
            meta.dataset = Some(dataset.to_owned());
        }
        meta.final_loss = self.number(&["final_val_loss", "final_validation_loss", "final_loss"])?;
        if let Some(seed) = self.count(&["seed"])? {
            meta.seed = Some(seed);
        }
        if let Some(branch) = self.branch()? {
            meta.branch = Some(branch);
        }
        Ok(())
    }

    /// The split that the manifest states for the run's losses.
    ///
    /// # Errors
    /// [`ReadError::Value`] for an unknown word.
    pub fn split(&self) -> Result<Option<Split>, ReadError> {
        match self.text(&["split"]) {
            None => Ok(None),
            Some(text) => split(text).map(Some).ok_or_else(|| self.wrong(&["split"], text, "train or val")),
        }
    }
}

/// The split that a word names.
pub(crate) fn split(text: &str) -> Option<Split> {
    match text.trim().to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" | "validating" | "eval" | "evaluation" | "evaluating" | "test"
        | "testing" | "dev" | "heldout" | "held-out" => Some(Split::Validation),
        _ => None,
    }
}

/// The shape that a word names, under the names that trainers use.
pub(crate) fn shape(text: &str) -> Option<Shape> {
    text.parse().ok()
}

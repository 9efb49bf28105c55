//! The plan of a sweep: `plan.toml`.

use crate::config::{ModelConfig, OptimiserConfig};
use crate::config_file::ModelChoice;
use crate::error::TrainError;
use crate::run_config::DataConfig;
use crate::sweep::outside::TrainerPlan;
use lehr::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// A whole learning-rate family, with what it needs from the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Warm-up, stable phase, annealing: one run for every `total`, `ratio` and `shape`.
    Wsd,
    /// Warm-up, then the peak rate: the trunk itself, trained to the longest `total`.
    Constant,
    /// Warm-up, then half a cosine to the end: one run for every `total`; shares nothing.
    Cosine,
    /// Warm-up, then a straight line to the end: one run for every `total`; shares nothing.
    Linear,
}

/// All combinations of the lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Names of `[models]`, or of presets.
    pub models: Vec<String>,
    /// Peak rates, above 0.
    pub peak_lr: Vec<f64>,
    /// Horizons T, updates, 1 … 2·10⁷.
    pub total: Vec<u64>,
    /// Annealing ratios r, shares of the whole horizon, above 0 and at most 1. Needed by the family `wsd`.
    #[serde(default)]
    pub ratio: Vec<f64>,
    /// Annealing shapes: `linear`, `cosine`, `1-sqrt`, `exponential`, `geometric`, `inverse`, `power:BETA`.
    #[serde(default = "default_shape")]
    #[schemars(with = "Vec<String>")]
    pub shape: Vec<Shape>,
    /// Families of schedules.
    #[serde(default = "default_family")]
    pub family: Vec<Family>,
    /// Sequences per update, at least 1.
    pub batch: Vec<u32>,
    /// Seeds of initial weights and of the data's order.
    #[serde(default = "default_seed")]
    pub seed: Vec<u64>,
    /// Warm-up updates of this grid, in place of the plan's.
    #[serde(default)]
    pub warmup: Option<u64>,
    /// Final rate as a share of the peak rate, in place of the plan's.
    #[serde(default)]
    pub final_share: Option<f64>,
}

fn default_shape() -> Vec<Shape> {
    vec![Shape::Linear]
}

fn default_family() -> Vec<Family> {
    vec![Family::Wsd]
}

fn default_seed() -> Vec<u64> {
    vec![0]
}

fn default_validate_every() -> u64 {
    100
}

fn default_snapshot_seconds() -> f64 {
    60.0
}

/// A sweep: grids over models, rates, horizons, annealings, batches and seeds, and what all their runs have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Models by name: a preset's name; or a table of all keys of a model, or of `preset` and the keys that differ from it.
    #[serde(default)]
    pub models: BTreeMap<String, ModelChoice>,
    /// The grids; their runs together make the sweep, a run that two of them name is trained once.
    pub grid: Vec<Grid>,
    /// The data of all runs. Relative paths are relative to the plan's folder.
    #[serde(default)]
    pub data: DataConfig,
    /// Name of the data set in the run store; default: made from the paths.
    #[serde(default)]
    pub dataset: Option<String>,
    /// The optimiser of all runs.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Updates between two validations; 0: only after the last update.
    #[serde(default = "default_validate_every")]
    pub validate_every: u64,
    /// Updates between two measurements of the gradient noise, each of which costs one more update's time; 0: none.
    #[serde(default)]
    pub noise_every: u64,
    /// Warm-up updates.
    #[serde(default)]
    pub warmup: u64,
    /// Final rate as a share of the peak rate, at least 0 and below 1.
    #[serde(default)]
    pub final_share: f64,
    /// Seconds between two snapshots of a running job, at least 0: what a `kill -9` can cost.
    #[serde(default = "default_snapshot_seconds")]
    pub snapshot_seconds: f64,
    /// Known speeds of models on this machine with one job's threads, tokens per second; others are measured.
    #[serde(default)]
    pub speed: BTreeMap<String, f64>,
    /// A trainer of your own in place of lehr's engine.
    #[serde(default)]
    pub trainer: Option<TrainerPlan>,
}

/// Why a plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is no TOML, or a key is missing, unknown or of the wrong kind.
    #[error("{file}:{line}: {problem}")]
    Syntax {
        /// The plan.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A value outside its range.
    #[error("{file}:{line}: {key} is {found}; expected {expected}")]
    Value {
        /// The plan.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key, dotted, with places in lists counted from 0.
        key: String,
        /// What was found.
        found: String,
        /// The allowed values.
        expected: String,
    },
}

/// A plan with the text it was read from, so that errors can name lines.
#[derive(Debug, Clone)]
pub struct PlanFile {
    /// The plan.
    pub plan: Plan,
    file: String,
    text: String,
}

impl PlanFile {
    /// Reads and checks a plan; `file` names it in errors.
    ///
    /// # Errors
    /// [`PlanError::Syntax`] and [`PlanError::Value`], with the line.
    ///
    /// # Examples
    /// ```
    /// use lehr_train::sweep::plan::PlanFile;
    /// let text = "[[grid]]\nmodels = ['tiny']\npeak_lr = [1e-3]\ntotal = [100]\nbatch = [4]\nratio = [1.5]\n";
    /// let error = PlanFile::parse("plan.toml", text).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "plan.toml:6: grid[0].ratio[0] is 1.5; expected a share of the horizon above 0 and at most 1"
    /// );
    /// ```
    pub fn parse(file: &str, text: &str) -> Result<Self, PlanError> {
        let plan: Plan = toml::from_str(text).map_err(|error| PlanError::Syntax {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            problem: error.message().to_owned(),
        })?;
        let this = Self { plan, file: file.to_owned(), text: text.to_owned() };
        this.check()?;
        Ok(this)
    }

    /// An error about the value at a dotted key such as `grid[0].ratio[2]`.
    #[must_use]
    pub fn wrong(&self, key: &str, found: impl ToString, expected: impl Into<String>) -> PlanError {
        PlanError::Value {
            file: self.file.clone(),
            line: line_of(&self.text, key),
            key: key.to_owned(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }

    fn check(&self) -> Result<(), PlanError> {
        let plan = &self.plan;
        if plan.grid.is_empty() {
            return Err(self.wrong("grid", "empty", "at least one [[grid]]"));
        }
        let share = |key: &str, value: f64| {
            if (0.0..1.0).contains(&value) {
                Ok(())
            } else {
                Err(self.wrong(key, value, "a share of the peak rate, at least 0 and below 1"))
            }
        };
        share("final_share", plan.final_share)?;
        if !(plan.snapshot_seconds >= 0.0 && plan.snapshot_seconds.is_finite()) {
            return Err(self.wrong("snapshot_seconds", plan.snapshot_seconds, "a number of at least 0"));
        }
        for (model, &speed) in &plan.speed {
            if !(speed > 0.0 && speed.is_finite()) {
                return Err(self.wrong(&format!("speed.{model}"), speed, "tokens per second, above 0"));
            }
        }
        self.check_optimiser()?;
        self.check_trainer()?;
        for (i, grid) in plan.grid.iter().enumerate() {
            let key = |name: &str| format!("grid[{i}].{name}");
            let lists = [
                ("models", grid.models.len()),
                ("peak_lr", grid.peak_lr.len()),
                ("total", grid.total.len()),
                ("shape", grid.shape.len()),
                ("family", grid.family.len()),
                ("batch", grid.batch.len()),
                ("seed", grid.seed.len()),
            ];
            if let Some((name, _)) = lists.iter().find(|(_, length)| *length == 0) {
                return Err(self.wrong(&key(name), "an empty list", "at least one value"));
            }
            if grid.family.contains(&Family::Wsd) && grid.ratio.is_empty() {
                return Err(self.wrong(
                    &key("ratio"),
                    "missing or empty",
                    "at least one ratio for the family wsd (or family = [\"constant\"], [\"cosine\"], [\"linear\"])",
                ));
            }
            for (j, &value) in grid.peak_lr.iter().enumerate() {
                if !(value > 0.0 && value <= 10.0) {
                    return Err(self.wrong(
                        &key(&format!("peak_lr[{j}]")),
                        value,
                        "a rate above 0 and at most 10",
                    ));
                }
            }
            for (j, &value) in grid.ratio.iter().enumerate() {
                if !(value > 0.0 && value <= 1.0) {
                    return Err(self.wrong(
                        &key(&format!("ratio[{j}]")),
                        value,
                        "a share of the horizon above 0 and at most 1",
                    ));
                }
            }
            let warmup = grid.warmup.unwrap_or(plan.warmup);
            for (j, &value) in grid.total.iter().enumerate() {
                // Every update's rate stands in the job files.
                let most = lehr::bounds::SAMPLED_UPDATES.most;
                if !(1..=most).contains(&value) || value <= warmup {
                    return Err(self.wrong(
                        &key(&format!("total[{j}]")),
                        value,
                        format!("updates (not tokens), more than the warm-up's {warmup} and at most {most}"),
                    ));
                }
            }
            for (j, &value) in grid.batch.iter().enumerate() {
                if !(1..=1_000_000).contains(&value) {
                    return Err(self.wrong(
                        &key(&format!("batch[{j}]")),
                        value,
                        "sequences per update, 1 … 1000000",
                    ));
                }
            }
            if let Some(value) = grid.final_share {
                share(&key("final_share"), value)?;
            }
        }
        Ok(())
    }

    fn check_trainer(&self) -> Result<(), PlanError> {
        let Some(trainer) = &self.plan.trainer else { return Ok(()) };
        let quote = |text: &str| format!("'{text}'");
        if !trainer.command.contains("{job}") {
            let found = quote(&trainer.command);
            return Err(self.wrong(
                "trainer.command",
                found,
                "a command with {job}, the path of the job file",
            ));
        }
        if !trainer.logs.contains("{name}") {
            let found = quote(&trainer.logs);
            return Err(self.wrong(
                "trainer.logs",
                found,
                "a path with {name}, so that every job has its own",
            ));
        }
        if trainer.attempts == 0 {
            return Err(self.wrong("trainer.attempts", 0, "at least 1"));
        }
        for (key, count) in [("gpus", trainer.gpus), ("nodes", trainer.nodes)] {
            if count == Some(0) {
                return Err(self.wrong(&format!("trainer.{key}"), 0, "at least 1"));
            }
        }
        Ok(())
    }

    fn check_optimiser(&self) -> Result<(), PlanError> {
        let optimiser = &self.plan.optimiser;
        let rules: [(&str, f64, bool, &str); 5] = [
            ("beta1", optimiser.beta1, (0.0..1.0).contains(&optimiser.beta1), "at least 0 and below 1"),
            ("beta2", optimiser.beta2, (0.0..1.0).contains(&optimiser.beta2), "at least 0 and below 1"),
            (
                "epsilon",
                optimiser.epsilon,
                optimiser.epsilon > 0.0 && optimiser.epsilon.is_finite(),
                "a number above 0",
            ),
            (
                "weight_decay",
                optimiser.weight_decay,
                optimiser.weight_decay >= 0.0 && optimiser.weight_decay.is_finite(),
                "a number of at least 0",
            ),
            (
                "clip",
                optimiser.clip,
                optimiser.clip >= 0.0 && optimiser.clip.is_finite(),
                "a number of at least 0",
            ),
        ];
        match rules.iter().find(|(.., holds, _)| !holds) {
            Some((key, found, _, expected)) => Err(self.wrong(&format!("optimiser.{key}"), found, *expected)),
            None => Ok(()),
        }
    }

    /// The models that the grids name: from `[models]`, else a preset of that name. `vocabulary` is the data's, used where a
    /// model states none.
    ///
    /// # Errors
    /// [`PlanError::Value`]: an unknown model or preset, or a model's key that is missing or out of range.
    pub fn models(&self, vocabulary: u32) -> Result<BTreeMap<String, ModelConfig>, PlanError> {
        let mut models = BTreeMap::new();
        for (i, grid) in self.plan.grid.iter().enumerate() {
            for (j, name) in grid.models.iter().enumerate() {
                if models.contains_key(name) {
                    continue;
                }
                let (key, choice) = match self.plan.models.get(name) {
                    Some(choice) => (format!("models.{name}"), choice.clone()),
                    None => (format!("grid[{i}].models[{j}]"), ModelChoice::Preset(name.clone())),
                };
                let model = choice.model(vocabulary).map_err(|error| match error {
                    TrainError::Config { key: inner, found, expected } if inner == "model.preset" => {
                        let key = match choice {
                            ModelChoice::Keys(_) => format!("{key}.preset"),
                            ModelChoice::Preset(_) => key,
                        };
                        self.wrong(&key, found, format!("a table of [models] or {expected}"))
                    }
                    TrainError::Config { key: inner, found, expected } => {
                        let inner = inner.strip_prefix("model.").unwrap_or(&inner).to_owned();
                        self.wrong(&format!("{key}.{inner}"), found, expected)
                    }
                    other => self.wrong(&key, other, "a model that can be built"),
                })?;
                models.insert(name.clone(), model);
            }
        }
        Ok(models)
    }
}

/// The JSON Schema of a plan, pretty-printed.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Plan);
    // A schema is a JSON value already: it can be written.
    format!("{:#}\n", schema.as_value())
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.get(..offset).map_or(0, |before| before.matches('\n').count())
}

/// The line of the value at a dotted key, or of the nearest table around it that is there.
fn line_of(text: &str, key: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut line = 1;
    let mut table: Option<&DeTable<'_>> = Some(document.get_ref());
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((found, mut value)) =
            table.and_then(|table| table.iter().find(|(key, _)| key.get_ref().as_ref() == name))
        else {
            return line;
        };
        line = line_at(text, found.span().start);
        if let (DeValue::Array(values), Some(index)) = (value.get_ref(), index) {
            let Some(inner) = values.get(index) else { return line };
            line = line_at(text, inner.span().start);
            value = inner;
        }
        table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    line
}

//! What another engine needs to train the same runs: their tokens, initial weights, and what snapshots say of them.

use crate::desk::Desk;
use crate::failure::Failure;
use lehr_train::engine::cpu::identity;
use lehr_train::engine::layout::Layout;
use lehr_train::{Batches, Corpus, RunConfig, preset};
use rayon::prelude::*;
use serde::Serialize;

/// One tensor of a model, as snapshots hold it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorOutline {
    /// Name.
    pub name: String,
    /// Shape; matrices are inputs × outputs.
    pub shape: Vec<usize>,
    /// Factor of the rate.
    pub rate: f64,
    /// Whether weight decay applies.
    pub decay: bool,
}

/// The data and the beginning of a run whose engine is elsewhere. Everything is a function of the configuration.
#[derive(Debug)]
pub struct RunMaterial {
    config: RunConfig,
    corpus: Corpus,
    layout: Layout,
}

/// Which sequences are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The batch of an update, from 1.
    Training(u64),
    /// A validation batch, from 0.
    Validation(u64),
}

/// The configurations of all presets by name, as JSON.
///
/// # Errors
/// [`Failure`] where one cannot be written as JSON.
pub fn presets() -> Result<String, Failure> {
    let models: serde_json::Map<String, serde_json::Value> = preset::presets()
        .into_iter()
        .map(|(name, model)| Ok((name, serde_json::to_value(model)?)))
        .collect::<Result<_, serde_json::Error>>()?;
    Ok(serde_json::Value::Object(models).to_string())
}

impl Desk {
    /// Opens the data of a run; `run` is its configuration as JSON (model, optimiser, data, batch, seed).
    ///
    /// # Errors
    /// [`Failure`] for a configuration that is none, a key outside its range and data that cannot be read.
    pub fn run_material(&self, run: &str) -> Result<RunMaterial, Failure> {
        let config: RunConfig = serde_json::from_str(run).map_err(|error| {
            Failure::new(format_args!(
                "the run's configuration: {error}; expected the keys of docs/formats/job.schema.json"
            ))
        })?;
        config.check()?;
        let corpus = self.work("opening the data", || Corpus::for_run(&config).map_err(Failure::from))?;
        let layout = Layout::new(&config.model);
        Ok(RunMaterial { config, corpus, layout })
    }
}

impl RunMaterial {
    /// A short name of the data.
    #[must_use]
    pub fn name(&self) -> &str {
        self.corpus.name()
    }

    /// Number of validation batches.
    #[must_use]
    pub fn validation_batches(&self) -> u64 {
        self.corpus.validation_len()
    }

    /// All tensors in order.
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorOutline> {
        let outline = |tensor: &lehr_train::engine::layout::Tensor| TensorOutline {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            rate: tensor.rate,
            decay: tensor.decay,
        };
        self.layout.tensors.iter().map(outline).collect()
    }

    /// Initial values of a tensor, the same bits as those of lehr's own engine; `None` where there is no such tensor.
    #[must_use]
    pub fn initial(&self, index: usize) -> Option<Vec<f32>> {
        let mut values = vec![0.0; self.layout.tensors.get(index)?.range.len()];
        self.layout.initial_tensor(index, self.config.seed, &mut values);
        Some(values)
    }

    /// What a snapshot of `lanes` threads says of the run.
    #[must_use]
    pub fn identity(&self, lanes: usize) -> String {
        identity(&self.config, lanes)
    }

    /// Rows `first`, `first` + 1, … of a batch, `count` of them, each of T + 1 tokens; made in parallel, the same for any number of
    /// threads.
    ///
    /// # Errors
    /// [`Failure`] for a batch or rows that are not there, and when the tokens cannot be read.
    pub fn rows(&self, part: Part, first: usize, count: usize) -> Result<Vec<u32>, Failure> {
        let (rows, batches) = (self.config.batch as usize, self.corpus.validation_len());
        if first.checked_add(count).is_none_or(|last| last > rows) {
            return Err(Failure::usage(format_args!(
                "{count} rows from row {first} of a batch of {rows}; expected at most {rows} in all"
            )));
        }
        match part {
            Part::Training(0) => return Err(Failure::usage("update 0; expected 1 or later")),
            Part::Validation(index) if index >= batches => {
                return Err(Failure::usage(format_args!(
                    "validation batch {index} of {batches}; expected one of them"
                )));
            }
            _ => {}
        }
        let row = self.config.model.context as usize + 1;
        let mut tokens = vec![0; count * row];
        // In order, so that of several errors the first is reported.
        let read: Vec<_> = tokens
            .par_chunks_exact_mut(row)
            .enumerate()
            .map(|(i, tokens)| match part {
                Part::Training(update) => self.corpus.training_rows(update, first + i, tokens),
                Part::Validation(index) => self.corpus.validation_rows(index, first + i, tokens),
            })
            .collect();
        read.into_iter().collect::<Result<(), _>>()?;
        Ok(tokens)
    }
}

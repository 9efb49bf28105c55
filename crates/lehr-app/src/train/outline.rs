//! What a run will be: model, data, arithmetic, memory, time.

use crate::documents::Document;
use crate::failure::Failure;
use lehr::{Caveat, Schedule};
use lehr_train::language::{Entropy, Language};
use lehr_train::preset::preset;
use lehr_train::sweep::flops_per_token;
use lehr_train::{Batches, Corpus, CpuTrainer, DataConfig, ModelConfig, RunConfig, TrainError, Trainer};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// A run before it begins.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Outline {
    /// Name of the run.
    pub run: String,
    /// The model's configuration, as in docs/formats/train.schema.json.
    pub model: ModelConfig,
    /// Exact counts of its parameters.
    pub parameters: Counts,
    /// The schedule in its text form.
    pub schedule: String,
    /// Largest rate.
    pub peak_lr: f64,
    /// Sequences per update.
    pub batch: u32,
    /// Seed of initial weights and data order.
    pub seed: u64,
    /// Threads among which a batch is divided.
    pub threads: usize,
    /// Horizon T, updates.
    pub updates: u64,
    /// Batch: tokens of an update.
    pub tokens_per_update: u64,
    /// Tokens in all.
    pub tokens: u64,
    /// Floating-point operations of the training.
    pub flops: f64,
    /// Bytes of weights, gradients and the optimiser's moments; activations come on top.
    pub memory_bytes: u64,
    /// Name of the data set.
    pub dataset: String,
    /// Tokens of the data, validation included; `None` for the synthetic language, which does not end.
    pub dataset_tokens: Option<u64>,
    /// Sequences that training draws from; `None` for the synthetic language.
    pub training_sequences: Option<u64>,
    /// Sequences held out for validation.
    pub validation_sequences: u64,
    /// How often the run sees every training sequence; 0 for the language.
    pub passes: f64,
    /// What is known of the synthetic language; `None` for other data.
    pub language: Option<Floor>,
    /// Estimated seconds of the training; with `[[dry_run]]` only.
    pub seconds: Option<f64>,
}

/// A run that was outlined and not trained.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TrainPlanAnswer {
    /// What the run will be.
    pub outline: Outline,
    /// What to know about the data.
    pub caveats: Vec<Caveat>,
}

impl Document for TrainPlanAnswer {
    const SCHEMA: &'static str = "lehr.train-plan/1";
}

/// Exact counts of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Counts {
    /// Parameters that are trained, all of them.
    pub total: u64,
    /// Parameters without embedding and output head: the N of the run store.
    pub non_embedding: u64,
    /// Of these, the parameters that one token passes through.
    pub active: u64,
}

/// What is known of the synthetic language.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Floor {
    /// Its entropy, measured on texts of their own.
    pub entropy: Entropy,
    /// What an ideal predictor loses on the run's validation sequences, nats per token.
    pub ideal_validation_loss: f64,
}

/// Tokens on which the language's entropy is measured.
const ENTROPY_TOKENS: u64 = 1 << 19;

fn floor(language: &Language, corpus: &Corpus) -> Result<Option<Floor>, TrainError> {
    let (rows, context) = (corpus.rows(), corpus.context());
    let batches = corpus.validation_len();
    if batches == 0 {
        return Ok(None);
    }
    let mut tokens = vec![0; rows * (context + 1)];
    let mut sum = 0.0;
    for index in 0..batches {
        corpus.validation(index, &mut tokens)?;
        sum += language.oracle_loss(&tokens, context)?;
    }
    let sequences = (ENTROPY_TOKENS / context as u64).clamp(64, 4096);
    let entropy = language.entropy(context, sequences);
    Ok(Some(Floor { entropy, ideal_validation_loss: sum / batches as f64 }))
}

impl Outline {
    /// Counts what can be counted.
    pub(super) fn new(
        run: &str,
        config: &RunConfig,
        schedule: &Schedule,
        corpus: &Corpus,
        threads: usize,
    ) -> Result<Self, Failure> {
        let count = config.model.parameters();
        let updates = schedule.total().0;
        let tokens_per_update = u64::from(config.batch) * u64::from(config.model.context);
        let tokens = updates * tokens_per_update;
        let language = corpus.language().map(|language| floor(language, corpus)).transpose()?.flatten();
        Ok(Self {
            run: run.to_owned(),
            parameters: Counts {
                total: count.total,
                non_embedding: count.non_embedding,
                active: count.active,
            },
            schedule: schedule.to_string(),
            peak_lr: schedule.peak_lr(),
            batch: config.batch,
            seed: config.seed,
            threads,
            updates,
            tokens_per_update,
            tokens,
            flops: tokens as f64 * flops_per_token(&config.model),
            memory_bytes: 4 * count.total * (3 + threads as u64),
            dataset: corpus.name().to_owned(),
            dataset_tokens: corpus.tokens(),
            training_sequences: corpus.training_sequences(),
            validation_sequences: corpus.validation_len() * corpus.rows() as u64,
            passes: corpus.passes(updates),
            language,
            seconds: None,
            model: config.model.clone(),
        })
    }

    /// Estimates the time from a few updates: of this model, or of a smaller one with as much arithmetic per second where
    /// this one is large.
    pub(super) fn timed(self, config: &RunConfig) -> Result<Self, Failure> {
        /// Arithmetic of one update that takes some seconds at most.
        const AFFORDABLE: f64 = 2e11;
        let per_update = self.flops / self.updates as f64;
        let mut timed = config.clone();
        timed.data = DataConfig { validation_sequences: 0, ..DataConfig::default() };
        if per_update > AFFORDABLE {
            timed.model = preset("dense-6m")?;
            timed.batch = self.threads as u32;
        }
        timed.model.vocabulary = timed.model.vocabulary.max(96);
        let corpus = Corpus::for_run(&timed)?;
        let mut trainer = CpuTrainer::new(&timed, Arc::new(corpus), self.threads)?;
        // The first update touches memory for the first time.
        trainer.update(1e-4)?;
        let since = Instant::now();
        let mut updates = 0;
        while updates < 2 || since.elapsed().as_secs_f64() < 0.7 {
            trainer.update(1e-4)?;
            updates += 1;
        }
        let tokens = updates as f64 * f64::from(timed.batch) * f64::from(timed.model.context);
        let speed = tokens * flops_per_token(&timed.model) / since.elapsed().as_secs_f64();
        Ok(Self { seconds: Some(self.flops / speed), ..self })
    }
}

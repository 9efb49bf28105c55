//! What a run will be: model, data, arithmetic, memory, time.

use super::show::duration;
use crate::failure::Failure;
use crate::output::{Output, table};
use lehr::{Caveat, Schedule};
use lehr_train::language::{Entropy, Language};
use lehr_train::preset::{grouped, preset};
use lehr_train::sweep::flops_per_token;
use lehr_train::{Batches, Corpus, CpuTrainer, DataConfig, RunConfig, TrainError, Trainer};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// A run before it begins.
#[derive(Debug, Clone, Serialize)]
pub struct Outline {
    pub run: String,
    pub model: lehr_train::ModelConfig,
    pub parameters: Counts,
    pub schedule: String,
    pub peak_lr: f64,
    pub batch: u32,
    pub seed: u64,
    pub threads: usize,
    pub updates: u64,
    pub tokens_per_update: u64,
    pub tokens: u64,
    pub flops: f64,
    /// Weights, gradients and the optimiser's moments.
    pub memory_bytes: u64,
    pub dataset: String,
    pub dataset_tokens: Option<u64>,
    pub training_sequences: Option<u64>,
    pub validation_sequences: u64,
    pub passes: f64,
    pub language: Option<Floor>,
    /// How long it takes, where that was asked for.
    pub seconds: Option<f64>,
}

/// Exact counts.
#[derive(Debug, Clone, Serialize)]
pub struct Counts {
    pub total: u64,
    pub non_embedding: u64,
    pub active: u64,
}

/// What is known of the synthetic language.
#[derive(Debug, Clone, Serialize)]
pub struct Floor {
    pub entropy: Entropy,
    /// What an ideal predictor loses on the run's validation sequences.
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
    pub fn new(
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
    pub fn timed(self, config: &RunConfig) -> Result<Self, Failure> {
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

    /// Prints the outline.
    pub fn print(&self, output: &Output, caveats: &[Caveat]) -> Result<(), Failure> {
        if output.json {
            let document = serde_json::json!({ "outline": self, "caveats": caveats });
            output.document("lehr.train-plan/1", &document)?;
            return output.caveats(caveats);
        }
        let mut rows = table([self.run.as_str(), ""]);
        let parameters = match &self.model.experts {
            None => format!(
                "{} ({} with embedding and head)",
                grouped(self.parameters.non_embedding),
                grouped(self.parameters.total)
            ),
            Some(_) => format!(
                "{}, of which a token passes {} ({} with embedding and head)",
                grouped(self.parameters.non_embedding),
                grouped(self.parameters.active),
                grouped(self.parameters.total)
            ),
        };
        let data = match (self.dataset_tokens, &self.language) {
            (Some(tokens), _) => {
                format!("{}, {} tokens, {:.2} passes", self.dataset, grouped(tokens), self.passes)
            }
            (None, Some(floor)) => format!(
                "{}, never repeated, entropy {:.4} ± {:.4} nats per token",
                self.dataset, floor.entropy.nats_per_token, floor.entropy.standard_error
            ),
            (None, None) => format!("{}, never repeated", self.dataset),
        };
        rows.add_row(["parameters".to_owned(), parameters]);
        rows.add_row(["schedule".to_owned(), self.schedule.clone()]);
        rows.add_row([
            "updates".to_owned(),
            format!(
                "{} of {} tokens, {} in all",
                grouped(self.updates),
                grouped(self.tokens_per_update),
                grouped(self.tokens)
            ),
        ]);
        rows.add_row(["data".to_owned(), data]);
        rows.add_row(["validation".to_owned(), format!("{} sequences", grouped(self.validation_sequences))]);
        rows.add_row(["arithmetic".to_owned(), format!("{:.2e} FLOP", self.flops)]);
        rows.add_row([
            "memory".to_owned(),
            format!(
                "{} for weights, gradients and moments; activations come on top",
                bytes(self.memory_bytes)
            ),
        ]);
        if let Some(seconds) = self.seconds {
            let threads = self.threads;
            rows.add_row([
                "time".to_owned(),
                format!("about {} on {threads} threads, validation aside", duration(seconds)),
            ]);
        }
        crate::output::data(&rows.to_string())?;
        output.caveats(caveats)
    }
}

/// Bytes as a person says them.
fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    let (unit, name) = match bytes {
        ..1e6 => (1e3, "kB"),
        1e6..1e9 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1} {name}", bytes / unit)
}

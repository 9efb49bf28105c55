//! The configuration of one training run.

use crate::config::{ModelConfig, OptimiserConfig};
use crate::error::TrainError;
use lehr::{Arch, BranchPoint, LossKind, ParamCount, Params, RunMeta, Split, Tokens};
use serde::{Deserialize, Serialize};

/// Everything that decides a run's losses, except its sequence of rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The model.
    pub model: ModelConfig,
    /// The optimiser.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// The data.
    #[serde(default)]
    pub data: DataConfig,
    /// Sequences per update, 1 ….
    pub batch: u32,
    /// Seed of initial weights and of the data's order.
    #[serde(default)]
    pub seed: u64,
    /// Updates between two validations; 0: only after the last update.
    #[serde(default)]
    pub validate_every: u64,
    /// Updates between two measurements of the gradient noise, each of which costs one more update's time; 0: none.
    #[serde(default)]
    pub noise_every: u64,
}

impl RunConfig {
    /// Whether a run of `total` updates validates after this update: every `validate_every`, and after the last.
    #[must_use]
    pub fn validates_at(&self, update: u64, total: u64) -> bool {
        update == total || (self.validate_every > 0 && update.is_multiple_of(self.validate_every))
    }

    /// What the run store says about a run, of losses of a split. N counts parameters outside embedding and head.
    #[must_use]
    pub fn meta(&self, run: &str, dataset: &str, branch: Option<BranchPoint>, split: Split) -> RunMeta {
        let count = self.model.parameters();
        RunMeta {
            arch: match &self.model.experts {
                None => Arch::Dense,
                Some(experts) => Arch::Moe { experts: experts.count, top_k: experts.top_k },
            },
            params: Some(Params(count.non_embedding)),
            active_params: (count.active != count.non_embedding).then_some(Params(count.active)),
            counted: ParamCount::NonEmbedding,
            tokens_per_step: Some(Tokens(u64::from(self.batch) * u64::from(self.model.context))),
            dataset: Some(dataset.to_owned()),
            split,
            loss_kind: LossKind::Instant,
            branch,
            seed: Some(self.seed),
            ..RunMeta::named(run)
        }
    }

    /// Whether the gradient noise is measured before this update.
    #[must_use]
    pub fn measures_noise_at(&self, update: u64) -> bool {
        self.noise_every > 0 && update.is_multiple_of(self.noise_every)
    }

    /// Checks every key's range.
    ///
    /// # Errors
    /// [`TrainError::Config`] names the first key outside its range and the range.
    pub fn check(&self) -> Result<(), TrainError> {
        self.model.check()?;
        let optimiser = &self.optimiser;
        for (key, value) in [("beta1", optimiser.beta1), ("beta2", optimiser.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(TrainError::config(
                    format!("optimiser.{key}"),
                    value,
                    "a number from 0 to below 1",
                ));
            }
        }
        if !(optimiser.epsilon > 0.0 && optimiser.epsilon.is_finite()) {
            return Err(TrainError::config("optimiser.epsilon", optimiser.epsilon, "a number above 0"));
        }
        for (key, value) in [("weight_decay", optimiser.weight_decay), ("clip", optimiser.clip)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(TrainError::config(format!("optimiser.{key}"), value, "a number ≥ 0"));
            }
        }
        if !(1..=1 << 20).contains(&self.batch) {
            return Err(TrainError::config("batch", self.batch, "1 … 1,048,576 sequences"));
        }
        if let Some(bits) = self.data.bits
            && bits != 16
            && bits != 32
        {
            return Err(TrainError::config("data.bits", bits, "16 or 32"));
        }
        if let Some(vocabulary) = self.data.vocabulary
            && !(2..=1 << 20).contains(&vocabulary)
        {
            return Err(TrainError::config("data.vocabulary", vocabulary, "2 … 1,048,576"));
        }
        Ok(())
    }
}

/// Which tokens a run sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Files or folders: text, JSONL, Parquet, `.bin`, `.npy`; several may be given. Empty: the synthetic language.
    pub paths: Vec<String>,
    /// Column or key that holds the text, for JSONL and Parquet.
    pub column: Option<String>,
    /// A HF `tokenizer.json`; none: bytes.
    pub tokenizer: Option<String>,
    /// Bits of a token in `.bin` files, 16 or 32; none: what the file's header says, or else 16.
    pub bits: Option<u32>,
    /// Number of different tokens in `.bin` and `.npy` files, 2 … 1,048,576; none: found by reading them all once.
    pub vocabulary: Option<u32>,
    /// Folder where tokens that had to be made are kept; none: the user's cache folder.
    pub cache: Option<String>,
    /// Number of validation sequences, held out from training; rounded up to whole batches.
    pub validation_sequences: u32,
    /// Parameters of the synthetic language, used where `paths` is empty.
    pub language_seed: u64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            column: None,
            tokenizer: None,
            bits: None,
            vocabulary: None,
            cache: None,
            validation_sequences: 64,
            language_seed: 0,
        }
    }
}

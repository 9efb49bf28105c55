//! The configuration of one training run.

use crate::config::{ModelConfig, OptimiserConfig};
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
    /// Number of validation sequences, held out from training.
    pub validation_sequences: u32,
    /// Parameters of the synthetic language, used where `paths` is empty.
    pub language_seed: u64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { paths: Vec::new(), column: None, tokenizer: None, validation_sequences: 64, language_seed: 0 }
    }
}

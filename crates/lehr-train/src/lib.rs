//! Small dense and mixture-of-experts language models, trained to get loss curves.
//!
//! ```text
//! RunConfig ─▶ Corpus (tokens) ─┐
//!      └─────▶ CpuTrainer ──────┴─▶ update(lr) ─▶ loss      a Trainer is told the rate, it never computes it
//! Plan (a grid) ─▶ trunks and branches ─▶ Executor ─▶ run store
//! ```
//!
//! The engine runs explicit forward and backward passes over the `gemm` crate: no tape, no allocation inside an update.
//! Everything behind [`Trainer`] can be exchanged without touching sweeps or the run store.

pub mod batches;
pub mod config;
pub mod config_file;
pub mod data;
pub mod engine;
pub mod error;
pub mod expert_tokens;
pub mod language;
pub mod preset;
pub mod run_config;
pub mod session;
pub mod sweep;
pub mod trainer;

pub use batches::Batches;
pub use config::{ExpertsConfig, ModelConfig, OptimiserConfig, Parametrisation};
pub use config_file::TrainFile;
pub use data::Corpus;
pub use engine::cpu::CpuTrainer;
pub use error::TrainError;
pub use run_config::{DataConfig, RunConfig};
pub use trainer::{Trainer, UpdateReport};

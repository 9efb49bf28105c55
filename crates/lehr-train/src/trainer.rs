//! The interface between a training engine and everything that uses one.

use crate::error::TrainError;
use std::path::Path;

/// What one update measured.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateReport {
    /// Mean cross-entropy of the update's batch before the update, nats per token, without auxiliary terms.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Mixture of experts: load-balance loss before its coefficient, mean over layers. 1 when perfectly even.
    pub balance_loss: Option<f64>,
    /// Mixture of experts: router z-loss before its coefficient, mean over layers.
    pub z_loss: Option<f64>,
}

/// A model in training. It is told the rate of every update and never computes one.
///
/// The same configuration, data, seed and sequence of rates give the same losses, bit for bit, on one kind of machine,
/// also when a run is saved and loaded (or forked) at any update in between.
pub trait Trainer: Send {
    /// Does update `completed() + 1` at rate `lr` on that update's batch.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] when the loss or the gradient is not finite, or the loss above 3·ln V, thrice that of guessing
    /// among V tokens; the weights are then unchanged.
    fn update(&mut self, lr: f64) -> Result<UpdateReport, TrainError>;

    /// Root mean square norm of the gradients of the next update's sequences, each taken alone; nothing is trained. With
    /// the norm of the whole batch's gradient, which that update reports, it gives the gradient-noise scale
    /// ([`lehr::batch::noise_scale`]).
    ///
    /// # Errors
    /// [`TrainError`] when data cannot be read; [`TrainError::Diverged`] when a norm is not finite.
    fn sequence_gradient_norm(&mut self) -> Result<f64, TrainError>;

    /// Mean cross-entropy on the fixed validation batches, nats per token.
    ///
    /// # Errors
    /// [`TrainError`] when data cannot be read or the loss is not finite.
    fn evaluate(&mut self) -> Result<f64, TrainError>;

    /// Number of updates done.
    fn completed(&self) -> u64;

    /// Tokens that one update consumes.
    fn tokens_per_update(&self) -> u64;

    /// Mixture of experts: tokens routed to each expert in the last update, `[layer][expert]`. Empty for dense models.
    fn expert_counts(&self) -> Vec<Vec<u64>>;

    /// An independent copy that goes on from here.
    fn fork(&self) -> Box<dyn Trainer>;

    /// Writes a snapshot: weights, optimiser state, number of updates. Atomic: the file is there whole or not at all.
    ///
    /// # Errors
    /// [`TrainError::File`].
    fn save(&self, file: &Path) -> Result<(), TrainError>;

    /// Goes on from a snapshot of the same configuration.
    ///
    /// # Errors
    /// [`TrainError::Snapshot`] when it belongs to another configuration or is broken; nothing is changed then.
    fn load(&mut self, file: &Path) -> Result<(), TrainError>;
}

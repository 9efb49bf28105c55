//! Where an engine gets its tokens from.

use crate::error::TrainError;

/// The batches of one run: a pure function of the data, the seed and the update, so that a resumed run and a branch see
/// exactly what the uninterrupted run would have seen.
pub trait Batches: Send + Sync {
    /// Sequences in a batch.
    fn rows(&self) -> usize;

    /// Tokens of a sequence that are predicted, T; a row holds T + 1 tokens.
    fn context(&self) -> usize;

    /// Number of different tokens; every token is below it.
    fn vocabulary(&self) -> u32;

    /// Writes the batch of `update` (1 …) to `tokens`, rows × (T + 1), row by row.
    ///
    /// # Errors
    /// [`TrainError::Data`] or [`TrainError::File`] when the tokens cannot be read.
    fn training(&self, update: u64, tokens: &mut [u32]) -> Result<(), TrainError>;

    /// Number of validation batches, each of `rows()` sequences that no training batch contains.
    fn validation_len(&self) -> u64;

    /// Writes validation batch `index` (0 …), the same for every call.
    ///
    /// # Errors
    /// As [`Batches::training`].
    fn validation(&self, index: u64, tokens: &mut [u32]) -> Result<(), TrainError>;
}

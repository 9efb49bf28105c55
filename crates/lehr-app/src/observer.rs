//! Who hears of progress and may stop the work.

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Logs are being read.
    Reading {
        /// Files begun.
        files: usize,
        /// Files in all.
        of_files: usize,
        /// Runs finished.
        runs: usize,
    },
    /// A longer computation has begun: `fitting`, `validating`, `searching`, …
    Begun(&'static str),
    /// The computation that was begun is done.
    Done,
}

/// Hears of progress; is asked whether to go on between files and between parts of a computation.
pub trait Observer: Send + Sync {
    /// Something has moved on.
    fn hear(&self, event: Event);

    /// Whether to stop as soon as possible; the question then ends with a failure of kind
    /// [`Interrupted`](crate::FailureKind::Interrupted).
    fn cancelled(&self) -> bool {
        false
    }
}

/// Hears nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn hear(&self, _: Event) {}
}

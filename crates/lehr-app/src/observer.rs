//! Who hears of progress and may stop the work.

/// How far something is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
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
    /// A line for whoever watches, while the work goes on.
    Said(&'a str),
    /// A run's training begins, or goes on.
    #[cfg(feature = "train")]
    TrainingBegun {
        /// What the run will be.
        outline: &'a crate::train::Outline,
        /// Rate of every update.
        rates: &'a [f64],
    },
    /// A run was trained for an update.
    #[cfg(feature = "train")]
    Trained {
        /// The update with its losses.
        record: &'a lehr_train::sweep::Record,
        /// Its rate.
        rate: f64,
    },
    /// A run's training has ended: at its last update, where it diverged, or because somebody asked to stop.
    #[cfg(feature = "train")]
    TrainingEnded,
    /// A sweep was begun as part of a larger question: what it costs, and what is to be known about its data.
    #[cfg(feature = "train")]
    SweepBegun {
        /// Folder of the sweep.
        folder: &'a std::path::Path,
        /// What it costs.
        estimate: &'a lehr_train::sweep::Estimate,
        /// What to beware of.
        caveats: &'a [lehr::Caveat],
    },
    /// A sweep has moved on.
    #[cfg(feature = "train")]
    Sweep {
        /// Folder of the sweep.
        folder: &'a std::path::Path,
        /// What happened.
        event: &'a lehr_train::sweep::Event<'a>,
    },
    /// Nobody works on the sweep's jobs any more.
    #[cfg(feature = "train")]
    SweepEnded,
}

/// Hears of progress; is asked whether to go on between files and between parts of a computation.
pub trait Observer: Send + Sync {
    /// Something has moved on.
    fn hear(&self, event: Event<'_>);

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
    fn hear(&self, _: Event<'_>) {}
}

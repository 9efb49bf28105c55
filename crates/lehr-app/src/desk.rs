//! Where questions are asked.

use crate::failure::Failure;
use crate::files::Files;
use crate::observer::{Event, Observer, Silent};
use lehr::law::LawRegistry;
use std::sync::Arc;

/// Threads of a desk at most: beyond it the system refuses them one by one, which takes minutes.
const MOST_THREADS: usize = 4096;

/// What a desk refuses to work on, so that a stranger's request cannot exhaust a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most updates of a target run.
    pub horizon: u64,
}

impl Default for Limits {
    /// As many updates as a schedule may hold one by one ([`lehr::bounds::SAMPLED_UPDATES`]): features are made from the rate of
    /// every update.
    fn default() -> Self {
        Self { horizon: lehr::bounds::SAMPLED_UPDATES.most }
    }
}

/// Answers questions, with files, progress, cancellation and threads given from outside.
#[derive(Clone)]
pub struct Desk {
    files: Files,
    observer: Arc<dyn Observer>,
    pool: Option<Arc<rayon::ThreadPool>>,
    limits: Limits,
    laws: LawRegistry,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("files", &self.files)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk that reads these files, tells nobody of progress and uses the threads of its caller.
    #[must_use]
    pub fn new(files: Files) -> Self {
        Self {
            files,
            observer: Arc::new(Silent),
            pool: None,
            limits: Limits::default(),
            laws: LawRegistry::built_in(),
        }
    }

    /// The same with somebody who hears of progress and may stop the work.
    #[must_use]
    pub fn observed(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The same with threads of its own. Results do not depend on how many there are.
    ///
    /// # Errors
    /// [`Failure`] if the system gives no threads.
    pub fn threads(mut self, threads: usize) -> Result<Self, Failure> {
        if threads == 0 {
            return Err(Failure::usage("0 threads compute nothing; expected at least 1"));
        }
        if threads > MOST_THREADS {
            return Err(Failure::usage(format_args!(
                "[[threads]] is {threads}; expected at most {MOST_THREADS}"
            ))
            .hint("more threads than cores make nothing faster"));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(Failure::new)?;
        self.pool = Some(Arc::new(pool));
        Ok(self)
    }

    /// The same with limits.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with laws besides those of the crate, by which the fits that it reads are resolved.
    #[must_use]
    pub fn knowing(mut self, laws: LawRegistry) -> Self {
        self.laws = laws;
        self
    }

    /// The laws it knows.
    #[must_use]
    pub fn laws(&self) -> &LawRegistry {
        &self.laws
    }

    /// What may be read.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn shared_observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.observer)
    }

    /// What it refuses to work on.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        self.observer.as_ref()
    }

    /// Does a computation on the desk's threads, between a word that it has begun and a word that it is done.
    pub fn work<T: Send>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        self.check_cancelled()?;
        self.observer.hear(Event::Begun(what));
        let result = match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        };
        self.observer.hear(Event::Done);
        self.check_cancelled()?;
        result
    }

    /// A failure if the observer wants to stop.
    ///
    /// # Errors
    /// [`Failure`] of kind [`Interrupted`](crate::FailureKind::Interrupted).
    pub fn check_cancelled(&self) -> Result<(), Failure> {
        if self.observer.cancelled() { Err(Failure::interrupted("stopped as asked")) } else { Ok(()) }
    }

    /// A failure if a target has more updates than the desk takes on.
    ///
    /// # Errors
    /// [`Failure`] that names the limit.
    pub fn check_horizon(&self, updates: u64) -> Result<(), Failure> {
        if updates > self.limits.horizon {
            return Err(Failure::usage(format_args!(
                "a horizon of {updates} updates is beyond the {} updates that are answered here",
                self.limits.horizon
            ))
            .hint("state updates, not tokens or samples"));
        }
        Ok(())
    }
}

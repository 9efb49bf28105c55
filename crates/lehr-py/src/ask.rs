//! Asks a question on a thread of its own, while this one listens for Ctrl-C and shows progress.

use crate::failure::{internal, raise};
use crate::law::Laws;
use lehr_app::{Desk, Event, Failure, Files, Observer};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Time between two looks at signals and progress: a quarter of what a person takes for "at once".
const LOOK: Duration = Duration::from_millis(50);

/// How far something is, for the Python side.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stage {
    /// What is done: `reading`, `fitting`, …; empty: nothing.
    what: String,
    done: usize,
    of: usize,
    runs: usize,
}

/// Remembers the last stage, and that the work is to stop.
#[derive(Default)]
struct Listener {
    stop: AtomicBool,
    stage: Mutex<Stage>,
}

impl Observer for Listener {
    fn hear(&self, event: Event<'_>) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = match event {
            Event::Reading { files, of_files, runs } => {
                Stage { what: "reading".to_owned(), done: files, of: of_files, runs }
            }
            Event::Begun(what) => Stage { what: what.to_owned(), ..Stage::default() },
            Event::Done => Stage::default(),
            _ => return,
        };
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Where a question is asked: what it may read, on how many threads, and which laws it knows besides those of the crate.
#[derive(Debug, Clone)]
pub struct Place {
    /// The disk, or files in memory.
    pub files: Files,
    /// Threads; `None`: all cores.
    pub threads: Option<usize>,
    /// Laws from Python.
    pub laws: Laws,
}

impl Default for Place {
    fn default() -> Self {
        Self { files: Files::Disk, threads: None, laws: Laws::default() }
    }
}

/// Files in memory, where there are some, in place of the disk.
pub fn files(given: Option<Vec<(String, Vec<u8>)>>) -> Files {
    given.map_or(Files::Disk, Files::memory)
}

/// Asks on a desk; `progress(what, done, of, runs)` hears of stages, `None` as `what` of the end.
///
/// The interpreter's lock is released. A signal ends the wait at once; the work then stops at its next look at the desk's
/// observer. A panic becomes an exception, and so does what a law's Python function raises.
pub fn ask<T: Send + 'static>(
    py: Python<'_>,
    place: Place,
    progress: Option<&Bound<'_, PyAny>>,
    question: impl FnOnce(&Desk) -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    let laws = place.laws.clone();
    laws.begin();
    let answer = ask_in(py, place, progress, question);
    match laws.end(py) {
        // What a function of a law raised is why there is no answer, or a wrong one.
        Some(fault) => Err(fault),
        None => answer,
    }
}

/// Threads of a process that was forked from one that had asked: the common pool's were not forked with it, and nothing would
/// be computed there.
fn after_fork() -> Option<usize> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    let forked = *FIRST.get_or_init(std::process::id) != std::process::id();
    forked.then(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn ask_in<T: Send + 'static>(
    py: Python<'_>,
    place: Place,
    progress: Option<&Bound<'_, PyAny>>,
    question: impl FnOnce(&Desk) -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    let listener = Arc::new(Listener::default());
    let Place { files, threads, laws } = place;
    let registry = laws.registry().map_err(|failure| raise(py, &failure))?;
    let mut desk = Desk::new(files).observed(Arc::<Listener>::clone(&listener)).knowing(registry);
    // Functions of Python run one at a time: more threads would wait for each other.
    if let Some(threads) = threads.or_else(|| laws.any().then_some(1)).or_else(after_fork) {
        desk = desk.threads(threads).map_err(|failure| raise(py, &failure))?;
    }
    let (answered, answer) = mpsc::channel();
    let worker = std::thread::Builder::new().name("lehr".to_owned()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| question(&desk)));
        // Nobody may be waiting any more.
        drop(answered.send(result.map_err(|panic| words(panic.as_ref()))));
    })?;
    // It ends by itself: with its answer, or where it next asks whether to stop.
    drop(worker);
    let answer = Mutex::new(answer);
    let mut shown = Stage::default();
    let result = loop {
        let next = py.detach(|| answer.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LOOK));
        match next {
            Ok(result) => break Ok(result),
            Err(RecvTimeoutError::Disconnected) => {
                break Ok(Err("the thread ended without an answer".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let looked = py.check_signals().and_then(|()| {
            let stage = listener.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match progress {
                Some(progress) if stage != shown => {
                    shown = stage;
                    progress.call1((&shown.what, shown.done, shown.of, shown.runs)).map(drop)
                }
                _ => Ok(()),
            }
        });
        if let Err(error) = looked {
            listener.stop.store(true, Ordering::Relaxed);
            break Err(error);
        }
    };
    if let Some(progress) = progress
        && shown != Stage::default()
    {
        progress.call1((py.None(), 0, 0, 0))?;
    }
    match result? {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(raise(py, &failure)),
        Err(panic) => Err(internal(py, &panic)),
    }
}

//! Running jobs, watched.

use crate::answer::NativeAnswer;
use crate::ask::{Place, ask};
use crate::failure::raise;
use crate::fit::NativeFit;
use crate::law::{Laws, Named, own};
use crate::options::Options;
use crate::requests;
use lehr::forecast::Setting;
use lehr::live::StartOptions;
use lehr::{Params, Tokens};
use lehr_app::Failure;
use lehr_app::watch::{EventKind, SavedForecast, Watch, WatchRequest};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A job whose log was not written for so long is stalled, unless the caller says otherwise: as of `lehr watch`.
const STALLED: Duration = Duration::from_secs(30 * 60);

/// A watch over logs, which knows what it has read and said.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeWatch {
    watch: Arc<Mutex<Watch>>,
    laws: Laws,
    level: lehr::Level,
    threads: Option<usize>,
}

/// Begins to watch logs.
#[pyfunction]
fn watch(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    fit: Option<&NativeFit>,
    law: Named<'_>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<NativeWatch> {
    let mut options = Options::read(options)?;
    let begin = || -> Result<NativeWatch, Failure> {
        // What the log does not say is a default of the reading and of the forecast.
        let (params, tokens) =
            (options.clone().count("params", 1)?, options.clone().count("tokens_per_step", 1)?);
        let reading = requests::reading(paths, &mut options)?;
        let threads = requests::threads(&mut options)?;
        let (shape, final_lr) = (requests::shape(&mut options)?, requests::final_lr(&mut options)?);
        let total = options.count("steps", 1)?;
        let anneal_steps = options.count("anneal_steps", 1)?;
        let minutes =
            options.number("stalled_after", "minutes, above 0 and below 10⁹", |t| t > 0.0 && t < 1e9)?;
        let fitting = requests::fit_options(&mut options)?;
        options.done()?;
        let laws = match fit {
            Some(fit) => fit.laws(),
            None => own(std::slice::from_ref(&law))?,
        };
        let level = fit.map_or(fitting.level, |fit| fit.fit().options.level);
        let watch = Watch::new(WatchRequest {
            reading,
            fit: fit.map(|fit| (**fit.fit()).clone()),
            law: law.law()?,
            options: fitting,
            total,
            anneal_steps,
            stalled_after: minutes.map_or(STALLED, |minutes| Duration::from_secs_f64(60.0 * minutes)),
            setting: Setting { params: params.map(Params), tokens_per_step: tokens.map(Tokens), arch: None },
            start: StartOptions { shape, final_lr, ..StartOptions::default() },
        });
        Ok(NativeWatch { watch: Arc::new(Mutex::new(watch)), laws, level, threads })
    };
    begin().map_err(|failure| raise(py, &failure))
}

impl NativeWatch {
    fn place(&self) -> Place {
        Place { threads: self.threads, laws: self.laws.clone(), ..Place::default() }
    }
}

#[pymethods]
impl NativeWatch {
    /// Whether the logs have changed since the last poll.
    fn poll(&self, py: Python<'_>) -> PyResult<bool> {
        let watch = Arc::clone(&self.watch);
        ask(py, self.place(), None, move |desk| {
            watch.lock().unwrap_or_else(PoisonError::into_inner).poll(desk)
        })
    }

    /// Looks at the jobs as they were polled last: the answer, and its forecasts as lines of a file, made at `time`.
    fn look(&self, py: Python<'_>, time: String) -> PyResult<(NativeAnswer, Vec<String>)> {
        let watch = Arc::clone(&self.watch);
        let level = self.level;
        ask(py, self.place(), None, move |desk| {
            let answer =
                watch.lock().unwrap_or_else(PoisonError::into_inner).look(desk, SystemTime::now())?;
            let saved = answer.value.saved(&time, level);
            let lines: Result<Vec<String>, Failure> = saved.iter().map(SavedForecast::line).collect();
            Ok((NativeAnswer::of(&answer, None)?, lines?))
        })
    }
}

/// Names of the events.
#[pyfunction]
fn watch_events() -> Vec<&'static str> {
    EventKind::ALL.map(EventKind::name).to_vec()
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeWatch>()?;
    module.add_function(wrap_pyfunction!(watch_events, module)?)?;
    module.add_function(wrap_pyfunction!(watch, module)?)
}

//! Schedules.

use crate::answer::NativeAnswer;
use crate::ask::{Place, ask};
use crate::failure::raise;
use crate::options::Options;
use crate::requests;
use lehr::schedule::RecogniseOptions;
use lehr::{Schedule, Shape, Steps};
use lehr_app::export::{self, ExportAnswer, ExportRequest};
use lehr_app::schedule::ScheduleAnswer;
use lehr_app::{Answer, Desk, Failure, Files, Reading, documents};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;

/// A schedule.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeSchedule(Schedule);

impl NativeSchedule {
    /// Of the library's.
    pub fn of(schedule: Schedule) -> Self {
        Self(schedule)
    }
}

/// A schedule from its text.
#[pyfunction]
fn schedule(py: Python<'_>, text: &str) -> PyResult<NativeSchedule> {
    requests::schedule("schedule", text).map(NativeSchedule).map_err(|failure| raise(py, &failure))
}

/// A schedule of one rate an update.
#[pyfunction]
fn sampled(py: Python<'_>, rates: Vec<f64>) -> PyResult<NativeSchedule> {
    Schedule::sampled(rates).map(NativeSchedule).map_err(|error| raise(py, &Failure::usage(error)))
}

/// Recognises the schedule that a log followed: the schedule, and what is to be said of it.
#[pyfunction]
fn recognise(
    py: Python<'_>,
    log: PathBuf,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<(NativeSchedule, NativeAnswer)> {
    let mut options = Options::read(options)?;
    let read = || -> Result<_, Failure> {
        let read = RecogniseOptions {
            total: options.count("total", 1)?.map(Steps),
            warmup: options.count("warmup", 0)?.map(Steps),
            peak_lr: options.number("peak", "a rate above 0", |rate| rate > 0.0)?,
            ..RecogniseOptions::default()
        };
        options.done()?;
        Ok(read)
    };
    let read = read().map_err(|failure| raise(py, &failure))?;
    let (schedule, answer) = ask(py, Place::default(), None, move |desk| {
        let answer = desk.recognise(&Reading::of([log]), &read)?;
        Ok((answer.value.schedule.clone(), NativeAnswer::of(&answer, None)?))
    })?;
    Ok((NativeSchedule(schedule), answer))
}

#[pymethods]
impl NativeSchedule {
    /// As text.
    fn text(&self) -> String {
        self.0.to_string()
    }

    /// In words.
    fn describe(&self) -> String {
        self.0.describe()
    }

    /// Horizon.
    fn total(&self) -> u64 {
        self.0.total().0
    }

    /// Rate of an update, from 1.
    fn lr(&self, update: u64) -> f64 {
        self.0.lr(update)
    }

    /// The rate of every update: little-endian doubles.
    fn rates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = Desk::new(Files::Disk).check_horizon(self.0.total().0);
        limit.map_err(|failure| raise(py, &failure))?;
        let rates = py.detach(|| self.0.rates());
        PyBytes::new_with(py, rates.len() * 8, |to| {
            for (to, rate) in to.chunks_exact_mut(8).zip(&rates) {
                to.copy_from_slice(&rate.to_le_bytes());
            }
            Ok(())
        })
    }

    /// The document of `lehr schedule --json`.
    fn document(&self, py: Python<'_>) -> PyResult<String> {
        documents::text(&ScheduleAnswer::of(self.0.clone(), None)).map_err(|failure| raise(py, &failure))
    }

    fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The first updates of it.
    fn truncate(&self, py: Python<'_>, updates: u64) -> PyResult<Self> {
        self.0.truncate(Steps(updates)).map(Self).map_err(|error| raise(py, &Failure::usage(error)))
    }

    /// It, and then more updates at its last rate.
    fn extend(&self, py: Python<'_>, updates: u64) -> PyResult<Self> {
        self.0.extend(Steps(updates)).map(Self).map_err(|error| raise(py, &Failure::usage(error)))
    }

    /// The same up to an update, and from there an annealing.
    fn anneal_from(
        &self,
        py: Python<'_>,
        update: u64,
        updates: u64,
        shape: &str,
        final_lr: f64,
    ) -> PyResult<Self> {
        let shape: Shape = shape.parse().map_err(|error| raise(py, &Failure::usage(error)))?;
        self.0
            .anneal_from(Steps(update), Steps(updates), shape, final_lr)
            .map(Self)
            .map_err(|error| raise(py, &Failure::usage(error)))
    }

    /// A trainer's configuration: the answer, whose `extra()` is the configuration.
    #[pyo3(signature = (target, from_step=None))]
    fn export(&self, py: Python<'_>, target: String, from_step: Option<u64>) -> PyResult<NativeAnswer> {
        let schedule = self.0.clone();
        ask(py, Place::default(), None, move |desk| {
            desk.check_horizon(schedule.total().0)?;
            let made = ExportRequest { target, from_step }.make(&schedule)?;
            let answer = NativeAnswer::of(&Answer::plain(ExportAnswer::from(&made)), None)?;
            Ok(answer.with(Some(export::bytes(&made).to_vec())))
        })
    }
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeSchedule>()?;
    module.add_function(wrap_pyfunction!(schedule, module)?)?;
    module.add_function(wrap_pyfunction!(sampled, module)?)?;
    module.add_function(wrap_pyfunction!(recognise, module)?)
}

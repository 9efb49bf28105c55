//! Runs that were read, held for the questions about them.

use crate::answer::{NativeAnswer, caveats, notes};
use crate::ask::{Place, ask, files};
use crate::failure::raise;
use crate::fit::NativeFit;
use crate::law::{Named, own};
use crate::options::Options;
use crate::requests;
use lehr::{Caveat, Curve, RunMeta, Schedule};
use lehr_app::compare::CompareRequest;
use lehr_app::inspect::RunLine;
use lehr_app::transfer::{TransferRequest, TransferTarget};
use lehr_app::validate::ValidateRequest;
use lehr_app::{Failure, Reading, Runs, pictures};
use lehr_io::Note;
use lehr_io::run_store::{MANIFEST, POINTS, StoreWriter};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Runs, with a line of a table for each.
#[derive(Debug, Clone)]
struct Held {
    runs: Runs,
    /// What [`RunLine`] says of each run, as JSON objects.
    lines: Vec<serde_json::Value>,
}

/// Runs that were read.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeRuns(Arc<Held>);

/// One run as it is kept in a pickle.
#[derive(Debug, Serialize, Deserialize)]
struct KeptRun {
    meta: RunMeta,
    schedule: Schedule,
    step: Vec<u64>,
    loss: Vec<f64>,
    line: serde_json::Value,
}

/// All runs as they are kept in a pickle.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    runs: Vec<KeptRun>,
    caveats: Vec<Caveat>,
    notes: Vec<Note>,
}

/// Version of [`Kept`].
const KEPT: u32 = 1;

/// Reads what `Desk::runs` reads, with a line for each run.
fn read_held(desk: &lehr_app::Desk, reading: &Reading) -> Result<Held, Failure> {
    let mut lines = Vec::new();
    let mut curves = Vec::new();
    let mut all = Vec::new();
    let summary = desk.for_each_run(reading, &mut |run| {
        desk.check_horizon(run.curve.schedule().total().0).map_err(|failure| {
            Failure::usage(format_args!("{}: run '{}': {failure}", run.file, run.curve.meta().id))
                .hint("steps in tokens or samples are brought to updates by [[tokens_per_step]] or [[samples_per_step]]")
                .within(&run.file)
        })?;
        lehr_app::answer::add_caveats(&mut all, run.caveats.clone());
        curves.push(run.curve.clone());
        lines.push(serde_json::to_value(RunLine::of(run))?);
        Ok(())
    })?;
    Ok(Held { runs: Runs { curves, caveats: all, notes: summary.notes, condensed: 0 }, lines })
}

/// Reads logs; `files` are files in memory by name, read in place of the disk.
#[pyfunction]
#[pyo3(signature = (paths, options, progress=None, files=None))]
fn read(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    options: Option<&Bound<'_, PyDict>>,
    progress: Option<&Bound<'_, PyAny>>,
    files: Option<Vec<(String, Vec<u8>)>>,
) -> PyResult<NativeRuns> {
    let place = Place { files: self::files(files), ..Place::default() };
    let mut options = Options::read(options)?;
    let reading = requests::reading(paths, &mut options).and_then(|reading| options.done().map(|()| reading));
    let reading = reading.map_err(|failure| raise(py, &failure))?;
    let held = ask(py, place, progress, move |desk| read_held(desk, &reading))?;
    Ok(NativeRuns(Arc::new(held)))
}

/// Which of these names a list of patterns chooses, as `run=` does: `*`, `?`, `[ab]`, `!` before a pattern that leaves out, and a name
/// without its folder.
#[pyfunction]
fn chosen(patterns: Vec<String>, names: Vec<String>) -> Vec<usize> {
    (0..names.len()).filter(|&i| lehr_io::is_wanted(&patterns, &names[i])).collect()
}

/// Runs from what [`NativeRuns::state`] gave.
#[pyfunction]
fn runs_from_state(py: Python<'_>, state: &[u8]) -> PyResult<NativeRuns> {
    let held = restore(state).map_err(|failure| raise(py, &failure))?;
    Ok(NativeRuns(Arc::new(held)))
}

fn restore(state: &[u8]) -> Result<Held, Failure> {
    let kept: Kept = serde_json::from_slice(state)
        .map_err(|error| Failure::usage(format_args!("these bytes are no runs that lehr kept: {error}")))?;
    if kept.format != KEPT {
        return Err(Failure::usage(format_args!(
            "runs kept in format {}; this version reads format {KEPT}",
            kept.format
        )));
    }
    let (mut curves, mut lines) = (Vec::new(), Vec::new());
    for KeptRun { meta, schedule, step, loss, line } in kept.runs {
        curves.push(Curve::new(meta, schedule, step, loss).map_err(Failure::new)?);
        lines.push(line);
    }
    Ok(Held { runs: Runs { curves, caveats: kept.caveats, notes: kept.notes, condensed: 0 }, lines })
}

fn bytes_of<'py, T: Copy, const N: usize>(
    py: Python<'py>,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, values.len() * N, |to| {
        for (to, value) in to.chunks_exact_mut(N).zip(values) {
            to.copy_from_slice(&bytes(*value));
        }
        Ok(())
    })
}

impl NativeRuns {
    /// The runs, for a question on another thread.
    pub fn runs(&self) -> impl FnOnce() -> Runs + Send + 'static {
        let held = Arc::clone(&self.0);
        move || held.runs.clone()
    }

    fn curve(&self, i: usize) -> PyResult<&Curve> {
        self.0
            .runs
            .curves
            .get(i)
            .ok_or_else(|| pyo3::exceptions::PyIndexError::new_err(format!("there is no run {i}")))
    }
}

#[pymethods]
impl NativeRuns {
    fn __len__(&self) -> usize {
        self.0.runs.curves.len()
    }

    /// The lines of `lehr inspect`, a JSON list.
    fn lines(&self) -> String {
        serde_json::Value::from(self.0.lines.clone()).to_string()
    }

    /// Caveats of all runs, a JSON list.
    fn caveats(&self, py: Python<'_>) -> PyResult<String> {
        caveats(&self.0.runs.caveats).map_err(|failure| raise(py, &failure))
    }

    /// What was done with the data, a JSON list.
    fn notes(&self, py: Python<'_>) -> PyResult<String> {
        notes(&self.0.runs.notes).map_err(|failure| raise(py, &failure))
    }

    /// Updates of a run's points: little-endian unsigned 64-bit integers.
    fn step<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyBytes>> {
        bytes_of(py, self.curve(i)?.step(), u64::to_le_bytes)
    }

    /// Losses of a run's points: little-endian doubles.
    fn loss<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyBytes>> {
        bytes_of(py, self.curve(i)?.loss(), f64::to_le_bytes)
    }

    /// Rates of a run's points: little-endian doubles.
    fn lr<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyBytes>> {
        let curve = self.curve(i)?;
        let rates: Vec<f64> = curve.step().iter().map(|&t| curve.schedule().lr(t)).collect();
        bytes_of(py, &rates, f64::to_le_bytes)
    }

    /// A run's schedule.
    fn schedule(&self, i: usize) -> PyResult<crate::schedule::NativeSchedule> {
        Ok(crate::schedule::NativeSchedule::of(self.curve(i)?.schedule().clone()))
    }

    /// Some of the runs, in this order.
    fn subset(&self, indices: Vec<usize>) -> PyResult<Self> {
        let curves = indices.iter().map(|&i| self.curve(i).cloned()).collect::<PyResult<Vec<_>>>()?;
        let lines = indices.iter().map(|&i| self.0.lines[i].clone()).collect();
        let runs = Runs { curves, ..self.0.runs.clone() };
        Ok(Self(Arc::new(Held { runs, lines })))
    }

    /// These runs and then others.
    fn joined(&self, py: Python<'_>, other: &Self) -> PyResult<Self> {
        let (mut runs, mut lines) = (self.0.runs.clone(), self.0.lines.clone());
        for curve in &other.0.runs.curves {
            let id = &curve.meta().id;
            if runs.curves.iter().any(|known| known.meta().id == *id) {
                return Err(raise(
                    py,
                    &Failure::usage(format_args!("two runs are named '{id}'")).hint("rename one"),
                ));
            }
        }
        runs.curves.extend(other.0.runs.curves.iter().cloned());
        runs.notes.extend(other.0.runs.notes.iter().cloned());
        lehr_app::answer::add_caveats(&mut runs.caveats, other.0.runs.caveats.clone());
        lines.extend(other.0.lines.iter().cloned());
        Ok(Self(Arc::new(Held { runs, lines })))
    }

    /// Everything, for a pickle.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let held = Arc::clone(&self.0);
        let bytes = py.detach(move || {
            let runs = held.runs.curves.iter().zip(&held.lines).map(|(curve, line)| KeptRun {
                meta: curve.meta().clone(),
                schedule: curve.schedule().clone(),
                step: curve.step().to_vec(),
                loss: curve.loss().to_vec(),
                line: line.clone(),
            });
            serde_json::to_vec(&Kept {
                format: KEPT,
                runs: runs.collect(),
                caveats: held.runs.caveats.clone(),
                notes: held.runs.notes.clone(),
            })
        });
        let bytes = bytes.map_err(|error| raise(py, &Failure::from(error)))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// A run store in memory, as files by name, for questions that read logs.
    fn store(&self, py: Python<'_>, folder: &str) -> PyResult<Vec<(String, Vec<u8>)>> {
        let held = Arc::clone(&self.0);
        let made = py.detach(|| -> Result<_, Failure> {
            let mut writer = StoreWriter::new(folder, Vec::new(), 1)?;
            for curve in &held.runs.curves {
                writer.push(curve, folder)?;
            }
            Ok(writer.finish()?)
        });
        let (points, manifest) = made.map_err(|failure| raise(py, &failure))?;
        Ok(vec![
            (format!("{folder}/{POINTS}"), points),
            (format!("{folder}/{MANIFEST}"), manifest.into_bytes()),
        ])
    }

    /// Whether two have the same points, schedules and metadata.
    fn same(&self, other: &Self) -> bool {
        self.0.runs.curves == other.0.runs.curves
    }

    /// Compares laws on these runs.
    #[pyo3(signature = (laws, options, progress=None))]
    fn compare(
        &self,
        py: Python<'_>,
        laws: Vec<Named<'_>>,
        options: Option<&Bound<'_, PyDict>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let request = || -> Result<_, Failure> {
            let known = own(&laws)?;
            let laws = match &laws[..] {
                [] => lehr::law::all(),
                named => named.iter().map(Named::law).collect::<Result<_, _>>()?,
            };
            let threads = requests::threads(&mut options)?;
            let splitting = requests::splitting(&mut options)?;
            let request = CompareRequest {
                reading: Reading::default(),
                laws,
                options: requests::fit_options(&mut options)?,
                splitting,
            };
            options.done()?;
            Ok((request, Place { threads, laws: known, ..Place::default() }))
        };
        let (request, place) = request().map_err(|failure| raise(py, &failure))?;
        let runs = self.runs();
        ask(py, place, progress, move |desk| {
            let answer = desk.compare_runs(runs(), &request)?;
            let picture = pictures::comparison(&answer.value.contenders);
            NativeAnswer::of(&answer, Some(picture))
        })
    }

    /// Judges a law on runs that its fit did not see.
    #[pyo3(signature = (law, options, progress=None))]
    fn validate(
        &self,
        py: Python<'_>,
        law: Named<'_>,
        options: Option<&Bound<'_, PyDict>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let request = || -> Result<_, Failure> {
            let threads = requests::threads(&mut options)?;
            let request = ValidateRequest {
                reading: Reading::default(),
                law: law.law()?,
                coverage: options.flag("coverage")?,
                splitting: requests::splitting(&mut options)?,
                options: requests::fit_options(&mut options)?,
            };
            options.done()?;
            let laws = own(std::slice::from_ref(&law))?;
            Ok((request, Place { threads, laws, ..Place::default() }))
        };
        let (request, place) = request().map_err(|failure| raise(py, &failure))?;
        let runs = self.runs();
        ask(py, place, progress, move |desk| NativeAnswer::of(&desk.validate_runs(runs(), &request)?, None))
    }

    /// Says how the optimal ratio moves.
    #[pyo3(signature = (fit, options, progress=None))]
    fn transfer(
        &self,
        py: Python<'_>,
        fit: Option<&NativeFit>,
        options: Option<&Bound<'_, PyDict>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let request = || -> Result<_, Failure> {
            let target = match (options.has("peak_lr"), options.has("steps")) {
                (false, false) if options.has("target_params") => {
                    return Err(Failure::usage(
                        "[[target_params]] is given without [[peak_lr]] and [[steps]]",
                    ));
                }
                (false, false) => None,
                _ => Some(TransferTarget {
                    peak_lr: requests::peak_lr(&mut options)?,
                    total: requests::steps(&mut options)?,
                    params: options.count("target_params", 1)?,
                }),
            };
            let request = TransferRequest {
                reading: Reading::default(),
                fit: fit.map(|fit| (**fit.fit()).clone()),
                target,
                arch: requests::family(&mut options)?,
                across_architectures: options.flag("across_architectures")?,
                level: requests::level(&mut options)?.unwrap_or_default(),
            };
            options.done()?;
            Ok(request)
        };
        let request = request().map_err(|failure| raise(py, &failure))?;
        let runs = self.runs();
        let place = Place { laws: fit.map(NativeFit::laws).unwrap_or_default(), ..Place::default() };
        ask(py, place, progress, move |desk| {
            let answer = desk.transfer_runs(runs(), &request)?;
            let picture = answer.value.picture();
            NativeAnswer::of(&answer, Some(picture.into()))
        })
    }
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeRuns>()?;
    module.add_function(wrap_pyfunction!(read, module)?)?;
    module.add_function(wrap_pyfunction!(chosen, module)?)?;
    module.add_function(wrap_pyfunction!(runs_from_state, module)?)
}

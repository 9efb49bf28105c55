//! A fit, and the questions that need nothing else.

use crate::answer::NativeAnswer;
use crate::ask::{ask, ask_of};
use crate::failure::raise;
use crate::options::Options;
use crate::requests;
use crate::runs::NativeRuns;
use lehr::fit::Fit;
use lehr_app::fit::{FitRequest, parse_fit, to_file};
use lehr_app::forecast::ForecastRequest;
use lehr_app::recommend::RecommendRequest;
use lehr_app::{Failure, Files, Reading, export, laws, pictures};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::Arc;

/// A fitted law.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeFit(Arc<Fit>);

impl NativeFit {
    /// The fit itself.
    pub fn fit(&self) -> &Fit {
        &self.0
    }
}

/// Fits a law to runs: the fit, and its answer.
#[pyfunction]
#[pyo3(signature = (runs, law, options, progress=None))]
fn fit(
    py: Python<'_>,
    runs: &NativeRuns,
    law: &str,
    options: Option<&Bound<'_, PyDict>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(NativeFit, NativeAnswer)> {
    let mut options = Options::read(options)?;
    let request = || -> Result<_, Failure> {
        let threads = requests::threads(&mut options)?;
        let request = FitRequest {
            reading: Reading::default(),
            law: laws::named(law)?,
            profile: options.flag("profile")?,
            bootstrap: options.count("bootstrap", 0)?,
            options: requests::fit_options(&mut options)?,
        };
        options.done()?;
        Ok((request, threads))
    };
    let (request, threads) = request().map_err(|failure| raise(py, &failure))?;
    let runs = runs.runs();
    let (fit, answer) = ask_of(py, Files::Disk, threads, progress, move |desk| {
        let answer = desk.fit_runs(runs(), &request)?;
        let picture = pictures::residuals(&answer.value.fit, request.law, &answer.value.curves);
        Ok((answer.value.fit.clone(), NativeAnswer::of(&answer, Some(picture))?))
    })?;
    Ok((NativeFit(Arc::new(fit)), answer))
}

/// A fit from the text of its file; `name` is said in errors.
#[pyfunction]
fn fit_from_text(py: Python<'_>, name: &str, text: &str) -> PyResult<NativeFit> {
    let fit = parse_fit(name, text).map_err(|failure| raise(py, &failure.within(name)))?;
    Ok(NativeFit(Arc::new(fit)))
}

#[pymethods]
impl NativeFit {
    /// The text of the fit's file, as `lehr fit -o` writes it.
    fn text(&self, py: Python<'_>) -> PyResult<String> {
        to_file(&self.0).map_err(|failure| raise(py, &failure))
    }

    /// Whether two are equal, coefficient by coefficient and refit by refit.
    fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Forecasts a run.
    #[pyo3(signature = (options, measured=None, progress=None))]
    fn forecast(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        measured: Option<Vec<PathBuf>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let fit = Arc::clone(&self.0);
        let request = || -> Result<_, Failure> {
            let request = ForecastRequest {
                fit: (*fit).clone(),
                plan: requests::plan(&mut options)?,
                setting: requests::setting(&mut options)?,
                at: options.counts("at")?,
                level: requests::level(&mut options)?,
                measured: measured.map(Reading::of),
            };
            options.done()?;
            Ok(request)
        };
        let request = request().map_err(|failure| raise(py, &failure))?;
        ask(py, progress, move |desk| {
            let answer = desk.forecast(&request)?;
            let picture = answer.value.picture(&request.fit);
            NativeAnswer::of(&answer, Some(picture.into()))
        })
    }

    /// Recommends an annealing ratio.
    #[pyo3(signature = (options, measured=None, progress=None))]
    fn recommend(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        measured: Option<Vec<PathBuf>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(NativeAnswer, String)> {
        let mut options = Options::read(options)?;
        let fit = Arc::clone(&self.0);
        let request = || -> Result<_, Failure> {
            let (peak_lr, total, warmup, shape, final_lr) = requests::target(&mut options)?;
            let request = RecommendRequest {
                fit: (*fit).clone(),
                peak_lr,
                total,
                warmup,
                shape,
                final_lr,
                setting: requests::setting(&mut options)?,
                options: requests::search(&mut options)?,
                optimise_shape: options.flag("optimise_shape")?,
                free_schedule: options.flag("free_schedule")?,
                measured: measured.map(Reading::of),
                export: requests::export(&mut options)?,
            };
            options.done()?;
            Ok(request)
        };
        let request = request().map_err(|failure| raise(py, &failure))?;
        ask(py, progress, move |desk| {
            let answer = desk.recommend(&request)?;
            let picture = answer.value.picture(&request.fit);
            let best =
                answer.value.target.schedule(lehr::Steps(answer.value.anneal_steps)).map_err(Failure::new)?;
            let made = answer.value.made.as_ref().map(|made| export::bytes(made).to_vec());
            Ok((NativeAnswer::of(&answer, Some(picture.into()))?.with(made), best.to_string()))
        })
    }
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeFit>()?;
    module.add_function(wrap_pyfunction!(fit, module)?)?;
    module.add_function(wrap_pyfunction!(fit_from_text, module)?)
}

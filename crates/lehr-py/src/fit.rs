//! A fit, and the questions that need nothing else.

use crate::answer::NativeAnswer;
use crate::ask::{Place, ask, files};
use crate::failure::raise;
use crate::law::{Laws, Named, NativeLaw, own};
use crate::options::Options;
use crate::requests;
use crate::runs::NativeRuns;
use lehr::fit::Fit;
use lehr_app::documents::Document;
use lehr_app::fit::{FitRequest, parse_fit, to_file};
use lehr_app::forecast::ForecastRequest;
use lehr_app::{Answer, Desk, Failure, Reading, export, pictures};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::Arc;

/// A fitted law.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeFit {
    fit: Arc<Fit>,
    laws: Laws,
}

/// Logs: paths, and the files in memory where they are not on the disk.
pub type Logs = (Vec<PathBuf>, Option<Vec<(String, Vec<u8>)>>);

impl NativeFit {
    /// The fit itself.
    pub fn fit(&self) -> &Arc<Fit> {
        &self.fit
    }

    /// Its law, if that is one from Python.
    pub fn laws(&self) -> Laws {
        self.laws.clone()
    }

    /// Where a question about it and about these logs is asked.
    pub fn place(&self, logs: Option<&Logs>) -> Place {
        Place {
            files: files(logs.and_then(|(_, files)| files.clone())),
            laws: self.laws(),
            ..Place::default()
        }
    }
}

impl NativeFit {
    /// Asks a question that needs the fit and options alone, and whose answer has no picture.
    fn plainly<R: Send + 'static, D: Document>(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        progress: Option<&Bound<'_, PyAny>>,
        request: impl FnOnce(&mut Options, &Arc<Fit>) -> Result<R, Failure>,
        answer: impl FnOnce(&Desk, &R) -> Result<Answer<D>, Failure> + Send + 'static,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let request = request(&mut options, &self.fit).and_then(|request| options.done().map(|()| request));
        let request = request.map_err(|failure| raise(py, &failure))?;
        ask(py, self.place(None), progress, move |desk| NativeAnswer::of(&answer(desk, &request)?, None))
    }
}

/// Fits a law to runs: the fit, and its answer.
#[pyfunction]
#[pyo3(signature = (runs, law, options, progress=None))]
fn fit(
    py: Python<'_>,
    runs: &NativeRuns,
    law: Named<'_>,
    options: Option<&Bound<'_, PyDict>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(NativeFit, NativeAnswer)> {
    let mut options = Options::read(options)?;
    let request = || -> Result<_, Failure> {
        let threads = requests::threads(&mut options)?;
        let request = FitRequest {
            reading: Reading::default(),
            law: law.law()?,
            profile: options.flag("profile")?,
            bootstrap: options.count("bootstrap", 0)?,
            options: requests::fit_options(&mut options)?,
        };
        options.done()?;
        let laws = own(std::slice::from_ref(&law))?;
        Ok((request, Place { threads, laws, ..Place::default() }))
    };
    let (request, place) = request().map_err(|failure| raise(py, &failure))?;
    let runs = runs.runs();
    let laws = place.laws.clone();
    let (fit, answer) = ask(py, place, progress, move |desk| {
        let answer = desk.fit_runs(runs(), &request)?;
        let picture = pictures::residuals(&answer.value.fit, request.law, &answer.value.curves);
        Ok((answer.value.fit.clone(), NativeAnswer::of(&answer, Some(picture))?))
    })?;
    Ok((NativeFit { fit: Arc::new(fit), laws }, answer))
}

/// A fit from the text of its file; `name` is said in errors, `laws` are those from Python that it may be of.
#[pyfunction]
fn fit_from_text(
    py: Python<'_>,
    name: &str,
    text: &str,
    laws: Vec<Bound<'_, NativeLaw>>,
) -> PyResult<NativeFit> {
    let laws: Vec<Named<'_>> = laws.into_iter().map(Named::Own).collect();
    let read = || -> Result<NativeFit, Failure> {
        let laws = own(&laws)?;
        let fit = parse_fit(name, text).map_err(|failure| failure.within(name))?;
        let unknown = format!("{name}: a fit of the law '{}', which is not known here", fit.law);
        let fit = fit.resolve(&laws.registry()?).map_err(|_| {
            Failure::new(unknown)
                .hint("if it is written in Python, hand it over: Fit.load(path, laws=[law])")
                .within(name)
        })?;
        let laws = laws.named(&fit.law);
        Ok(NativeFit { fit: Arc::new(fit), laws })
    };
    read().map_err(|failure| raise(py, &failure))
}

#[pymethods]
impl NativeFit {
    /// The text of the fit's file, as `lehr fit -o` writes it.
    fn text(&self, py: Python<'_>) -> PyResult<String> {
        to_file(&self.fit).map_err(|failure| raise(py, &failure))
    }

    /// Whether two are equal, coefficient by coefficient and refit by refit.
    fn same(&self, other: &Self) -> bool {
        self.fit == other.fit
    }

    /// Forecasts a run.
    #[pyo3(signature = (options, measured=None, progress=None))]
    fn forecast(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        measured: Option<Logs>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let place = self.place(measured.as_ref());
        let request = || -> Result<_, Failure> {
            let setting = requests::setting(&mut options)?;
            let request = ForecastRequest {
                plan: requests::plan(&mut options, &self.fit, &setting)?,
                fit: Arc::clone(&self.fit),
                setting,
                at: options.counts("at", 0)?,
                level: requests::level(&mut options)?,
                measured: measured.map(|(paths, _)| Reading::of(paths)),
            };
            options.done()?;
            Ok(request)
        };
        let request = request().map_err(|failure| raise(py, &failure))?;
        ask(py, place, progress, move |desk| {
            let answer = desk.forecast(&request)?;
            let picture = answer.value.picture(&request.fit);
            NativeAnswer::of(&answer, Some(picture.into()))
        })
    }

    /// Forecasts a job that is running.
    #[pyo3(signature = (options, running, progress=None))]
    fn forecast_running(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        running: Logs,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        let mut options = Options::read(options)?;
        let place = self.place(Some(&running));
        let request = requests::forecast_running(&mut options, &self.fit, running.0)
            .and_then(|request| options.done().map(|()| request));
        let request = request.map_err(|failure| raise(py, &failure))?;
        ask(py, place, progress, move |desk| {
            let answer = desk.forecast_running(&request)?;
            let picture = answer.value.picture(&request.job.fit);
            NativeAnswer::of(&answer, Some(picture.into()))
        })
    }

    /// Recommends an annealing ratio: the answer, and the schedule.
    #[pyo3(signature = (options, measured=None, progress=None))]
    fn recommend(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        measured: Option<Logs>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(NativeAnswer, String)> {
        let mut options = Options::read(options)?;
        let place = self.place(measured.as_ref());
        let request =
            requests::recommend(&mut options, &self.fit).and_then(|request| options.done().map(|()| request));
        let mut request = request.map_err(|failure| raise(py, &failure))?;
        request.measured = measured.map(|(paths, _)| Reading::of(paths));
        ask(py, place, progress, move |desk| {
            let answer = desk.recommend(&request)?;
            let picture = answer.value.picture(&request.fit);
            let best =
                answer.value.target.schedule(lehr::Steps(answer.value.anneal_steps)).map_err(Failure::new)?;
            let made = answer.value.made.as_ref().map(|made| export::bytes(made).to_vec());
            Ok((NativeAnswer::of(&answer, Some(picture.into()))?.with(made), best.to_string()))
        })
    }

    /// Recommends an annealing ratio for each of several targets.
    #[pyo3(signature = (options, progress=None))]
    fn recommend_rows(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        self.plainly(py, options, progress, requests::recommend_rows, |desk, request| {
            desk.recommend_rows(request)
        })
    }

    /// Recommends peak rate, batch and annealing ratio together.
    #[pyo3(signature = (options, progress=None))]
    fn recommend_jointly(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<NativeAnswer> {
        self.plainly(py, options, progress, requests::recommend_jointly, |desk, request| {
            desk.recommend_jointly(request)
        })
    }

    /// Says when a running job should begin to anneal: the answer, and the schedule with the best start.
    #[pyo3(signature = (options, running, progress=None))]
    fn recommend_running(
        &self,
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        running: Logs,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(NativeAnswer, String)> {
        let mut options = Options::read(options)?;
        let place = self.place(Some(&running));
        let request = requests::recommend_running(&mut options, &self.fit, running.0)
            .and_then(|request| options.done().map(|()| request));
        let request = request.map_err(|failure| raise(py, &failure))?;
        ask(py, place, progress, move |desk| {
            let answer = desk.running(&request)?;
            let picture = answer.value.picture(&request.job.fit);
            let made = answer.value.made.as_ref().map(|made| export::bytes(made).to_vec());
            let schedule = answer.value.schedule.to_string();
            Ok((NativeAnswer::of(&answer, Some(picture.into()))?.with(made), schedule))
        })
    }
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeFit>()?;
    module.add_function(wrap_pyfunction!(fit, module)?)?;
    module.add_function(wrap_pyfunction!(fit_from_text, module)?)
}

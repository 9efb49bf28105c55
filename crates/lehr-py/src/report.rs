//! The report.

use crate::answer::NativeAnswer;
use crate::ask::{Place, ask, files};
use crate::failure::raise;
use crate::fit::{Logs, NativeFit};
use crate::law::{Named, own};
use crate::options::Options;
use crate::requests;
use lehr_app::report::ReportRequest;
use lehr_app::{Failure, Reading};
use lehr_page::{ReportFormat, render};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A report named `name`: the answer, whether it is a folder, and its files.
#[pyfunction]
#[pyo3(signature = (name, fit, runs, law, options, progress=None))]
fn report(
    py: Python<'_>,
    name: String,
    fit: Option<&NativeFit>,
    runs: Option<Logs>,
    law: Named<'_>,
    options: Option<&Bound<'_, PyDict>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(NativeAnswer, bool, Vec<(String, Vec<u8>)>)> {
    let mut options = Options::read(options)?;
    let request = || -> Result<_, Failure> {
        let laws = match fit {
            Some(fit) => fit.laws(),
            None => own(std::slice::from_ref(&law))?,
        };
        let place = Place {
            threads: requests::threads(&mut options)?,
            files: files(runs.as_ref().and_then(|(_, files)| files.clone())),
            laws,
        };
        let request = ReportRequest {
            fit: fit.map(|fit| (**fit.fit()).clone()),
            reading: runs.map(|(paths, _)| Reading::of(paths)),
            law: law.law()?,
            peak_lr: requests::some_peak_lr(&mut options)?,
            total: options.count("steps", 1)?,
            warmup: options.count("warmup", 0)?,
            shape: requests::shape(&mut options)?,
            final_lr: requests::final_lr(&mut options)?,
            setting: requests::setting(&mut options)?,
            compare: !options.flag("skip_laws")?,
            options: requests::fit_options(&mut options)?,
            command: "lehr.report() in Python".to_owned(),
            inputs: Vec::new(),
        };
        options.done()?;
        Ok((ReportFormat::from_name(&name)?, request, place))
    };
    let (format, request, place) = request().map_err(|failure| raise(py, &failure))?;
    ask(py, place, progress, move |desk| {
        let answer = desk.report(&request)?;
        let files = render(&answer.value, format, &name)?;
        Ok((NativeAnswer::of(&answer, None)?, format == ReportFormat::Folder, files))
    })
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(report, module)?)
}

//! The Python package's extension: answers of `lehr-app`, asked from Python.
//!
//! Nothing is computed here. A question comes in as keyword arguments (`options`), is asked on a thread of its own with the
//! interpreter's lock released (`ask`), and its answer goes out as the JSON document that the command prints, so that numbers
//! are the same to the last bit. The Python layer (`python/lehr`) makes objects of it.

mod answer;
mod ask;
mod failure;
mod fit;
mod law;
mod options;
mod plan;
mod report;
mod requests;
mod runs;
mod schedule;
mod train;
mod watch;

use lehr_cli::Program;
use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs one command line in this process and gives its exit code; `program` and `words` start the command again.
#[pyfunction]
fn command(py: Python<'_>, words: Vec<OsString>, program: OsString, before: Vec<String>) -> u8 {
    let program = Program { file: Some(program.into()), words: before };
    py.detach(|| lehr_cli::command(&words, program))
}

/// Makes a panic, to test that it becomes an exception.
#[pyfunction]
fn provoke_panic(py: Python<'_>) -> PyResult<()> {
    ask::ask(py, ask::Place::default(), None, |_| -> Result<(), lehr_app::Failure> {
        panic!("provoked by a test")
    })
}

/// Asks nothing, to measure what a question costs.
#[pyfunction]
fn ask_nothing(py: Python<'_>) -> PyResult<()> {
    ask::ask(py, ask::Place::default(), None, |_| Ok(()))
}

#[pymodule]
fn _lehr(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(command, module)?)?;
    module.add_function(wrap_pyfunction!(provoke_panic, module)?)?;
    module.add_function(wrap_pyfunction!(ask_nothing, module)?)?;
    runs::register(module)?;
    fit::register(module)?;
    schedule::register(module)?;
    law::register(module)?;
    watch::register(module)?;
    plan::register(module)?;
    report::register(module)?;
    train::register(module)?;
    answer::register(module)
}

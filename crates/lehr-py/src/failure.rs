//! Failures as Python exceptions, with options worded as keyword arguments.

use lehr_app::failure::{keyword, worded};
use lehr_app::{Failure, FailureKind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Text as Python says it: `[[tokens_per_step]]` and `--tokens-per-step` become `tokens_per_step=`.
pub fn in_python(text: &str) -> String {
    let text = worded(text, keyword);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("--") {
        let (before, after) = rest.split_at(at);
        let word = &after[2..];
        let end = word.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(word.len());
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '-');
        out.push_str(before);
        if begins && end > 1 && word.starts_with(|c: char| c.is_ascii_lowercase()) {
            out.push_str(&word[..end].replace('-', "_"));
            out.push('=');
            rest = word[end..].strip_prefix(' ').unwrap_or(&word[end..]);
        } else {
            out.push_str("--");
            rest = word;
        }
    }
    out.push_str(rest);
    out
}

/// The exception of a failure, made by `lehr.errors.of`.
pub fn raise(py: Python<'_>, failure: &Failure) -> PyErr {
    match exception(py, failure) {
        Ok(error) => error,
        // The package's own Python layer is missing: say it in the plainest way.
        Err(_) => PyRuntimeError::new_err(in_python(failure.message())),
    }
}

fn exception(py: Python<'_>, failure: &Failure) -> PyResult<PyErr> {
    if failure.kind() == FailureKind::Interrupted {
        return Ok(PyKeyboardInterrupt::new_err(in_python(failure.message())));
    }
    let parts = PyDict::new(py);
    let kind = match failure.kind() {
        FailureKind::Request => "request",
        FailureKind::Caveat => "caveat",
        _ => "no-answer",
    };
    parts.set_item("kind", kind)?;
    parts.set_item("message", in_python(failure.message()))?;
    parts.set_item("remedy", failure.remedy().map(in_python))?;
    if let Some(fault) = failure.fault() {
        parts.set_item("file", &fault.file)?;
        parts.set_item("line", fault.line)?;
        parts.set_item("found", &fault.found)?;
        parts.set_item("expected", fault.expected.as_deref().map(in_python))?;
    }
    let notes: Vec<String> = failure.notes().iter().map(|note| in_python(&note.to_string())).collect();
    parts.set_item("notes", notes)?;
    let made = py.import("lehr.errors")?.getattr("of")?.call((), Some(&parts))?;
    Ok(PyErr::from_value(made))
}

/// The exception of a panic: a fault of this package, to be reported.
pub fn internal(py: Python<'_>, what: &str) -> PyErr {
    let made = py
        .import("lehr.errors")
        .and_then(|module| module.getattr("internal"))
        .and_then(|internal| internal.call1((what,)));
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(_) => PyRuntimeError::new_err(what.to_owned()),
    }
}

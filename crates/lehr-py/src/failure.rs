//! Failures as Python exceptions, with options worded as keyword arguments.

use lehr_app::failure::{flag, keyword, worded};
use lehr_app::{Failure, FailureKind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Text as Python says it: `[[tokens_per_step]]` and `--tokens-per-step` become `tokens_per_step=`, with the value behind it as
/// Python writes it (`[[law]] noise-relaxation`: `law='noise-relaxation'`, `[[map]] step=NAME`: `map={'step': NAME}`). What stands
/// between backticks and begins with `lehr` is the command, which the package carries, too: it stays.
pub fn in_python(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split('`').enumerate() {
        if i > 0 {
            out.push('`');
        }
        if i % 2 == 1 && part.starts_with("lehr") {
            out.push_str(&worded(part, flag));
        } else {
            out.push_str(&keywords(part));
        }
    }
    out
}

/// Words that are values where they stand behind these options.
const VALUES: [(&str, &str); 6] = [
    ("law=", "noise-relaxation"),
    ("points=", "all"),
    ("export=", "torch"),
    ("leave_out=", "run"),
    ("optimise=", "peak-lr"),
    ("first_update=", "found"),
];

/// Options that are true or false.
const SWITCHES: [&str; 6] =
    ["drop_nan", "stitch", "published", "optimise_shape", "free_schedule", "across_architectures"];

/// Text whose options are keyword arguments.
fn keywords(text: &str) -> String {
    let text = flags(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("= ") {
        let (before, after) = rest.split_at(at + 1);
        let value = &after[1..];
        let name =
            before.rsplit(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).nth(1);
        out.push_str(before);
        // The blank goes where a value follows; where the sentence goes on, it stays.
        rest = value;
        let word = value.split([' ', ',', ';', ')']).next().unwrap_or_default();
        let known = VALUES.iter().find(|(option, word)| before.ends_with(option) && value.starts_with(word));
        let number = word.starts_with(|c: char| c.is_ascii_digit() || c == '[');
        match (name, word.trim_matches('\'').split_once('=')) {
            (Some("map"), Some((role, column))) if !role.is_empty() => {
                out.push_str(&format!("{{'{role}': {column}}}"));
                rest = &value[word.len()..];
            }
            _ => match known {
                Some((_, word)) => {
                    out.push_str(&format!("'{word}'"));
                    rest = &value[word.len()..];
                }
                None if value.starts_with('\'') || number || is_name(word) => {}
                None => out.push(' '),
            },
        }
    }
    out.push_str(rest);
    out
}

/// Whether a word stands for a value: `NAME`, `GLOB`, `STORE`.
fn is_name(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase())
}

/// Text whose options and flags are names followed by `=`.
fn flags(text: &str) -> String {
    let keyword = |name: &str| if SWITCHES.contains(&name) { format!("{name}=True") } else { keyword(name) };
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
            rest = &word[end..];
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

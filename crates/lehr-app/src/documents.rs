//! Answers as JSON documents: a typed struct each, with the name and version of its schema.

use crate::failure::Failure;
use serde::Serialize;

/// An answer that is printed and written as a JSON document.
pub trait Document: Serialize {
    /// Name and version: `lehr.forecast/1`. The version is raised when a field goes away or changes its meaning.
    const SCHEMA: &'static str;
}

/// A document as a JSON value, its schema first: `{"schema": "lehr.forecast/1", …}`.
///
/// # Errors
/// [`Failure`] for a value that JSON cannot hold.
pub fn value<D: Document>(document: &D) -> Result<serde_json::Value, Failure> {
    let mut fields = serde_json::Map::new();
    fields.insert("schema".to_owned(), D::SCHEMA.into());
    match serde_json::to_value(document)? {
        serde_json::Value::Object(more) => fields.extend(more),
        other => {
            fields.insert("value".to_owned(), other);
        }
    }
    Ok(serde_json::Value::Object(fields))
}

/// A document as text, indented, with a line end.
///
/// # Errors
/// As [`value`].
pub fn text<D: Document>(document: &D) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(&value(document)?)? + "\n")
}

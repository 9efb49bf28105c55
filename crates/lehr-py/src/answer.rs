//! An answer on its way to Python: its document, what was said beside it, and its picture.

use crate::failure::{in_python, raise};
use lehr::Caveat;
use lehr::caveat::{Blocks, KINDS};
use lehr_app::documents::{self, Document};
use lehr_app::failure::{keyword, worded};
use lehr_app::pictures::Drawing;
use lehr_app::{Answer, Failure, laws, writing};
use lehr_io::Note;
use lehr_report::PictureStyle;
use pyo3::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// An answer: JSON texts, and a picture that is drawn when it is asked for.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeAnswer {
    /// The document, as the command prints it with `--json`, options worded as keyword arguments.
    #[pyo3(get)]
    json: String,
    /// A list of caveats.
    #[pyo3(get)]
    caveats: String,
    /// A list of notes.
    #[pyo3(get)]
    notes: String,
    picture: Option<Arc<Drawing>>,
    /// What was made besides: a trainer's configuration.
    extra: Option<Vec<u8>>,
}

/// Caveats as a JSON list, worded for Python.
pub fn caveats(caveats: &[Caveat]) -> Result<String, Failure> {
    let mut said = serde_json::to_value(caveats)?;
    for caveat in said.as_array_mut().into_iter().flatten() {
        for key in ["message", "remedy"] {
            if let Some(serde_json::Value::String(text)) = caveat.get_mut(key) {
                *text = in_python(text);
            }
        }
    }
    Ok(serde_json::to_string(&said)?)
}

/// Notes as a JSON list, worded for Python.
pub fn notes(notes: &[Note]) -> Result<String, Failure> {
    let said: Vec<Note> =
        notes.iter().map(|n| Note::new(&n.code, in_python(&n.about), in_python(&n.message))).collect();
    Ok(serde_json::to_string(&said)?)
}

impl NativeAnswer {
    /// The answer with a picture.
    ///
    /// # Errors
    /// [`Failure`] for a value that JSON cannot hold.
    pub fn of<D: Document>(answer: &Answer<D>, picture: Option<Drawing>) -> Result<Self, Failure> {
        Ok(Self {
            json: worded(&documents::text(&answer.value)?, keyword),
            caveats: caveats(&answer.caveats)?,
            notes: notes(&answer.notes)?,
            picture: picture.map(Arc::new),
            extra: None,
        })
    }

    /// The same with bytes besides.
    pub fn with(mut self, extra: Option<Vec<u8>>) -> Self {
        self.extra = extra;
        self
    }
}

#[pymethods]
impl NativeAnswer {
    /// The picture as SVG text, if the answer has one.
    fn svg(&self, py: Python<'_>) -> Option<String> {
        let drawing = Arc::clone(self.picture.as_ref()?);
        Some(py.detach(move || {
            let style = match drawing.height {
                Some(height) => PictureStyle { height, ..PictureStyle::default() },
                None => PictureStyle::default(),
            };
            drawing.picture.svg(&style)
        }))
    }

    /// Writes the picture; the ending says the format: svg, png, pdf or txt.
    fn save_picture(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let Some(drawing) = self.picture.as_ref().map(Arc::clone) else {
            return Err(raise(py, &Failure::usage("this answer has no picture")));
        };
        py.detach(move || writing::write_drawing(&path, &drawing)).map_err(|failure| raise(py, &failure))
    }

    /// What was made besides: the bytes of a trainer's configuration.
    fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }
}

/// All laws as a document.
#[pyfunction]
fn laws_document(py: Python<'_>) -> PyResult<String> {
    documents::text(&laws::list()).map_err(|failure| raise(py, &failure))
}

/// Everything that is known about a law, as a document.
#[pyfunction]
fn law_document(py: Python<'_>, name: &str) -> PyResult<String> {
    laws::named(name).and_then(|law| documents::text(&laws::page(law))).map_err(|failure| raise(py, &failure))
}

/// Every kind of caveat, the most important first, a JSON list of objects.
#[pyfunction]
fn caveat_kinds() -> String {
    let mut kinds: Vec<_> = KINDS.iter().collect();
    kinds.sort_by_key(|entry| (entry.rank, entry.code));
    let kinds = kinds.into_iter().map(|entry| {
        let blocks = match entry.blocks {
            Blocks::Never => "never".to_owned(),
            Blocks::Always => "always".to_owned(),
            Blocks::When(when) => in_python(when),
        };
        json!({
            "code": entry.code,
            "blocks": blocks,
            "meaning": in_python(entry.meaning.trim()),
            "remedy": entry.remedy().map(in_python),
        })
    });
    kinds.collect::<serde_json::Value>().to_string()
}

/// Names of the trainers that a schedule can be exported to.
#[pyfunction]
fn export_targets() -> Vec<&'static str> {
    lehr_io::export::names().collect()
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeAnswer>()?;
    module.add_function(wrap_pyfunction!(caveat_kinds, module)?)?;
    module.add_function(wrap_pyfunction!(laws_document, module)?)?;
    module.add_function(wrap_pyfunction!(law_document, module)?)?;
    module.add_function(wrap_pyfunction!(export_targets, module)?)
}

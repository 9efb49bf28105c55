//! What the PyTorch engine takes from the extension: tokens, initial weights, presets.

use crate::ask::{Place, ask};
use crate::failure::raise;
use lehr_app::Failure;
use lehr_app::train::material::{self as run_material, Part, RunMaterial};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The data and initial weights of a run.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeMaterial(RunMaterial);

/// Numbers of four bytes, little-endian.
fn bytes<'py, T: Copy>(
    py: Python<'py>,
    numbers: &[T],
    of: fn(T) -> [u8; 4],
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, numbers.len() * 4, |to| {
        for (to, number) in to.chunks_exact_mut(4).zip(numbers) {
            to.copy_from_slice(&of(*number));
        }
        Ok(())
    })
}

/// Opens the data of a run, given its configuration as JSON.
#[pyfunction]
fn material(py: Python<'_>, run: String) -> PyResult<NativeMaterial> {
    ask(py, Place::default(), None, move |desk| desk.run_material(&run)).map(NativeMaterial)
}

/// The configurations of all presets by name: JSON.
#[pyfunction]
fn presets(py: Python<'_>) -> PyResult<String> {
    run_material::presets().map_err(|failure| raise(py, &failure))
}

#[pymethods]
impl NativeMaterial {
    /// A short name of the data.
    fn name(&self) -> String {
        self.0.name().to_owned()
    }

    /// Number of validation batches.
    fn validation_batches(&self) -> u64 {
        self.0.validation_batches()
    }

    /// Name, shape, factor of the rate and decay of every tensor: JSON.
    fn tensors(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.0.tensors()).map_err(|error| raise(py, &Failure::from(error)))
    }

    /// Initial values of a tensor: little-endian floats.
    fn initial<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let values = py.detach(|| self.0.initial(index));
        let values = values.ok_or_else(|| {
            let count = self.0.tensors().len();
            raise(py, &Failure::usage(format_args!("tensor {index} of {count}; expected one of them")))
        })?;
        bytes(py, &values, f32::to_le_bytes)
    }

    /// What a snapshot of a number of threads says of the run.
    fn identity(&self, lanes: usize) -> String {
        self.0.identity(lanes)
    }

    /// Rows of the batch of an update: little-endian 32-bit tokens, T + 1 a row.
    fn training<'py>(
        &self,
        py: Python<'py>,
        update: u64,
        first: usize,
        count: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.rows(py, Part::Training(update), first, count)
    }

    /// Rows of a validation batch.
    fn validation<'py>(
        &self,
        py: Python<'py>,
        index: u64,
        first: usize,
        count: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.rows(py, Part::Validation(index), first, count)
    }
}

impl NativeMaterial {
    fn rows<'py>(
        &self,
        py: Python<'py>,
        part: Part,
        first: usize,
        count: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let tokens = py.detach(|| self.0.rows(part, first, count));
        bytes(py, &tokens.map_err(|failure| raise(py, &failure))?, u32::to_le_bytes)
    }
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeMaterial>()?;
    module.add_function(wrap_pyfunction!(material, module)?)?;
    module.add_function(wrap_pyfunction!(presets, module)?)
}

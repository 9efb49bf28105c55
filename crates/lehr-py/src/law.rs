//! Laws that are written in Python.

use crate::failure::raise;
use lehr::features::{FeatureDefinition, Momentum, RunFeatures};
use lehr::law::{Coefficient, DataSummary, Law, LawRegistry, Role, Scale, central_differences};
use lehr_app::{Failure, laws};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A law whose losses a Python function gives. Its texts live as long as the process, as those of every law do.
#[derive(Debug)]
struct Inner {
    name: &'static str,
    equation: &'static str,
    source: &'static str,
    limits: &'static [&'static str],
    coefficients: &'static [Coefficient],
    features: FeatureDefinition,
    final_only: bool,
    needs_tokens: bool,
    knows_batch: bool,
    /// (θ as bytes, features) → losses as bytes.
    predict: Py<PyAny>,
    /// (θ as bytes, features) → derivatives as bytes, row by row.
    jacobian: Option<Py<PyAny>>,
    /// The exception that ended the questions being asked, if any did.
    fault: Mutex<Option<PyErr>>,
    failed: AtomicBool,
    asking: AtomicUsize,
}

/// See [`Inner`].
#[derive(Debug, Clone)]
pub struct PythonLaw(Arc<Inner>);

fn bytes_of(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

impl Inner {
    /// Calls a function and puts what it gives into `out`. The Python layer has checked how many numbers there are.
    fn call(
        function: &Py<PyAny>,
        py: Python<'_>,
        theta: &[f64],
        run: &Py<NativeFeatures>,
        out: &mut [f64],
    ) -> PyResult<()> {
        let given = function.call1(py, (PyBytes::new(py, &bytes_of(theta)), run.clone_ref(py)))?;
        let given = given.bind(py).cast::<PyBytes>()?.as_bytes();
        if given.len() != out.len() * 8 {
            return Err(raise(
                py,
                &Failure::usage(format_args!("{} bytes for {} numbers", given.len(), out.len())),
            ));
        }
        for (out, bytes) in out.iter_mut().zip(given.as_chunks().0) {
            *out = f64::from_le_bytes(*bytes);
        }
        Ok(())
    }

    /// Asks Python; after an exception, and while the interpreter ends, there are no finite losses, which solvers take as the
    /// end.
    fn ask(
        &self,
        run: &RunFeatures,
        work: impl FnOnce(Python<'_>, &Py<NativeFeatures>) -> PyResult<()>,
    ) -> bool {
        if self.failed.load(Ordering::Relaxed) {
            return false;
        }
        let done = Python::try_attach(|py| {
            match Py::new(py, NativeFeatures(run.clone())).and_then(|run| work(py, &run)) {
                Ok(()) => true,
                Err(error) => {
                    let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
                    fault.get_or_insert(error);
                    self.failed.store(true, Ordering::Relaxed);
                    false
                }
            }
        });
        done.unwrap_or(false)
    }
}

impl Law for PythonLaw {
    fn name(&self) -> &'static str {
        self.0.name
    }
    fn equation(&self) -> &'static str {
        self.0.equation
    }
    fn source(&self) -> &'static str {
        self.0.source
    }
    fn limits(&self) -> &'static [&'static str] {
        self.0.limits
    }
    fn coefficients(&self) -> &'static [Coefficient] {
        self.0.coefficients
    }
    fn roles(&self, _: &DataSummary) -> Vec<Role> {
        self.0.coefficients.iter().map(|c| Role::Free { start: c.start }).collect()
    }
    fn features(&self) -> FeatureDefinition {
        self.0.features
    }
    fn final_only(&self) -> bool {
        self.0.final_only
    }
    fn needs_tokens(&self) -> bool {
        self.0.needs_tokens
    }
    fn knows_batch(&self) -> bool {
        self.0.knows_batch
    }
    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        let law = &self.0;
        if !law.ask(run, |py, run| Inner::call(&law.predict, py, theta, run, loss)) {
            loss.fill(f64::NAN);
        }
    }
    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        let law = &self.0;
        let done = law.ask(run, |py, run| {
            Inner::call(&law.predict, py, theta, run, loss)?;
            match &law.jacobian {
                Some(function) => Inner::call(function, py, theta, run, jacobian),
                None => central_differences(law.coefficients, theta, jacobian, &mut |theta, loss| {
                    Inner::call(&law.predict, py, theta, run, loss)
                }),
            }
        });
        if !done {
            loss.fill(f64::NAN);
            jacobian.fill(f64::NAN);
        }
    }
}

/// What a law reads of a run.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeFeatures(RunFeatures);

#[pymethods]
impl NativeFeatures {
    /// How many points.
    fn points(&self) -> usize {
        self.0.points()
    }

    /// A number of the run.
    fn number(&self, name: &str) -> PyResult<f64> {
        Ok(match name {
            "n8" => self.0.n8,
            "tokens_per_step" => self.0.tokens_per_step,
            "ln_batch" => self.0.ln_batch,
            "warmup" => self.0.warmup,
            _ => return Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned())),
        })
    }

    /// Numbers, one a point or one an interval of the nodes: little-endian doubles.
    fn array<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyBytes>> {
        let (run, nodes) = (&self.0, &self.0.nodes);
        let whole: Vec<f64>;
        let values = match name {
            "update" => &run.update,
            "lr" => &run.lr,
            "forward_effect" => &run.forward_effect,
            "ln_forward_effect" => &run.ln_forward_effect,
            "momentum" => &run.momentum,
            "node_updates" => &nodes.updates,
            "node_start" => &nodes.start,
            "node_end" => &nodes.end,
            "node_forward_effect" => &nodes.forward_effect,
            "node_peak" => &nodes.peak,
            "node_before_point" => {
                whole = nodes.before_point.iter().map(|&count| count as f64).collect();
                &whole
            }
            "node_side" => {
                whole = nodes.side.iter().map(|&side| f64::from(side)).collect();
                &whole
            }
            _ => return Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned())),
        };
        Ok(PyBytes::new(py, &bytes_of(values)))
    }
}

/// A law that is written in Python, for the questions about it.
#[pyclass(frozen, module = "lehr._lehr")]
pub struct NativeLaw(&'static PythonLaw);

/// One coefficient: name, symbol, unit, lower, upper, whether its logarithm is moved, start.
type Row = (String, String, String, f64, f64, bool, f64);

fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[pymethods]
impl NativeLaw {
    #[new]
    #[pyo3(signature = (name, texts, limits, coefficients, momentum, flags, predict, jacobian))]
    #[expect(clippy::too_many_arguments, reason = "the Python layer alone calls it")]
    fn new(
        py: Python<'_>,
        name: String,
        texts: (String, String),
        limits: Vec<String>,
        coefficients: Vec<Row>,
        momentum: bool,
        flags: (bool, bool, bool),
        predict: Py<PyAny>,
        jacobian: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let rows =
            coefficients.into_iter().map(|(name, symbol, unit, lower, upper, log, start)| Coefficient {
                name: kept(name),
                symbol: kept(symbol),
                unit: kept(unit),
                lower,
                upper,
                scale: if log { Scale::Log } else { Scale::Linear },
                start,
            });
        let momentum =
            if momentum { Momentum::Dense { stride: 1, warmup: false } } else { Momentum::default() };
        let limits: Vec<&'static str> = limits.into_iter().map(kept).collect();
        let law = PythonLaw(Arc::new(Inner {
            name: kept(name),
            equation: kept(texts.0),
            source: kept(texts.1),
            limits: Vec::leak(limits),
            coefficients: Vec::leak(rows.collect()),
            features: FeatureDefinition { momentum, ..FeatureDefinition::default() },
            final_only: flags.0,
            needs_tokens: flags.1,
            knows_batch: flags.2 || flags.1,
            predict,
            jacobian,
            fault: Mutex::new(None),
            failed: AtomicBool::new(false),
            asking: AtomicUsize::new(0),
        }));
        // The registry looks whether the name is free and the table makes sense.
        Laws::of([&law]).map_err(|failure| raise(py, &failure))?;
        Ok(Self(Box::leak(Box::new(law))))
    }
}

/// The laws from Python that a question is about.
#[derive(Debug, Clone, Default)]
pub struct Laws(Vec<PythonLaw>);

impl Laws {
    /// These, if their names do not contradict each other.
    fn of<'a>(laws: impl IntoIterator<Item = &'a PythonLaw>) -> Result<Self, Failure> {
        let mut all: Vec<PythonLaw> = Vec::new();
        for law in laws {
            if !all.iter().any(|known| Arc::ptr_eq(&known.0, &law.0)) {
                all.push(law.clone());
            }
        }
        let laws = Self(all);
        laws.registry()?;
        Ok(laws)
    }

    /// Those of the crate and these.
    pub fn registry(&self) -> Result<LawRegistry, Failure> {
        let mut registry = LawRegistry::built_in();
        for law in &self.0 {
            registry = registry.with(Arc::new(law.clone())).map_err(Failure::usage)?;
        }
        Ok(registry)
    }

    /// The one of that name alone, if it is here.
    pub fn named(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|law| law.name() == name).cloned().collect())
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// A question begins.
    pub fn begin(&self) {
        for PythonLaw(law) in &self.0 {
            if law.asking.fetch_add(1, Ordering::SeqCst) == 0 {
                *law.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
                law.failed.store(false, Ordering::SeqCst);
            }
        }
    }

    /// It has ended; the exception that a function of a law raised meanwhile.
    pub fn end(&self, py: Python<'_>) -> Option<PyErr> {
        let mut found = None;
        for PythonLaw(law) in &self.0 {
            law.asking.fetch_sub(1, Ordering::SeqCst);
            let fault = law.fault.lock().unwrap_or_else(PoisonError::into_inner);
            found = found.or_else(|| fault.as_ref().map(|error| error.clone_ref(py)));
        }
        found
    }
}

/// A law that a question names: by its name, or as an object.
#[derive(FromPyObject)]
pub enum Named<'py> {
    /// Of the crate.
    Name(String),
    /// Of Python.
    Own(Bound<'py, NativeLaw>),
}

impl Named<'_> {
    /// The law.
    pub fn law(&self) -> Result<&'static dyn Law, Failure> {
        match self {
            Self::Name(name) => laws::named(name),
            Self::Own(law) => Ok(law.get().0),
        }
    }
}

/// The laws from Python among these.
pub fn own(laws: &[Named<'_>]) -> Result<Laws, Failure> {
    Laws::of(laws.iter().filter_map(|law| match law {
        Named::Name(_) => None,
        Named::Own(law) => Some(law.get().0),
    }))
}

/// Adds this file's part of the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NativeFeatures>()?;
    module.add_class::<NativeLaw>()
}

//! Keyword arguments as values with names, each taken once; what is left over is refused.

use lehr::units::parse_count;
use lehr_app::Failure;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One argument.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("True"),
            Self::Flag(false) => f.write_str("False"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "'{value}'"),
            Self::List(values) => {
                let shown: Vec<String> = values.iter().take(4).map(Self::to_string).collect();
                let more = if values.len() > 4 { ", …" } else { "" };
                write!(f, "[{}{more}]", shown.join(", "))
            }
            Self::Table(_) => f.write_str("a dict"),
        }
    }
}

fn value(name: &str, given: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Value>> {
    if given.is_none() {
        return Ok(None);
    }
    // A list that contains itself ends here.
    if depth > 4 {
        return Err(refused(given.py(), name, "nested lists", "at most pairs in lists"));
    }
    if given.is_instance_of::<PyBool>() {
        return Ok(Some(Value::Flag(given.extract()?)));
    }
    if let Ok(text) = given.cast::<PyString>() {
        let text = text.extract().map_err(|_| {
            refused(given.py(), name, "text with half a character (a lone surrogate)", "text in Unicode")
        })?;
        return Ok(Some(Value::Text(text)));
    }
    if let Ok(table) = given.cast::<PyDict>() {
        let mut pairs = Vec::new();
        for (key, inner) in table.iter() {
            let key: String = key
                .extract()
                .map_err(|_| refused(given.py(), name, "a key that is no text", "names as keys"))?;
            if let Some(inner) = value(name, &inner, depth + 1)? {
                pairs.push((key, inner));
            }
        }
        return Ok(Some(Value::Table(pairs)));
    }
    let floating = given.is_instance_of::<PyFloat>();
    // Whole numbers of NumPy have `__index__`, its other numbers `__float__`.
    if !floating
        && (given.is_instance_of::<PyInt>() || given.hasattr("__index__")?)
        && !given.hasattr("__len__")?
    {
        let whole = given.extract::<i64>().map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(given.py()) {
                refused(given.py(), name, "a number beyond 2⁶³", "a number that 64 bits hold")
            } else {
                refused(given.py(), name, &kind(given), EXPECTED)
            }
        })?;
        return Ok(Some(Value::Whole(whole)));
    }
    if given.hasattr("__fspath__")? {
        let path =
            given.extract::<PathBuf>().map_err(|_| refused(given.py(), name, &kind(given), "a path"))?;
        return Ok(Some(Value::Text(path.to_string_lossy().into_owned())));
    }
    if let Ok(number) = given.extract::<f64>() {
        return Ok(Some(Value::Number(number)));
    }
    if given.hasattr("__iter__")? {
        let mut values = Vec::new();
        let each = given.try_iter().map_err(|_| refused(given.py(), name, &kind(given), EXPECTED))?;
        for inner in each {
            if let Some(inner) = value(name, &inner?, depth + 1)? {
                values.push(inner);
            }
            // An endless iterator ends here.
            if values.len() > MOST_VALUES {
                let expected = format!("at most {MOST_VALUES}");
                return Err(refused(given.py(), name, &format!("more than {MOST_VALUES} values"), &expected));
            }
        }
        return Ok(Some(Value::List(values)));
    }
    Err(refused(given.py(), name, &kind(given), EXPECTED))
}

/// Values of a list at most.
const MOST_VALUES: usize = 1_000_000;

/// What an argument may be.
const EXPECTED: &str = "a number, a text, a list or a dict";

/// The kind of a value, as an error names it.
fn kind(given: &Bound<'_, PyAny>) -> String {
    let name = given.get_type().name().map_or_else(|_| "value".to_owned(), |name| name.to_string());
    format!("a {name}")
}

fn refused(py: Python<'_>, name: &str, found: &str, expected: &str) -> PyErr {
    crate::failure::raise(py, &wrong(name, found, expected))
}

fn wrong(name: &str, found: impl std::fmt::Display, expected: &str) -> Failure {
    Failure::usage(format_args!("[[{name}]] is {found}; expected {expected}")).finding(found, expected)
}

/// Arguments by name.
#[derive(Debug, Clone, Default)]
pub struct Options(BTreeMap<String, Value>);

impl Options {
    /// The arguments of a Python call; those that are `None` count as not given.
    ///
    /// # Errors
    /// An exception that names the argument, for values that are no number, text, list or dict.
    pub fn read(given: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut options = BTreeMap::new();
        for (name, inner) in given.into_iter().flat_map(|given| given.iter()) {
            let name: String = name.extract()?;
            if let Some(inner) = value(&name, &inner, 0)? {
                options.insert(name, inner);
            }
        }
        Ok(Self(options))
    }

    /// Whether it was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str) -> Result<bool, Failure> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Flag(value)) => Ok(value),
            Some(other) => Err(wrong(name, other, "True or False")),
        }
    }

    /// A whole number of at least `least`; 2e4 and "20k" are whole numbers too.
    pub fn count(&mut self, name: &str, least: u64) -> Result<Option<u64>, Failure> {
        let Some(given) = self.0.remove(name) else { return Ok(None) };
        count(&given).filter(|value| *value >= least).map(Some).ok_or_else(|| {
            wrong(name, &given, &format!("a whole number of at least {least}, such as 25000 or '25k'"))
        })
    }

    /// A finite number within a range that is said in words.
    pub fn number(
        &mut self,
        name: &str,
        expected: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, Failure> {
        let Some(given) = self.0.remove(name) else { return Ok(None) };
        number(&given).filter(|value| fits(*value)).map(Some).ok_or_else(|| wrong(name, &given, expected))
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, other, "a text")),
        }
    }

    /// One of some words.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Result<Option<String>, Failure> {
        match self.text(name)? {
            Some(text) if words.contains(&text.as_str()) => Ok(Some(text)),
            Some(text) => Err(wrong(name, format_args!("'{text}'"), &format!("one of {}", words.join(", ")))),
            None => Ok(None),
        }
    }

    /// A text or a list of texts.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        match self.0.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(vec![text]),
            Some(Value::List(values)) if values.is_empty() => {
                Err(wrong(name, "an empty list", "at least one text; None counts as not given"))
            }
            Some(Value::List(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::Text(text) => Ok(text),
                    other => Err(wrong(name, format_args!("a list with {other} in it"), "texts")),
                })
                .collect(),
            Some(other) => Err(wrong(name, other, "a text or a list of texts")),
        }
    }

    /// A whole number of at least `least`, or a list of them.
    pub fn counts(&mut self, name: &str, least: u64) -> Result<Vec<u64>, Failure> {
        let Some(given) = self.0.remove(name) else { return Ok(Vec::new()) };
        let values = listed(name, &given)?;
        values
            .iter()
            .map(|value| {
                let whole = count(value).filter(|whole| *whole >= least);
                whole.ok_or_else(|| wrong(name, value, &format!("whole numbers of at least {least}")))
            })
            .collect()
    }

    /// A finite number within a range that is said in words, or a list of them.
    pub fn numbers(
        &mut self,
        name: &str,
        expected: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Result<Vec<f64>, Failure> {
        let Some(given) = self.0.remove(name) else { return Ok(Vec::new()) };
        let values = listed(name, &given)?;
        let one = |value| number(value).filter(|value| fits(*value));
        values.iter().map(|value| one(value).ok_or_else(|| wrong(name, value, expected))).collect()
    }

    /// A number for each name.
    pub fn numbers_by_name(&mut self, name: &str) -> Result<BTreeMap<String, f64>, Failure> {
        let expected = "a dict from coefficient to finite number, such as {'alpha': 0.5}";
        self.table(name, expected)?
            .into_iter()
            .map(|(key, value)| match number(&value) {
                Some(number) => Ok((key, number)),
                None => Err(wrong(name, value, expected)),
            })
            .collect()
    }

    /// Two numbers for each name.
    pub fn pairs_by_name(&mut self, name: &str) -> Result<BTreeMap<String, (f64, f64)>, Failure> {
        let expected = "a dict from coefficient to two finite numbers, such as {'q': (0.6, 0.1)}";
        self.table(name, expected)?
            .into_iter()
            .map(|(key, value)| match pair(&value) {
                Some(pair) => Ok((key, pair)),
                None => Err(wrong(name, value, expected)),
            })
            .collect()
    }

    /// Two numbers.
    pub fn pair(&mut self, name: &str, expected: &str) -> Result<Option<(f64, f64)>, Failure> {
        let Some(given) = self.0.remove(name) else { return Ok(None) };
        pair(&given).map(Some).ok_or_else(|| wrong(name, &given, expected))
    }

    /// A text for each name.
    pub fn texts_by_name(&mut self, name: &str) -> Result<BTreeMap<String, String>, Failure> {
        let expected = "a dict of texts, such as {'loss': 'eval/ce'}";
        self.table(name, expected)?
            .into_iter()
            .map(|(key, value)| match value {
                Value::Text(text) => Ok((key, text)),
                other => Err(wrong(name, other, expected)),
            })
            .collect()
    }

    fn table(&mut self, name: &str, expected: &str) -> Result<Vec<(String, Value)>, Failure> {
        match self.0.remove(name) {
            None => Ok(Vec::new()),
            Some(Value::Table(pairs)) => Ok(pairs),
            Some(other) => Err(wrong(name, other, expected)),
        }
    }

    /// Refuses what nobody has taken.
    ///
    /// # Errors
    /// [`Failure`] that names it.
    pub fn done(self) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Failure::usage(format_args!("there is no argument '{name}' here"))
                .hint("help() of the function lists what can be given")),
        }
    }
}

/// A value as a list of at least one.
fn listed(name: &str, given: &Value) -> Result<Vec<Value>, Failure> {
    match given {
        Value::List(values) if values.is_empty() => {
            Err(wrong(name, "an empty list", "at least one number; None counts as not given"))
        }
        Value::List(values) => Ok(values.clone()),
        one => Ok(vec![one.clone()]),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Whole(value) => Some(*value as f64),
        Value::Number(value) => Some(*value).filter(|value| value.is_finite()),
        _ => None,
    }
}

fn pair(value: &Value) -> Option<(f64, f64)> {
    match value {
        Value::List(values) => match &values[..] {
            [first, second] => Some((number(first)?, number(second)?)),
            _ => None,
        },
        _ => None,
    }
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Whole(value) => u64::try_from(*value).ok(),
        // Beyond 2⁵³ neighbouring whole numbers are the same double.
        Value::Number(value) if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(value) => {
            Some(*value as u64)
        }
        Value::Text(text) => parse_count(text).ok(),
        _ => None,
    }
}

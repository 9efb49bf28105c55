//! The run store in a build without Parquet: named, and refused with the name of the feature.

use super::StoreManifest;
use crate::error::ReadError;
use crate::source::Source;
use lehr::Curve;
use std::convert::Infallible;
use std::io::Write;
use std::marker::PhantomData;

/// A value of a file's metadata.
pub(super) fn value_of(points: &Source, _key: &str) -> Result<Option<String>, ReadError> {
    Err(ReadError::without_feature(points.name(), "a run store, whose points are a Parquet file", "parquet"))
}

/// Writes a store's points, run after run, and its manifest at the end; there is none in a build without Parquet.
#[derive(Debug)]
pub struct StoreWriter<W: Write + Send> {
    never: Infallible,
    output: PhantomData<W>,
}

impl<W: Write + Send> StoreWriter<W> {
    /// Begins a store.
    ///
    /// # Errors
    /// Always: this build writes no Parquet.
    pub fn new(store: &str, _output: W, _generation: u64) -> Result<Self, ReadError> {
        Err(ReadError::without_feature(store, "a run store, whose points are a Parquet file", "parquet"))
    }

    /// Names of the runs written so far.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Carries over the runs of another store.
    ///
    /// # Errors
    /// None: there is no writer.
    pub fn copy(
        &mut self,
        _points: &Source,
        _manifest: &StoreManifest,
        _keep: &dyn Fn(&str) -> bool,
    ) -> Result<(), ReadError> {
        match self.never {}
    }

    /// Adds a run.
    ///
    /// # Errors
    /// None: there is no writer.
    pub fn push(&mut self, _curve: &Curve, _source: &str) -> Result<(), ReadError> {
        match self.never {}
    }

    /// Adds a run with its training losses.
    ///
    /// # Errors
    /// None: there is no writer.
    pub fn push_both(
        &mut self,
        _curve: &Curve,
        _training: Option<&Curve>,
        _source: &str,
    ) -> Result<(), ReadError> {
        match self.never {}
    }

    /// Ends the store.
    ///
    /// # Errors
    /// None: there is no writer.
    pub fn finish(self) -> Result<(W, String), ReadError> {
        match self.never {}
    }
}

//! Texts in a column of a Parquet file, in a build without Parquet: refused with the name of the feature.

use super::Visit;
use crate::data::input::broken;
use crate::error::TrainError;
use std::fs::File;
use std::path::Path;

/// Refuses the file.
pub(super) fn texts(
    path: &Path,
    _file: File,
    _column: &str,
    _visit: &mut Visit<'_>,
) -> Result<(), TrainError> {
    Err(broken(
        path.display(),
        "a Parquet file; this lehr was built without the feature `parquet`",
        "text or JSON lines, or a lehr built with --features parquet (or full)",
    ))
}

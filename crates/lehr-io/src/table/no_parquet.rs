//! Parquet in a build without it: known, and refused with the name of the feature.

use super::{TableEnd, Visit, Want};
use crate::error::ReadError;
use crate::source::Source;

fn refused(source: &Source) -> ReadError {
    ReadError::without_feature(source.name(), "a Parquet file", "parquet")
}

pub(crate) fn columns(source: &Source) -> Result<Vec<String>, ReadError> {
    Err(refused(source))
}

pub(crate) fn for_each_row(
    source: &Source,
    _select: &[(&str, Want)],
    _visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    Err(refused(source))
}

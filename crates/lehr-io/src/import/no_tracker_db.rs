//! Databases of trackers in a build without SQLite: known, and refused with the name of the feature.

use super::sqlite_files::part_of;
use super::{Importer, Log};
use crate::error::ReadError;
use crate::mapping::MapOverrides;
use crate::source::Source;

/// Refuses MLflow's and Trackio's databases.
#[derive(Debug)]
pub struct Databases;

impl Importer for Databases {
    fn name(&self) -> &'static str {
        "tracker database"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        part_of(source, head).map(|(_, database)| database.to_owned())
    }

    fn open(&self, sources: &[Source], _map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        Err(ReadError::without_feature(
            sources.first().map_or("", Source::name),
            "an SQLite database",
            "sqlite",
        ))
    }
}

//! Run stores, as the verbs that train use them.

use crate::failure::Failure;
use lehr_app::store;
use std::path::Path;

/// A store that is being replaced.
pub struct Replacement;

impl Replacement {
    /// See [`store::Replacement::begin`]; what it notes is said.
    pub fn begin(path: &Path) -> Result<store::Replacement, Failure> {
        let mut notes = Vec::new();
        let begun = store::Replacement::begin(path, &mut notes)?;
        notes.iter().for_each(|note| crate::output::say(format_args!("note: {note}")));
        Ok(begun)
    }
}

//! How a fit was made, for whoever finds its file.

use serde::{Deserialize, Serialize};

/// Who made a fit, when, how and of what. The face that writes the file states it; no result depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Made {
    /// Version of lehr.
    pub version: String,
    /// Date and time, UTC, as RFC 3339 writes them; the moment of `SOURCE_DATE_EPOCH`, where that is set.
    pub date: String,
    /// The command.
    pub command: String,
    /// The files that were read; a later answer says where they have changed since.
    pub inputs: Vec<Input>,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Input {
    /// Its path, as it was named.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

//! Why a picture could not be made.

use thiserror::Error;

/// Why a picture could not be made.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum PictureError {
    /// The file's name does not say which format is wanted.
    #[error(
        "cannot tell the format of a picture from `{name}`: the name must end in .svg, .png, .pdf or .txt"
    )]
    UnknownFormat {
        /// The name as given.
        name: String,
    },
    /// This build cannot draw the format.
    #[error("this lehr draws no {format}: it was built without the feature `png`")]
    Missing {
        /// The format.
        format: &'static str,
    },
    /// The PNG would be empty or too large.
    #[error(
        "a PNG of {width:.0} × {height:.0} px cannot be drawn: choose a scale that gives between 1 and 67 million pixels"
    )]
    Size {
        /// Width in px.
        width: f64,
        /// Height in px.
        height: f64,
    },
    /// The drawing library refused.
    #[error("the picture could not be drawn: {0}")]
    Drawing(String),
}

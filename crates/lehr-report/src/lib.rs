//! Pictures of forecasts, recommendations, fits, law comparisons and transfer.
//!
//! Each picture is a struct of plain numbers. It draws itself for a terminal (braille, colours optional, ASCII where
//! need be), as SVG with real text, as PDF, and as PNG whose text is drawn with an embedded font, so that machines without
//! fonts give the same pixels. A [`Table`] of numbers is written as CSV, Markdown or LaTeX. The crate opens no file:
//! [`write_picture`] returns bytes.
//!
//! ```
//! use lehr_report::{ComparisonEntry, ComparisonPicture, Picture, PictureStyle, TerminalStyle};
//!
//! let entry = |name: &str, value| ComparisonEntry { name: name.into(), value, interval: None, note: None };
//! let picture = ComparisonPicture {
//!     title: "Held-out error of two laws".into(),
//!     subtitle: None,
//!     caption: None,
//!     metric: "held-out error (mnat)".into(),
//!     coverage: 0.9,
//!     entries: vec![entry("noise-relaxation", 2.4), entry("forward-momentum", 17.0)],
//! };
//! assert!(picture.terminal(&TerminalStyle::default()).contains("noise-relaxation"));
//! assert!(picture.svg(&PictureStyle::default()).starts_with("<svg"));
//! ```

mod error;
mod figure;
mod geometry;
mod labels;
#[cfg(feature = "png")]
mod outline;
mod page;
#[cfg(feature = "png")]
mod pdf;
mod picture;
#[cfg(feature = "png")]
mod png;
mod style;
mod svg;
mod table;
mod terminal;
mod text;
mod ticks;

pub use error::PictureError;
pub use page::{PageAxis, PageFigure, PagePanel, PageSeries};
pub use picture::{
    ComparisonEntry, ComparisonPicture, FitPicture, FitView, ForecastPicture, HAS_PNG, Horizontal,
    MeasuredLoss, Optimum, Outlook, Phase, Picture, PictureFormat, PlanPicture, RecommendationPicture, Rival,
    Rule, RunFit, TrainingPicture, TransferPanel, TransferPicture, write_picture,
};
pub use style::{PictureStyle, TerminalStyle, Theme};
pub use table::{Cell, Column, Table, TableError, TableFormat};
pub use ticks::{
    TickFormat, Ticks, linear_ticks, log_ticks, power, si, significant, superscript, tick_labels,
};

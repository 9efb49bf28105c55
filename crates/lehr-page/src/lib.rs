//! Answers as pages: the report as one HTML file, as Markdown and as a folder for a paper, and,
//! with the feature `serve`, the explorer that a browser shows.
//!
//! Nothing here knows a formula or a policy: numbers come from `lehr-app`, figures from `lehr-report`. Pages carry no
//! script or style from elsewhere and have a content security policy that lets nothing else run.

pub mod escape;
pub mod report;
#[cfg(feature = "serve")]
pub mod serve;

pub use report::{ReportFormat, render};

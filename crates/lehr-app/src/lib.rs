//! Answers: one function a question, for every face of lehr (command, page, notebook).
//!
//! A [`Desk`] is asked. It is given the [`Files`] it may read, an [`Observer`] that hears of progress and may stop the
//! work, and a pool of threads. A question takes a request value and returns an [`Answer`]: a typed document with its
//! caveats and notes, or a [`Failure`] that says what to do. Faces hold no formula and no policy: they turn arguments
//! into requests and answers into text.
//!
//! ```
//! use lehr_app::{Desk, Files, Reading};
//!
//! let mut log = String::from("step,lr,loss\n");
//! for t in 1..=100 {
//!     log += &format!("{t},0.001,{:.4}\n", 3.0 + 2.0 / f64::from(t).sqrt());
//! }
//! let desk = Desk::new(Files::memory([("runs/a.csv", log.into_bytes())]));
//! let runs = desk.runs(&Reading::of(["runs/a.csv"]))?;
//! assert_eq!(runs.curves[0].step().len(), 100);
//! # Ok::<(), lehr_app::Failure>(())
//! ```

pub mod answer;
pub mod compare;
pub mod desk;
pub mod documents;
pub mod explore;
pub mod export;
pub mod failure;
pub mod files;
pub mod fit;
pub mod fit_cache;
pub mod follow;
pub mod forecast;
pub mod forecast_rows;
pub mod import;
pub mod inspect;
pub mod laws;
pub mod measured_runs;
pub mod observer;
pub mod out_file;
pub mod pictures;
pub mod plan;
pub mod provenance;
pub mod reading;
pub mod recommend;
pub mod recommend_jointly;
pub mod recommend_rows;
pub mod report;
#[cfg(feature = "train")]
pub mod reproduce;
pub mod running;
pub mod schedule;
pub mod stoppable;
pub mod store;
#[cfg(feature = "train")]
pub mod sweep;
pub mod tables;
pub mod target;
#[cfg(feature = "train")]
pub mod train;
pub mod transfer;
pub mod validate;
pub mod watch;
pub mod watch_metrics;
pub mod watch_score;
pub mod writing;

pub use answer::Answer;
pub use desk::{Desk, Limits};
pub use failure::{Failure, FailureKind};
pub use files::Files;
pub use observer::{Event, Observer, Silent};
pub use reading::{Reading, Runs};

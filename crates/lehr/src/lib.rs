//! Laws of the loss curve of language-model pre-training: schedules, features, fits, forecasts, recommendations.
//!
//! The crate answers two questions from the loss curves of small runs: *what loss will a large run reach under a
//! given learning-rate schedule*, and *which share of it should be spent annealing*. It is the mathematics alone: it
//! opens no file, reads no clock or environment, prints nothing, and uses threads only through rayon, in a way that
//! never changes a result.
//!
//! ```text
//! Curve ──▶ RunFeatures (S, M, nodes) ──▶ Law ──▶ Fit ──▶ Forecast, Recommendation, Transfer
//!   ▲ carries its Schedule
//! ```
//!
//! The words used here are fixed in the glossary (`docs/glossary.md`): update, horizon, peak LR, annealing ratio,
//! trunk, branch, law, coefficient, forecast, regret, plateau, caveat.

pub mod batch;
pub mod bounds;
pub mod budget;
pub mod caveat;
mod cell;
pub mod cost;
pub mod curve;
pub mod features;
pub mod fit;
pub mod forecast;
pub mod guard;
pub mod law;
pub mod live;
pub mod measured;
mod names;
pub mod plan;
pub mod quantile;
pub mod recommend;
pub mod schedule;
#[cfg(feature = "schema")]
pub mod schema;
pub mod testing;
pub mod transfer;
pub mod units;
pub mod validate;
mod vector_math;

pub use caveat::{Caveat, CaveatKind};
pub use cell::{But, Cell};
pub use curve::{Arch, ArchFamily, BranchPoint, Curve, CurveError, LossKind, ParamCount, RunMeta, Split};
pub use features::{FeatureDefinition, RunFeatures};
pub use law::{Coefficient, Law};
pub use names::{is_pattern, names_run, pattern_of};
pub use schedule::{Schedule, ScheduleError, Segment, Shape, Wsd, WsdSpec};
pub use units::{AnnealingRatio, HuberDelta, Level, Params, Steps, Tokens};

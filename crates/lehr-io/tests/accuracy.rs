//! The figures of `docs/results/accuracy.md` and `docs/results/coverage.md` on the public curves:
//! `cargo test -p lehr-io --test accuracy -- --ignored --nocapture`.
//!
//! Every test prints its rows and fails where an error is larger than what was written down, so that a figure that gets
//! worse is seen. Folders that are not there are named and skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement: a broken expectation must stop it, the table is its output"
)]

#[path = "accuracy/batch.rs"]
mod batch;
#[path = "accuracy/costs.rs"]
mod costs;
#[path = "accuracy/coverage.rs"]
mod coverage;
#[path = "accuracy/horizon.rs"]
mod horizon;
#[path = "accuracy/joint.rs"]
mod joint;
#[path = "accuracy/modes.rs"]
mod modes;
#[path = "accuracy/running.rs"]
mod running;
#[path = "accuracy/running_atlas.rs"]
mod running_atlas;
#[path = "accuracy/size.rs"]
mod size;
#[path = "accuracy/support.rs"]
mod support;
#[path = "accuracy/training.rs"]
mod training;

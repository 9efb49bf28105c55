//! Fits and what is made of them, on data with known answers: recovery, gradients, solvers, refits, coverage, optima.

#[path = "fits/batch_collapse.rs"]
mod batch_collapse;
#[path = "fits/determinism.rs"]
mod determinism;
#[path = "fits/fit_caveats.rs"]
mod fit_caveats;
#[path = "fits/fit_objective.rs"]
mod fit_objective;
#[path = "fits/fit_recovers.rs"]
mod fit_recovers;
#[path = "fits/fit_refits.rs"]
mod fit_refits;
#[path = "fits/fit_solver.rs"]
mod fit_solver;
#[path = "fits/forecast_coverage.rs"]
mod forecast_coverage;
#[path = "fits/measured_optimum.rs"]
mod measured_optimum;
#[path = "fits/recommend_search.rs"]
mod recommend_search;
#[path = "fits/running_job.rs"]
mod running_job;
#[path = "fits/single_batches.rs"]
mod single_batches;
#[path = "fits/support.rs"]
mod support;
#[path = "fits/transfer_laws.rs"]
mod transfer_laws;

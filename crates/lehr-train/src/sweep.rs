//! Sweeps: a plan of many runs, trained once where they share a beginning.
//!
//! ```text
//! plan.toml ─Plan─▶ Graph (trunks, branches, runs that stand alone) ─Estimate─▶ what it costs, with and without sharing
//!                     │ Folder::create: sweep.json
//!                     ▼
//!                  Folder ◀─ worker (one process a job): journal of points, snapshots, one result file
//!                     ▲  ▲
//!   executor ─────────┘  └── progress, export ─▶ run store
//! ```
//!
//! All runs of one model, peak rate, warm-up, batch and seed share a trunk: the constant-rate run that is trained once and
//! leaves a snapshot wherever an annealing begins. Every annealing run is a branch that resumes from its snapshot. A
//! branch's losses are, bit for bit, those of the run trained under its whole schedule from the start, because a
//! [`Trainer`](crate::Trainer) is told its rates and [`Graph::new`] checks that trunk and branch agree on them.
//!
//! Nothing is kept in memory that a `kill -9` could lose: see [`worker`].

pub mod cluster;
pub mod curves;
pub mod error;
pub mod estimate;
pub mod folder;
pub mod graph;
pub mod integrity;
pub mod job_file;
pub mod journal;
pub mod kubernetes;
pub mod local;
pub mod outside;
pub mod plan;
pub mod progress;
pub mod ray;
pub mod slurm;
pub mod worker;

pub use cluster::{Readiness, readiness};
pub use curves::{Thinning, curve};
pub use error::SweepError;
pub use estimate::{Cost, Estimate, Speeds, estimate, flops_per_token, measure_speeds};
pub use folder::Folder;
pub use graph::{Graph, Job, Kind};
pub use job_file::{JobFile, job_schema};
pub use journal::{Record, Seal};
pub use kubernetes::KubernetesExecutor;
pub use local::{Event, Executor, LocalExecutor};
pub use outside::{OutsideTrainer, TrainerPlan};
pub use plan::{Family, Grid, Plan, PlanError};
pub use progress::{JobProgress, Progress, State};
pub use ray::RayExecutor;
pub use slurm::SlurmExecutor;
pub use worker::{MakeTrainer, Outcome, fingerprint, work, work_until};

//! Bytes ↔ types: reads loss curves from logs and tables, keeps the run store, writes schedules as trainer configurations.
//!
//! The crate opens no file. What it reads is a [`Source`], which whoever makes it can open; [`for_each_run`] turns
//! sources into runs, one at a time, and says aloud what it did ([`Note`]) and what to beware of
//! ([`lehr::Caveat`]).
//!
//! ```text
//! Source ──sniff──▶ table or importer ──▶ RawRun ──stitch, check, schedule──▶ LoadedRun { Curve, notes, caveats }
//!                                          ▲
//!                                      Manifest
//! ```

pub mod error;
pub mod export;
pub mod health;
pub mod import;
pub mod manifest;
pub mod mapping;
mod name;
pub mod note;
pub mod read;
pub mod rebuild;
#[cfg(feature = "remote")]
pub mod remote;
pub mod rows;
pub mod run_store;
pub mod source;
pub mod stitch;
pub mod table;
pub mod unit;

pub use error::{Fault, Place, ReadError};
pub use health::Health;
pub use manifest::Manifest;
pub use mapping::{MapOverrides, Mapping};
pub use name::{is_wanted, params_in};
pub use note::Note;
pub use read::{
    LoadedRun, LoggedRates, Progress, ReadOptions, SplitChoice, Summary, for_each_run, logged_rates, twins,
};
pub use rebuild::{Known, ScheduleOrigin};
pub use rows::{Points, RawRun};
pub use run_store::{StoreManifest, StoreWriter};
pub use source::{ReadSeek, Source};
pub use unit::LossUnit;

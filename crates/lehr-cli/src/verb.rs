//! One file a verb: `pub struct Args` (clap) and `pub fn run(args: Args, output: &Output) -> Result<(), Failure>`.

pub mod compare;
pub mod fit;
pub mod forecast;
pub mod import;
pub mod inspect;
pub mod laws;
pub mod plan;
pub mod quickstart;
pub mod recommend;
pub mod report;
#[cfg(feature = "train")]
pub mod reproduce;
pub mod schedule;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "train")]
pub mod sweep;
#[cfg(feature = "train")]
pub mod train;
pub mod transfer;
pub mod validate;
pub mod watch;

//! One file a verb: `pub struct Args` (clap) and `pub fn run(args: Args, output: &Output) -> Result<(), Failure>`.

pub mod inspect;
pub mod laws;

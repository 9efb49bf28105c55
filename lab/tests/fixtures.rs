//! The committed simulated runs are what the simulation gives.

use std::process::Command;

#[test]
fn the_simulated_runs_of_the_repository_are_what_the_simulation_gives() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lehr-lab")).args(["simulate-fixture", "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

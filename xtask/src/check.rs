//! `cargo xtask test`: everything that must pass before a change lands.

use std::process::Command;
use std::time::Instant;

/// Runs every check in order and stops at the first that fails.
pub fn test() -> std::io::Result<()> {
    let begun = Instant::now();
    step("format", "cargo", &["fmt", "--all", "--check"], &[])?;
    step("lints", "cargo", &["clippy", "--workspace", "--locked", "--", "-D", "warnings"], &[])?;
    // A test may unwrap, print and read files: a broken expectation must stop it, a skip must be seen.
    let may = [
        "-A",
        "clippy::unwrap_used",
        "-A",
        "clippy::print_stderr",
        "-A",
        "clippy::print_stdout",
        "-A",
        "clippy::disallowed_methods",
        "-A",
        "clippy::disallowed_types",
    ];
    let tests = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step("lints of tests", "cargo", &[&tests[..], &may].concat(), &[])?;
    for features in ["", "train", "serve", "parquet", "sqlite,png", "full"] {
        let set = ["--no-default-features", "--features", features, "--", "-D", "warnings"];
        let arguments = [&["clippy", "--package", "lehr-cli", "--locked"][..], &set].concat();
        step("lints of a feature set", "cargo", &arguments, &[])?;
    }
    step("tests", "cargo", &["test", "--workspace", "--locked", "--lib", "--bins", "--tests"], &[])?;
    step("documentation examples", "cargo", &["test", "--workspace", "--locked", "--doc"], &[])?;
    step(
        "documentation",
        "cargo",
        &["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    step("parity with Python", "cargo", &["xtask", "parity"], &[])?;
    println!("\nall checks passed in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn step(what: &str, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> std::io::Result<()> {
    println!("\n== {what}: {program} {}", arguments.join(" "));
    let begun = Instant::now();
    let status =
        Command::new(program).args(arguments).envs(environment.iter().copied()).status().map_err(
            |error| std::io::Error::other(format!("{what}: {program} cannot be started: {error}")),
        )?;
    println!("== {what}: {:.0} s", begun.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { Err(std::io::Error::other(format!("{what} failed ({status})"))) }
}

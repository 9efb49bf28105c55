//! Tasks that run Python, in a virtual environment of their own with pinned packages.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use xtask::{root, run};

/// The Python of the virtual environment, which is made on first use and renewed when the requirements change.
pub fn environment() -> io::Result<PathBuf> {
    environment_of("requirements.txt", "python")
}

/// A virtual environment below `target/` for a list of requirements in `tools/`.
fn environment_of(requirements: &str, folder: &str) -> io::Result<PathBuf> {
    let requirements = root().join("tools").join(requirements);
    let wanted = std::fs::read_to_string(&requirements)?;
    let folder = root().join("target").join(folder);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let stamp = folder.join("installed-requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "-r",
        ])
        .arg(&requirements))?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

/// `cargo xtask parity`: recomputes the reference values and compares (`--check`), or writes them.
pub fn parity(arguments: &[&str]) -> io::Result<()> {
    run(Command::new(environment()?).arg(root().join("tools/parity.py")).args(arguments))
}

/// `cargo xtask bench-scipy`: both sides of the comparison in one run.
pub fn bench_scipy(arguments: &[&str]) -> io::Result<()> {
    let python = environment()?;
    run(Command::new(env!("CARGO")).current_dir(root()).args([
        "build",
        "--release",
        "--package",
        "lehr-lab",
    ]))?;
    run(Command::new(python)
        .arg(root().join("tools/bench_scipy.py"))
        .arg(root().join("target/release/lehr-lab"))
        .args(arguments))
}

/// `cargo xtask record-exports`: runs the trainers' own schedulers, with the `python3` that has them installed.
pub fn record_exports(arguments: &[&str]) -> io::Result<()> {
    run(Command::new("python3").arg(root().join("tools/record_exports.py")).args(arguments))
}

/// `cargo xtask bench-train`: the engine's release build and PyTorch in turns, in an environment of its own.
pub fn bench_train(arguments: &[&str]) -> io::Result<()> {
    let python = environment_of("requirements-torch.txt", "python-torch")?;
    let bench =
        ["bench", "--package", "lehr-train", "--bench", "speed", "--no-run", "--message-format", "json"];
    let built =
        Command::new(env!("CARGO")).current_dir(root()).args(bench).stderr(Stdio::inherit()).output()?;
    if !built.status.success() {
        return Err(io::Error::other("the bench does not build"));
    }
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    let binary = messages.lines().filter_map(|line| line.split("\"executable\":\"").nth(1)).next_back();
    let binary = binary.and_then(|rest| rest.split('"').next());
    let binary = binary.ok_or_else(|| io::Error::other("cargo named no executable"))?;
    run(Command::new(python).arg(root().join("tools/bench_train.py")).arg(binary).args(arguments))
}

/// `cargo xtask bench-import`: the readers against those of Python, in an environment of its own.
pub fn bench_import(arguments: &[&str]) -> io::Result<()> {
    let python = environment_of("requirements-import.txt", "python-import")?;
    let cargo = || {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(root()).args(["build", "--release", "--locked"]);
        command
    };
    run(cargo().args(["--package", "lehr-io", "--example", "read_speed"]))?;
    run(cargo().args(["--package", "lehr-cli"]))?;
    let built = root().join("target/release");
    run(Command::new(python)
        .arg(root().join("tools/bench_import.py"))
        .arg(built.join("examples/read_speed"))
        .arg(built.join("lehr"))
        .args(arguments))
}

/// Runs the tests of the report and the explorer in a browser.
pub fn browser() -> io::Result<()> {
    run(Command::new("bash").arg(root().join("tools/browser_tests.sh")))
}

/// `cargo xtask remote`: logs read from a real S3 server, compared with the same logs on the disk.
pub fn remote() -> io::Result<()> {
    let python = environment_of("requirements-remote.txt", "python-remote")?;
    let build = ["build", "--locked", "--package", "lehr-cli", "--features", "remote"];
    run(Command::new(env!("CARGO")).current_dir(root()).args(build))?;
    run(Command::new(python).arg(root().join("tools/check_remote.py")).arg(root().join("target/debug/lehr")))
}

/// A task of the laboratory, which is built for it.
pub fn lab(words: &[&str]) -> io::Result<()> {
    run(Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--package", "lehr-lab", "--"])
        .args(words))
}

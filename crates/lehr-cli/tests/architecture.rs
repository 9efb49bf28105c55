//! The rules of the workspace that no compiler checks: which crate may see which, licences, and what no file may say.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crates of the workspace each crate may use. Dependencies point one way: `lehr-cli → lehr-page → lehr-app → lehr-train, lehr-io →
/// lehr`, and `lehr-app → lehr-report`; leaves see each other only through `lehr-app`. A new edge is a decision: change this list and say why in `docs/adr`.
const EDGES: [(&str, &[&str]); 10] = [
    ("lehr", &[]),
    ("lehr-app", &["lehr", "lehr-io", "lehr-report", "lehr-train"]),
    ("lehr-cli", &["lehr", "lehr-app", "lehr-io", "lehr-page", "lehr-report", "lehr-train"]),
    ("lehr-io", &["lehr"]),
    ("lehr-lab", &["lehr", "lehr-io", "xtask"]),
    ("lehr-page", &["lehr", "lehr-app", "lehr-report"]),
    ("lehr-py", &["lehr", "lehr-app", "lehr-cli", "lehr-io", "lehr-page", "lehr-report"]),
    ("lehr-report", &[]),
    ("lehr-train", &["lehr"]),
    ("xtask", &[]),
];

/// What the mathematics may be built on: nothing that opens a file, reads a clock or talks to a network.
const MATHEMATICS: [&str; 10] =
    ["basin", "nalgebra", "pulp", "rand", "rand_chacha", "rayon", "schemars", "serde", "statrs", "thiserror"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} did not start: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// The packages of the platform this test runs on.
fn metadata() -> Value {
    let rustc = output("rustc", &["-vV"]);
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap_or_else(|| panic!("no host: {rustc}"));
    serde_json::from_str(&output(env!("CARGO"), &metadata_arguments(host)))
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

fn metadata_arguments(platform: &str) -> [&str; 7] {
    ["metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform", platform]
}

/// The packages of another platform, if they are all on this machine: a build here does not download them.
fn metadata_of(platform: &str) -> Option<Value> {
    let output = Command::new(env!("CARGO"))
        .args(metadata_arguments(platform))
        .arg("--offline")
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cargo did not start: {error}"));
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(why.contains("offline") || why.contains("download"), "cargo metadata for {platform}: {why}");
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("cargo metadata for {platform}: {error}")))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// Name of a workspace crate → names of its dependencies (not those of its tests).
fn dependencies(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let members: BTreeSet<&str> =
        list(metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    list(metadata, "packages")
        .iter()
        .filter(|package| members.contains(text(package, "id")))
        .map(|package| {
            let normal =
                list(package, "dependencies").iter().filter(|dependency| text(dependency, "kind") != "dev");
            (text(package, "name"), normal.map(|dependency| text(dependency, "name")).collect())
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let dependencies = dependencies(&metadata);
    let members: BTreeSet<&str> = dependencies.keys().copied().collect();
    let found: BTreeMap<&str, Vec<&str>> = dependencies
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().filter(|other| members.contains(other)).collect()))
        .collect();
    let wanted: BTreeMap<&str, Vec<&str>> = EDGES.iter().map(|(name, uses)| (*name, uses.to_vec())).collect();
    assert_eq!(
        found, wanted,
        "the workspace's edges changed; if that is meant, change EDGES and write a decision record"
    );
}

#[test]
fn the_mathematics_stands_on_little() {
    let metadata = metadata();
    let found: Vec<&str> = dependencies(&metadata)["lehr"].iter().copied().collect();
    assert_eq!(
        found, MATHEMATICS,
        "crate lehr does mathematics alone; if a new dependency does, too, list it here"
    );
}

/// The licences that `deny.toml` allows, for all crates and for single ones.
fn allowed() -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let file = std::fs::read_to_string(root().join("deny.toml"))
        .unwrap_or_else(|error| panic!("deny.toml: {error}"));
    let table: toml::Table = file.parse().unwrap_or_else(|error| panic!("deny.toml: {error}"));
    let names = |value: &toml::Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let exceptions = table["licenses"]["exceptions"].as_array().into_iter().flatten();
    let exceptions =
        exceptions.map(|entry| (entry["crate"].to_string().replace('"', ""), names(&entry["allow"])));
    (names(&table["licenses"]["allow"]), exceptions.collect())
}

/// Whether an SPDX expression can be met with the allowed licences.
///
/// `OR` (or `/`, as older manifests write it) needs one side, `AND` both; `AND` binds closer.
fn permitted(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    fn split<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
        let (mut depth, mut from, mut parts) = (0usize, 0, Vec::new());
        for (i, c) in expression.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ if depth == 0 && expression[i..].starts_with(word) => {
                    parts.push(&expression[from..i]);
                    from = i + word.len();
                }
                _ => {}
            }
        }
        parts.push(&expression[from..]);
        parts
    }
    let expression = expression.trim();
    for (word, any) in [(" OR ", true), ("/", true), (" AND ", false)] {
        let parts = split(expression, word);
        if parts.len() > 1 {
            let mut met = parts.into_iter().map(|part| permitted(part, allowed));
            return if any { met.any(|met| met) } else { met.all(|met| met) };
        }
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => permitted(inner, allowed),
        None => allowed(expression),
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    check_licences(&metadata());
}

#[test]
fn dependencies_of_other_platforms_have_allowed_licences() {
    let file: toml::Table = std::fs::read_to_string(root().join("deny.toml"))
        .unwrap_or_else(|error| panic!("deny.toml: {error}"))
        .parse()
        .unwrap_or_else(|error| panic!("deny.toml: {error}"));
    let platforms = file["graph"]["targets"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(platforms.len() >= 5, "{platforms:?}");
    for platform in platforms.iter().filter_map(toml::Value::as_str) {
        match metadata_of(platform) {
            Some(metadata) => check_licences(&metadata),
            None => eprintln!(
                "skipped: the crates of {platform} are not on this machine (cargo fetch --target {platform})"
            ),
        }
    }
}

/// Holds the licences of all packages that are built against `deny.toml`.
fn check_licences(metadata: &Value) {
    let (everywhere, exceptions) = allowed();
    assert!(everywhere.contains("MIT") && everywhere.len() >= 8, "deny.toml allows {everywhere:?}");
    // Packages of other platforms are listed without being resolved: only what is built here counts.
    let resolved: BTreeSet<&str> =
        list(&metadata["resolve"], "nodes").iter().map(|node| text(node, "id")).collect();
    let packages = list(metadata, "packages").iter().filter(|package| resolved.contains(text(package, "id")));
    let mut seen = 0;
    let refused: Vec<String> = packages
        .inspect(|_| seen += 1)
        .filter(|package| {
            let own = exceptions.get(text(package, "name"));
            let allowed = |name: &str| everywhere.contains(name) || own.is_some_and(|own| own.contains(name));
            !permitted(text(package, "license"), &allowed)
        })
        .map(|package| {
            format!("{} {}: `{}`", text(package, "name"), text(package, "version"), text(package, "license"))
        })
        .collect();
    assert!(seen > 100, "only {seen} packages were looked at");
    assert!(refused.is_empty(), "licences that deny.toml does not allow: {refused:#?}");
}

#[test]
fn licence_expressions_are_understood() {
    let allowed =
        |name: &str| ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].contains(&name);
    for expression in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Unlicense/MIT",
        "Apache-2.0 / MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        "GPL-2.0 AND BSD-3-Clause OR MIT",
    ] {
        assert!(permitted(expression, &allowed), "{expression}");
    }
    for expression in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT", "LGPL-2.1-or-later/GPL-2.0"]
    {
        assert!(!permitted(expression, &allowed), "{expression}");
    }
}

/// Text files of the repository, without what is built or ignored.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        // `.git` is a folder in a clone and a file in a worktree.
        if matches!(name.to_str(), Some(".git" | "target" | ".venv" | "out" | "__pycache__"))
            || path.is_symlink()
        {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // Put together here, so that this file does not contain them.
    let folders = ["root", "home", "work", "tmp", "Users", "private"].map(|folder| format!("/{folder}/"));
    let words = ["localhost:", "127.0.0.1:"].map(str::to_owned);
    let mut found = Vec::new();
    files(&root(), &mut found);
    assert!(found.len() > 50, "only {} files were looked at", found.len());
    let mut guilty = Vec::new();
    for path in found {
        // This file lists the words; binary files hold no text.
        if path.ends_with("tests/architecture.rs") {
            continue;
        }
        let Ok(content) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in content.lines().enumerate() {
            let absolute = folders.iter().any(|folder| {
                // "a/b/c" is a relative path: an absolute one begins after a blank, a quote or the like.
                line.match_indices(folder.as_str()).any(|(at, _)| {
                    line[..at]
                        .chars()
                        .next_back()
                        .is_none_or(|c| !c.is_alphanumeric() && !"._-/}~".contains(c))
                })
            });
            if absolute || words.iter().any(|word| line.contains(word.as_str())) {
                let shown: String = line.trim().chars().take(100).collect();
                guilty.push(format!("{}:{}: {shown}", path.display(), number + 1));
            }
        }
    }
    assert!(guilty.is_empty(), "paths or addresses of one machine: {guilty:#?}");
}

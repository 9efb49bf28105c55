//! What `cargo deny check` holds, as far as the files of the repository tell it: which crates are banned, where crates
//! come from, whether versions are given; licences are in `architecture.rs`. Besides: that every dependency is used.
//! Advisories and yanked versions need the network, and so `cargo deny check` itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn list<'a>(value: &'a toml::Value, key: &str) -> &'a [toml::Value] {
    value.get(key).and_then(toml::Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a toml::Value, key: &str) -> &'a str {
    value.get(key).and_then(toml::Value::as_str).unwrap_or("")
}

/// Name, source and checksum of every package, of all platforms and features.
fn locked() -> Vec<(String, String, String)> {
    let lock = toml::Value::Table(read(&root().join("Cargo.lock")));
    let packages = list(&lock, "package");
    assert!(packages.len() > 200, "only {} packages are locked", packages.len());
    let three = |package| {
        let part = |key| text(package, key).to_owned();
        (part("name"), part("source"), part("checksum"))
    };
    packages.iter().map(three).collect()
}

fn deny() -> toml::Value {
    toml::Value::Table(read(&root().join("deny.toml")))
}

#[test]
fn no_banned_crate_is_locked() {
    let deny = deny();
    let banned: BTreeSet<&str> =
        list(&deny["bans"], "deny").iter().map(|entry| text(entry, "crate")).collect();
    assert!(banned.contains("openssl") && banned.contains("native-tls"), "{banned:?}");
    // `crate` may also be written with a version, which this test does not read.
    assert!(banned.iter().all(|name| !name.is_empty() && !name.contains('@')), "{banned:?}");
    let found: Vec<String> =
        locked().into_iter().map(|(name, ..)| name).filter(|name| banned.contains(name.as_str())).collect();
    assert!(found.is_empty(), "banned by deny.toml, yet in Cargo.lock: {found:?}");
}

#[test]
fn every_crate_comes_from_the_registry_with_a_checksum_or_from_this_repository() {
    let members = [
        "lehr",
        "lehr-app",
        "lehr-cli",
        "lehr-io",
        "lehr-lab",
        "lehr-page",
        "lehr-py",
        "lehr-report",
        "lehr-train",
        "xtask",
    ];
    let mut own = BTreeSet::new();
    for (name, source, checksum) in locked() {
        if source.is_empty() {
            own.insert(name);
            continue;
        }
        assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        assert!(
            checksum.len() == 64 && checksum.bytes().all(|b| b.is_ascii_hexdigit()),
            "{name}: '{checksum}'"
        );
    }
    // Whoever adds a crate to the workspace adds it here, too; anything else would be a folder outside of it.
    let missing: Vec<&&str> = members.iter().filter(|name| !own.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {own:?}");
    assert!(own.iter().all(|name| name.starts_with("lehr") || name == "xtask"), "{own:?}");
}

/// The manifests of the workspace.
fn manifests() -> Vec<PathBuf> {
    let workspace = toml::Value::Table(read(&root().join("Cargo.toml")));
    let members = list(&workspace["workspace"], "members");
    let own = members.iter().filter_map(toml::Value::as_str).map(|name| root().join(name).join("Cargo.toml"));
    std::iter::once(root().join("Cargo.toml")).chain(own).collect()
}

/// Tables of dependencies anywhere in a manifest: name → requirement.
fn requirements(value: &toml::Value, found: &mut Vec<(String, toml::Value)>) {
    let Some(table) = value.as_table() else { return };
    for (key, inner) in table {
        if matches!(key.as_str(), "dependencies" | "dev-dependencies" | "build-dependencies") {
            found.extend(inner.as_table().into_iter().flatten().map(|(name, v)| (name.clone(), v.clone())));
        } else {
            requirements(inner, found);
        }
    }
}

#[test]
fn no_requirement_takes_any_version() {
    let mut seen = 0;
    for path in manifests() {
        let mut found = Vec::new();
        requirements(&toml::Value::Table(read(&path)), &mut found);
        for (name, requirement) in found {
            seen += 1;
            let place = format!("{}: {name}", path.display());
            let version = requirement.as_str().unwrap_or_else(|| text(&requirement, "version"));
            assert!(!version.contains('*'), "{place} = '{version}'");
            let inherited = requirement.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            assert!(
                inherited || !version.is_empty() || requirement.get("path").is_some(),
                "{place} has no version"
            );
            assert!(requirement.get("git").is_none(), "{place} is from git");
        }
    }
    assert!(seen > 80, "only {seen} requirements were looked at");
}

#[test]
fn every_dependency_of_the_workspace_is_used_by_a_crate() {
    let mut used = BTreeSet::new();
    let mut declared = BTreeSet::new();
    for (i, path) in manifests().into_iter().enumerate() {
        let mut found = Vec::new();
        requirements(&toml::Value::Table(read(&path)), &mut found);
        let names = found.into_iter().map(|(name, _)| name);
        if i == 0 { declared.extend(names) } else { used.extend(names) }
    }
    let unused: Vec<&String> = declared.difference(&used).collect();
    assert!(unused.is_empty(), "declared in the workspace's Cargo.toml and used by no crate: {unused:?}");
}

/// The words with which a crate is used in Rust code: `name::…`, `use name;`, `name!`, `extern crate name`.
fn is_used(name: &str, code: &str) -> bool {
    let name = name.replace('-', "_");
    code.match_indices(&name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        let after = &code[at + name.len()..];
        whole && ["::", ";", " as ", "!"].iter().any(|next| after.starts_with(next))
    })
}

fn code(folder: &Path, out: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            code(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push_str(
                &std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            );
            out.push('\n');
        }
    }
}

#[test]
fn every_dependency_of_a_crate_is_used_in_its_code() {
    let mut unused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in manifests().into_iter().skip(1) {
        let folder = path.parent().unwrap_or_else(|| panic!("{}", path.display()));
        let (mut library, mut tests) = (String::new(), String::new());
        code(&folder.join("src"), &mut library);
        for part in ["tests", "benches", "examples"] {
            code(&folder.join(part), &mut tests);
        }
        let manifest = toml::Value::Table(read(&path));
        for (kind, with_tests) in [("dependencies", false), ("dev-dependencies", true)] {
            let names = manifest.get(kind).and_then(toml::Value::as_table).into_iter().flatten();
            for (name, _) in names {
                // Tests inside `src` may use what only tests need.
                let used = is_used(name, &library) || (with_tests && is_used(name, &tests));
                if !used {
                    let place =
                        folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
                    unused.entry(place).or_default().push(format!("{name} ({kind})"));
                }
            }
        }
    }
    assert!(unused.is_empty(), "dependencies that no code uses: {unused:#?}");
}

#[test]
fn exceptions_name_crates_that_are_there() {
    let deny = deny();
    let names: BTreeSet<String> = locked().into_iter().map(|(name, ..)| name).collect();
    for entry in list(&deny["licenses"], "exceptions") {
        let name = text(entry, "crate");
        assert!(names.contains(name), "deny.toml has an exception for '{name}', which nothing depends on");
    }
}

/// The whole check, where the tool is installed.
#[test]
fn cargo_deny_agrees_where_it_is_installed() {
    let version = Command::new(env!("CARGO")).args(["deny", "--version"]).current_dir(root()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: cargo-deny is not installed (cargo install cargo-deny)");
        return;
    }
    // Without advisories, whose database is on the network.
    let output = Command::new(env!("CARGO"))
        .args(["deny", "--offline", "--locked", "check", "bans", "licenses", "sources"])
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cargo deny did not start: {error}"));
    assert!(output.status.success(), "cargo deny: {}", String::from_utf8_lossy(&output.stderr));
}

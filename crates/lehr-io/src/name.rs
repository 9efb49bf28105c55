//! Names of runs: made from paths, matched by patterns.

use crate::source::Source;
use lehr::names_run;
use std::collections::BTreeMap;

/// Extensions that are no part of a run's name.
const EXTENSIONS: [&str; 14] = [
    ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".log", ".txt", ".out", ".wandb", ".db", ".gz",
    ".zst", ".zstd",
];

/// A file name without the extension of a log.
#[must_use]
pub fn stem(file_name: &str) -> &str {
    let mut name = file_name;
    for _ in 0..2 {
        for extension in EXTENSIONS {
            if name.len() > extension.len() && name.to_lowercase().ends_with(extension) {
                name = &name[..name.len() - extension.len()];
                break;
            }
        }
    }
    name
}

/// The number of parameters that a path component states: `25M`, `1.3B`.
///
/// # Examples
/// ```
/// assert_eq!(lehr_io::params_in("1.3B"), Some(1_300_000_000));
/// assert_eq!(lehr_io::params_in("cosine_24000"), None);
/// ```
#[must_use]
pub fn params_in(component: &str) -> Option<u64> {
    let number = component.strip_suffix(['m', 'M', 'b', 'B'])?;
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.contains(['e', 'E']) {
        return None;
    }
    let unit = if component.ends_with(['m', 'M']) { 1e6 } else { 1e9 };
    let value = number.parse::<f64>().ok()? * unit;
    (value >= 1.0).then(|| value.round() as u64)
}

/// The name of the run that a file holds, one for each source: the path below what the user named, from a directory
/// that states a size on, and as much more of the path as makes the names differ.
pub(crate) fn of_files(sources: &[Source]) -> Vec<String> {
    let parts: Vec<Vec<&str>> = sources.iter().map(Source::parts).collect();
    let mut taken: Vec<usize> = sources
        .iter()
        .zip(&parts)
        .map(|(source, parts)| {
            let below = source.below().min(parts.len());
            let sized =
                parts[..parts.len().saturating_sub(1)].iter().rposition(|part| params_in(part).is_some());
            sized.map_or(below, |at| below.max((parts.len() - at).min(below + 1)))
        })
        .collect();
    loop {
        let names: Vec<String> = parts
            .iter()
            .zip(&taken)
            .map(|(parts, &taken)| {
                let Some((file, directories)) = parts[parts.len().saturating_sub(taken)..].split_last()
                else {
                    return "run".to_owned();
                };
                directories.iter().copied().chain([stem(file)]).collect::<Vec<_>>().join("/")
            })
            .collect();
        let mut count = BTreeMap::new();
        for name in &names {
            *count.entry(name.clone()).or_insert(0) += 1;
        }
        let mut grown = false;
        for ((name, parts), taken) in names.iter().zip(&parts).zip(&mut taken) {
            if count[name] > 1 && *taken < parts.len() {
                *taken += 1;
                grown = true;
            }
        }
        if !grown {
            return names;
        }
    }
}

/// Whether a run is wanted by these patterns: named by one of them, if any does not begin with `!`, and by none that does.
#[must_use]
pub fn is_wanted(patterns: &[String], id: &str) -> bool {
    let (excluded, wanted): (Vec<&str>, Vec<&str>) =
        patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
    (wanted.is_empty() || wanted.iter().any(|pattern| names_run(pattern, id)))
        && !excluded.iter().any(|pattern| names_run(&pattern[1..], id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(paths: &[(&str, usize)]) -> Vec<Source> {
        paths
            .iter()
            .map(|&(path, below)| {
                Source::new(path, 0, below, below > 1, || Ok(Box::new(std::io::Cursor::new(Vec::new()))))
            })
            .collect()
    }

    #[test]
    fn patterns_name_the_runs_that_are_wanted_and_those_that_are_not() {
        let wanted = |patterns: &[&str], id: &str| {
            is_wanted(&patterns.iter().map(|&p| p.to_owned()).collect::<Vec<_>>(), id)
        };
        assert!(wanted(&[], "25M/cosine") && wanted(&["cos*"], "25M/cosine"));
        assert!(!wanted(&["!cos*"], "25M/cosine") && wanted(&["!cos*"], "25M/constant"));
        assert!(wanted(&["25M/*", "!*72000"], "25M/cosine_24000"));
        assert!(!wanted(&["25M/*", "!*72000"], "25M/cosine_72000"));
        assert!(!wanted(&["25M/*", "!*72000"], "100M/cosine_24000"));
    }

    #[test]
    fn a_run_is_named_after_its_path_below_what_was_named() {
        assert_eq!(of_files(&sources(&[("x/mpl/25M/cosine.csv", 2)])), ["25M/cosine"]);
        assert_eq!(of_files(&sources(&[("x/mpl/25M/cosine.csv", 1)])), ["25M/cosine"]);
        assert_eq!(of_files(&sources(&[("x/runs/lr0.002.csv", 1)])), ["lr0.002"]);
    }

    #[test]
    fn a_folder_gives_one_name_however_it_is_written() {
        let named = |path: &str, key: &str, cwd: &str| {
            let source = Source::bytes(path, Vec::new()).under(cwd).named_after(key);
            of_files(&[source]).remove(0)
        };
        assert_eq!(named("./trainer_state.json", ".", "/big/runs/a"), "a");
        assert_eq!(named("trainer_state.json", ".", "/big/runs/a"), "a");
        assert_eq!(named("a/trainer_state.json", "a", "/big/runs"), "a");
        assert_eq!(named("./a/trainer_state.json", "./a", "/big/runs"), "a");
        assert_eq!(named("/big/runs/a/trainer_state.json", "/big/runs/a", "/elsewhere"), "a");
        assert_eq!(named("../trainer_state.json", "..", "/big/runs/a/sub"), "a");
        let bare = Source::bytes("./trainer_state.json", Vec::new()).named_after(".");
        assert_eq!(of_files(&[bare]), ["trainer_state"]);
        assert_eq!(of_files(&[Source::bytes("", Vec::new())]), ["run"]);
    }

    #[test]
    fn equal_names_grow_until_they_differ() {
        assert_eq!(
            of_files(&sources(&[("x/a/metrics.csv", 1), ("x/b/metrics.csv", 1)])),
            ["a/metrics", "b/metrics"]
        );
    }

    #[test]
    fn a_size_is_a_whole_component() {
        for (text, params) in
            [("400M", Some(400_000_000)), ("m", None), ("inf", None), ("nanM", None), ("wsd_3", None)]
        {
            assert_eq!(params_in(text), params, "{text}");
        }
    }
}

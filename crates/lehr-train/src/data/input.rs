//! The files that the user's paths name.

use crate::error::TrainError;
use std::fs;
use std::path::{Path, PathBuf};

/// What a file holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One document.
    Text,
    /// One document a line, under a key.
    JsonLines,
    /// One document a row, in a column.
    Parquet,
    /// Tokens, 16 or 32 bits each.
    Bin,
    /// Tokens in NumPy's format.
    Npy,
}

impl Kind {
    /// The kind of a file, and whether it is compressed.
    fn of(path: &Path) -> (Self, bool) {
        let name =
            path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let (stem, gzip) = match name.strip_suffix(".gz") {
            Some(stem) => (stem, true),
            None => (name.as_str(), false),
        };
        let kind = match stem.rsplit_once('.').map(|(_, extension)| extension) {
            Some("jsonl" | "ndjson") => Self::JsonLines,
            // Compressed JSON lines are often named .json.gz.
            Some("json") if gzip => Self::JsonLines,
            Some("parquet") => Self::Parquet,
            Some("bin") => Self::Bin,
            Some("npy") => Self::Npy,
            _ => Self::Text,
        };
        (kind, gzip)
    }

    /// Whether the file holds tokens already.
    pub(crate) fn is_tokens(self) -> bool {
        matches!(self, Self::Bin | Self::Npy)
    }

    /// A name for errors and cache keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::JsonLines => "JSON lines",
            Self::Parquet => "Parquet",
            Self::Bin => ".bin tokens",
            Self::Npy => ".npy tokens",
        }
    }
}

/// One input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// As the user named it, or below a folder that the user named.
    pub path: PathBuf,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is compressed with gzip.
    pub gzip: bool,
}

/// A failure to read a file.
pub(crate) fn cannot(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let file = path.to_path_buf();
    move |source| TrainError::File { file, action, source }
}

/// Something wrong with the data at a place.
pub(crate) fn broken(
    place: impl std::fmt::Display,
    problem: impl Into<String>,
    expected: impl Into<String>,
) -> TrainError {
    TrainError::Data { place: place.to_string(), problem: problem.into(), expected: expected.into() }
}

/// The files below `paths`, in the order of `paths` and sorted by name inside folders.
///
/// Names that begin with a dot are left out inside folders.
pub(crate) fn find(paths: &[String]) -> Result<Vec<Input>, TrainError> {
    let mut inputs = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for path in paths {
        let before = inputs.len();
        walk(Path::new(path), &mut Vec::new(), &mut inputs)?;
        if inputs.len() == before {
            return Err(broken(
                path,
                "the folder holds no file",
                "text, JSON lines, Parquet, .bin or .npy files",
            ));
        }
    }
    for input in &inputs {
        let real = fs::canonicalize(&input.path).map_err(cannot("read", &input.path))?;
        if let Some(first) = seen.insert(real, input.path.clone()) {
            return Err(broken(
                input.path.display(),
                format!("the same file as {}", first.display()),
                "every file once; longer runs pass over the data again by themselves",
            ));
        }
        if input.gzip && (input.kind.is_tokens() || input.kind == Kind::Parquet) {
            return Err(broken(
                input.path.display(),
                format!("compressed {}", input.kind.name()),
                "an uncompressed file, which can be read in places; run gunzip on it",
            ));
        }
    }
    Ok(inputs)
}

/// Adds `path`, or the files below it. `above` holds the real folders on the way here.
fn walk(path: &Path, above: &mut Vec<PathBuf>, inputs: &mut Vec<Input>) -> Result<(), TrainError> {
    let meta = fs::metadata(path).map_err(cannot("read", path))?;
    if !meta.is_dir() {
        let (kind, gzip) = Kind::of(path);
        inputs.push(Input { path: path.to_path_buf(), kind, gzip });
        return Ok(());
    }
    let real = fs::canonicalize(path).map_err(cannot("read", path))?;
    if above.contains(&real) {
        return Err(broken(
            path.display(),
            format!("a link to {}, which contains it", real.display()),
            "folders without such links",
        ));
    }
    above.push(real);
    let mut entries = fs::read_dir(path)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
        })
        .map_err(cannot("read", path))?;
    entries.sort();
    for entry in entries {
        if !entry.as_encoded_bytes().starts_with(b".") {
            walk(&path.join(entry), above, inputs)?;
        }
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_hold() {
        let of = |name: &str| Kind::of(Path::new(name));
        assert_eq!(of("a/book.txt"), (Kind::Text, false));
        assert_eq!(of("main.rs"), (Kind::Text, false));
        assert_eq!(of("README"), (Kind::Text, false));
        assert_eq!(of("c4.json.gz"), (Kind::JsonLines, true));
        assert_eq!(of("X.JSONL"), (Kind::JsonLines, false));
        assert_eq!(of("train.bin"), (Kind::Bin, false));
        assert_eq!(of("t.npy"), (Kind::Npy, false));
        assert_eq!(of("t.parquet"), (Kind::Parquet, false));
    }

    #[test]
    fn folders_are_walked_in_sorted_order_without_hidden_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a/z.txt", "a/.hidden", ".git/config", "c.txt"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let found = find(&[folder.path().to_string_lossy().into_owned()]).unwrap();
        let names: Vec<_> =
            found.iter().map(|input| input.path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a/z.txt"), Path::new("b.txt"), Path::new("c.txt")]);
    }

    #[test]
    fn a_file_given_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "x").unwrap();
        let path = path.to_string_lossy().into_owned();
        let error = find(&[path.clone(), path]).unwrap_err().to_string();
        assert!(error.contains("the same file as"), "{error}");
    }

    #[test]
    fn an_empty_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(&[folder.path().to_string_lossy().into_owned()]).unwrap_err().to_string();
        assert!(error.contains("holds no file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let error = find(&[folder.path().to_string_lossy().into_owned()]).unwrap_err().to_string();
        assert!(error.contains("which contains it"), "{error}");
    }
}

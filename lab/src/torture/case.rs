//! Inputs that broke a rule, and how they are kept.

use super::inside_case::InsideCase;
use std::io;
use std::path::{Path, PathBuf};

/// A command line and the file it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandCase {
    /// Arguments; `{file}` stands for the file, `{folder}` for a folder of the case's own.
    pub words: Vec<String>,
    /// The file's name, which says what it is.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// One input.
#[derive(Debug, Clone)]
pub enum Case {
    /// Through the command.
    Command(CommandCase),
    /// Through the library.
    Inside(InsideCase),
}

/// A rule that was broken.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which rule, and where: what findings are counted by.
    pub kind: String,
    /// What was said.
    pub said: String,
    /// By what.
    pub case: Case,
}

/// File of the arguments, one a line.
const ARGUMENTS: &str = "arguments";
/// File of a case of the library.
const INSIDE: &str = "inside";

impl Case {
    /// Smaller is better.
    pub fn size(&self) -> usize {
        match self {
            Self::Command(case) => case.bytes.len() + 100 * case.words.len(),
            Self::Inside(case) => case.to_text().len(),
        }
    }

    /// As a line.
    pub fn shown(&self) -> String {
        match self {
            Self::Command(case) => {
                format!("lehr {}  ({}, {} bytes)", case.words.join(" "), case.name, case.bytes.len())
            }
            Self::Inside(case) => case.to_text().chars().take(300).collect(),
        }
    }

    /// Writes the case to a folder of its own below `hostile`.
    pub fn keep(&self, hostile: &Path, kind: &str) -> io::Result<PathBuf> {
        let text = match self {
            Self::Command(case) => {
                format!("{}{}", case.words.join("\n"), String::from_utf8_lossy(&case.bytes))
            }
            Self::Inside(case) => case.to_text(),
        };
        // FNV-1a: a name that is the same for the same case.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let words: String = kind
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).take(8).collect();
        let folder = hostile.join(format!("{}-{:08x}", words.join("-"), hash as u32));
        std::fs::create_dir_all(&folder)?;
        match self {
            Self::Command(case) => {
                std::fs::write(folder.join(ARGUMENTS), case.words.join("\n") + "\n")?;
                std::fs::write(folder.join(&case.name), &case.bytes)?;
            }
            Self::Inside(case) => std::fs::write(folder.join(INSIDE), case.to_text() + "\n")?,
        }
        Ok(folder)
    }
}

/// The kept cases, in the order of their names.
pub fn kept(hostile: &Path) -> io::Result<Vec<Case>> {
    let mut folders: Vec<PathBuf> = match std::fs::read_dir(hostile) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    folders.sort();
    let mut cases = Vec::new();
    for folder in folders {
        if let Ok(text) = std::fs::read_to_string(folder.join(INSIDE)) {
            let wrong = || io::Error::other(format!("{}: no case can be read from it", folder.display()));
            cases.push(Case::Inside(InsideCase::from_text(text.trim_end()).ok_or_else(wrong)?));
            continue;
        }
        let words: Vec<String> =
            std::fs::read_to_string(folder.join(ARGUMENTS))?.lines().map(str::to_owned).collect();
        let mut files = std::fs::read_dir(&folder)?.flatten().filter(|entry| entry.file_name() != ARGUMENTS);
        let file = files.next().map(|entry| entry.path());
        let (name, bytes) = match file {
            Some(path) => {
                (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), std::fs::read(&path)?)
            }
            None => ("none".to_owned(), Vec::new()),
        };
        cases.push(Case::Command(CommandCase { words, name, bytes }));
    }
    Ok(cases)
}

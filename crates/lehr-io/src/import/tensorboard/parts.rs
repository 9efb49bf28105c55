//! Runs whose event files lie in several folders: `train/` and `validation/` beside each other, and the folders that
//! `add_scalars` makes, one for each of its curves.

use super::{EventFiles, fields, masked};
use crate::error::ReadError;
use crate::import::protobuf::Value;
use crate::import::sparse::Sparse;
use crate::import::{Group, Importer, Log};
use crate::mapping::{Role, guess, has_word};
use crate::source::{Source, components};
use std::borrow::Cow;
use std::collections::BTreeMap;

const TRAINING: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 7] = ["validation", "val", "valid", "eval", "evaluation", "test", "dev"];
/// Folders between a run's own and those of `add_scalars`, at most.
const DEEPEST: usize = 4;

/// The folder above, `.` above a bare name, and the last component.
fn split(folder: &str) -> (&str, &str) {
    folder.rsplit_once('/').unwrap_or((".", folder))
}

/// The path of a folder below another.
fn below(folder: &str, base: &str) -> String {
    let depth = components(base).count();
    components(folder).skip(depth).collect::<Vec<_>>().join("/")
}

pub(in crate::import) fn is_training(folder: &str) -> bool {
    TRAINING.contains(&split(folder).1.to_lowercase().as_str())
}

pub(in crate::import) fn is_validation(folder: &str) -> bool {
    VALIDATION.contains(&split(folder).1.to_lowercase().as_str())
}

/// The folder that holds all sources.
pub(super) fn base(sources: &[&Source]) -> String {
    let mut common: Option<Vec<&str>> = None;
    for source in sources {
        let parts: Vec<&str> = components(source.folder()).collect();
        common = Some(match common {
            None => parts,
            Some(before) => {
                before.into_iter().zip(parts).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
            }
        });
    }
    common.unwrap_or_default().join("/")
}

/// How the tags of a file are named.
pub(super) enum Naming {
    /// As they are.
    Plain,
    /// With the name of the folder in front: `validation/loss`.
    Prefix(String),
    /// All by the folder that `add_scalars` made: `loss/train`, `loss_train`.
    Folder(String),
}

impl Naming {
    pub(super) fn of(folder: &str, base: &str) -> Self {
        let below = below(folder, base);
        if below.is_empty() {
            Self::Plain
        } else if !below.contains('/') && (is_training(&below) || is_validation(&below)) {
            Self::Prefix(below)
        } else {
            Self::Folder(below)
        }
    }

    pub(super) fn column<'a>(&'a self, tag: &'a str) -> Cow<'a, str> {
        match self {
            Self::Plain => Cow::Borrowed(tag),
            Self::Prefix(folder) => Cow::Owned(format!("{folder}/{tag}")),
            Self::Folder(folder) => Cow::Borrowed(folder),
        }
    }
}

/// Keras counts epochs on the axis of its `epoch_…` tags: never taken for updates.
pub(super) fn refuse_epochs(source: &Source, log: &Sparse) -> Result<(), ReadError> {
    let columns = log.columns()?;
    let is_found = |role| guess(role, &columns).is_some();
    let of_epochs = |name: &&String| has_word(name, &["epoch"]) && has_word(name, &["loss"]);
    match columns.iter().find(of_epochs) {
        Some(name) if !is_found(Role::Loss) && !is_found(Role::ValidationLoss) => Err(ReadError::Refused {
            file: source.name().to_owned(),
            why: format!("its losses ('{name}') are logged once an epoch, and its steps count epochs, not updates"),
            hint: "log by update (Keras: TensorBoard(update_freq=100)), or map the column if its steps are updates"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The tags of the first events of a file.
fn first_tags(source: &Source) -> Vec<String> {
    const READ: u64 = 64 << 10;
    let Ok(head) = source.head(READ) else { return Vec::new() };
    let (mut tags, mut rest) = (Vec::new(), head.as_slice());
    while let Some(length) = rest.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) {
        let Ok(length) = usize::try_from(length) else { break };
        let Some(event) = length.checked_add(12).and_then(|end| rest.get(12..end)) else { break };
        if masked(&rest[..8]).to_le_bytes() != rest[8..12] {
            break;
        }
        for summary in fields(event).flatten() {
            let (5, Value::Bytes(summary)) = summary else { continue };
            for value in fields(summary).flatten() {
                let (1, Value::Bytes(value)) = value else { continue };
                let tag = fields(value).flatten().find_map(|field| match field {
                    (1, name) => name.text().map(str::to_owned),
                    _ => None,
                });
                tags.extend(tag.filter(|tag| !tags.contains(tag)));
            }
        }
        rest = rest.get(length + 16..).unwrap_or_default();
    }
    tags
}

/// Whether `add_scalars` made the folder: `below` is its path under the run's folder, and its one tag begins that path.
fn is_of_add_scalars(below: &str, tags: &[String]) -> bool {
    let [tag] = tags else { return false };
    [tag.clone(), tag.replace('/', "_")].iter().any(|start| {
        below.strip_prefix(start.as_str()).is_some_and(|rest| rest.len() > 1 && rest.starts_with(['/', '_']))
    })
}

/// Puts the folders of one run together.
pub(in crate::import) fn join(groups: Vec<Group>) -> Vec<Group> {
    let is_events =
        |group: &Group| group.importer.is_some_and(|importer| importer.name() == EventFiles.name());
    let mut at = BTreeMap::<String, usize>::new();
    for (i, group) in groups.iter().enumerate().filter(|(_, group)| is_events(group)) {
        if let Some(source) = group.sources.first() {
            at.insert(source.folder().to_owned(), i);
        }
    }
    // The folder that each group's run is named after.
    let mut home: BTreeMap<usize, String> = BTreeMap::new();
    for (folder, &i) in &at {
        let (parent, _) = split(folder);
        let sibling = |wanted: fn(&str) -> bool| {
            at.keys().any(|other| other != folder && split(other).0 == parent && wanted(other))
        };
        let has_parent = at.contains_key(parent);
        let of_split = is_validation(folder) && (sibling(is_training) || has_parent)
            || is_training(folder) && (sibling(is_validation) || has_parent);
        let mut of_scalars = false;
        let mut above = parent;
        for _ in 0..DEEPEST {
            if at.contains_key(above) {
                let below = below(folder, above);
                let tags = groups[i].sources.first().map(first_tags).unwrap_or_default();
                of_scalars = is_of_add_scalars(&below, &tags);
                break;
            }
            if above.is_empty() || above == "." {
                break;
            }
            above = split(above).0;
        }
        if of_scalars {
            home.insert(i, above.to_owned());
        } else if of_split {
            home.insert(i, parent.to_owned());
        }
    }
    let mut joined: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for (i, folder) in home {
        let into = match at.get(&folder).or_else(|| first.get(&folder)) {
            Some(&into) => into,
            None => {
                first.insert(folder.clone(), i);
                if let Some(group) = &mut joined[i]
                    && let Some(source) = group.sources.first()
                {
                    group.named = source.named_after(&folder);
                }
                continue;
            }
        };
        if let Some(part) = joined[i].take() {
            match &mut joined[into] {
                Some(group) => group.sources.extend(part.sources),
                none => *none = Some(part),
            }
        }
    }
    joined.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_named_after_their_folder() {
        let name = |folder: &str, base: &str, tag: &str| Naming::of(folder, base).column(tag).into_owned();
        assert_eq!(name("runs/a", "runs/a", "loss"), "loss");
        assert_eq!(name("runs/a/validation", "runs/a", "loss"), "validation/loss");
        assert_eq!(name("runs/a/loss_train", "runs/a", "loss"), "loss_train");
        assert_eq!(name("loss/val", "", "loss"), "loss/val");
    }

    #[test]
    fn a_folder_of_add_scalars_begins_with_its_tag() {
        let of = |below: &str, tag: &str| is_of_add_scalars(below, &[tag.to_owned()]);
        assert!(of("loss/train", "loss") && of("loss_train", "loss") && of("Loss_all_train", "Loss/all"));
        assert!(!of("loss", "loss") && !of("lossy", "loss") && !of("eval", "loss"));
    }
}

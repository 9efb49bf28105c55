//! TensorBoard's CSV downloads: one file a tag, `run-<run>-tag-<tag>.csv` with `Wall time,Step,Value`.

use super::sparse::{Sparse, plays};
use super::tensorboard::parts;
use super::{Group, Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Role};
use crate::name::stem;
use crate::source::Source;
use crate::table::{self, Format, Want};

/// Reads the files that TensorBoard's page saves; those of one run in one directory belong together. Files under other
/// names in one directory are taken for one run, and their names for tags.
#[derive(Debug)]
pub struct CsvDownload;

const HEADER: &[u8] = b"wall time,step,value";

/// Run and tag that a file name states.
fn named(file_name: &str) -> Option<(&str, &str)> {
    let name = file_name.strip_suffix(".csv")?.strip_prefix("run-")?;
    name.rsplit_once("-tag-")
}

/// Run and tag of each file that states them.
fn all_named<'a>(sources: impl Iterator<Item = &'a Source>) -> Vec<(&'a str, &'a str)> {
    sources.filter_map(|source| named(source.plain_name())).collect()
}

/// The run of which `run` is a part, and the name of the tag there: a run `exp_validation` beside `exp_train` or `exp`, or
/// `exp_loss_val`, which `add_scalars` made of the tag `loss` beside `exp`. A run of its own keeps both names.
fn home<'a>(all: &[(&'a str, &'a str)], run: &'a str, tag: &str) -> (&'a str, String) {
    let has = |wanted: &str| all.iter().any(|(other, _)| *other == wanted);
    let tags: Vec<&str> = all.iter().filter(|(other, _)| *other == run).map(|(_, tag)| *tag).collect();
    let of_scalars = all.iter().find_map(|(parent, _)| {
        let rest = run.strip_prefix(parent)?.strip_prefix('_')?;
        let begins =
            rest.strip_prefix(&tag.replace('/', "_"))?.strip_prefix('_').is_some_and(|word| !word.is_empty());
        (begins && tags.iter().all(|other| *other == tag)).then_some((*parent, rest))
    });
    if let Some((parent, column)) = of_scalars {
        return (parent, column.to_owned());
    }
    let split = |run: &'a str| run.rsplit_once('_').unwrap_or(("", run));
    let (stem, word) = split(run);
    let sibling = |is_wanted: fn(&str) -> bool| {
        all.iter().any(|(other, _)| split(other).0 == stem && is_wanted(split(other).1))
    };
    let is_part = parts::is_training(word) && (sibling(parts::is_validation) || has(stem))
        || parts::is_validation(word) && (sibling(parts::is_training) || has(stem));
    if is_part { (stem, format!("{word}/{tag}")) } else { (run, tag.to_owned()) }
}

/// Puts the files of runs together of which a part was logged under a name of its own.
pub(super) fn join(groups: Vec<Group>) -> Vec<Group> {
    let mut joined: Vec<Group> = Vec::with_capacity(groups.len());
    let is_one = |group: &Group| group.importer.is_some_and(|importer| importer.name() == CsvDownload.name());
    let mut folders = std::collections::BTreeMap::<String, Vec<Source>>::new();
    for group in groups.iter().filter(|group| is_one(group)) {
        for source in &group.sources {
            folders.entry(source.folder().to_owned()).or_default().push(source.clone());
        }
    }
    let mut homes = std::collections::BTreeMap::<String, usize>::new();
    for mut group in groups {
        let key = group.sources.first().filter(|_| is_one(&group)).and_then(|source| {
            let (run, tag) = named(source.plain_name())?;
            let beside = folders.get(source.folder())?;
            let (home, _) = home(&all_named(beside.iter()), run, tag);
            let key = if home.is_empty() {
                source.folder().to_owned()
            } else {
                format!("{}/{home}", source.folder())
            };
            Some((source.named_after(&key), key))
        });
        let Some((named, key)) = key else {
            joined.push(group);
            continue;
        };
        match homes.get(&key) {
            Some(&at) => joined[at].sources.extend(group.sources),
            None => {
                homes.insert(key, joined.len());
                group.named = named;
                joined.push(group);
            }
        }
    }
    joined
}

impl Importer for CsvDownload {
    fn name(&self) -> &'static str {
        "TensorBoard CSV download"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let header = head.split(|&byte| byte == b'\n').next()?.trim_ascii().to_ascii_lowercase();
        (header == HEADER).then(|| match named(source.plain_name()) {
            Some((run, _)) => format!("{}/{run}", source.folder()),
            None => source.folder().to_owned(),
        })
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        let beside = all_named(sources.iter());
        let tag_of = |source: &Source| match named(source.plain_name()) {
            Some((run, tag)) => home(&beside, run, tag).1,
            None => stem(source.plain_name()).to_owned(),
        };
        let all: Vec<String> = sources.iter().map(tag_of).collect();
        let says =
            |tag: &String| [Role::Loss, Role::ValidationLoss, Role::Lr].iter().any(|&role| plays(role, tag));
        if let Some(renamed) = sources.iter().find(|source| named(source.plain_name()).is_none())
            && map.is_empty()
            && !all.iter().any(says)
        {
            return Err(ReadError::Refused {
                file: renamed.name().to_owned(),
                why: "one tag downloaded from TensorBoard, and the file's name does not say which".to_owned(),
                hint: "give it the name that TensorBoard gave it, run-RUN-tag-TAG.csv, or that of its tag (train_loss.csv beside lr.csv), or read the event files themselves".to_owned(),
            });
        }
        for (source, tag) in sources.iter().zip(&all) {
            // TensorBoard calls the run of its own folder `.`: the folder's name says more.
            if let Some((run, tag)) = named(source.plain_name())
                && let (home, _) = home(&beside, run, tag)
                && !matches!(home, "." | "")
            {
                log.facts.name = Some(home.to_owned());
            }
            let format = Format::Delimited(b',');
            let columns = table::columns(source, format)?;
            let [time, step, value] = columns.as_slice() else { continue };
            let select = [
                (step.as_str(), Want::Number),
                (value.as_str(), Want::Number),
                (time.as_str(), Want::Perhaps),
            ];
            table::for_each_row(source, format, &select, &mut |place, cells| {
                if let (Some(step), Some(value)) = (cells[0].number(), cells[1].number()) {
                    let line = if let Place::Line(line) = place { line } else { 0 };
                    log.row_at(line, cells[2].number().unwrap_or(f64::NAN));
                    log.put("step", step);
                    log.put(tag, value);
                }
                Ok(true)
            })?;
        }
        Ok(Box::new(log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_run_and_tag() {
        assert_eq!(named("run-exp-1-tag-train_loss.csv"), Some(("exp-1", "train_loss")));
        assert_eq!(named("loss.csv"), None);
    }

    #[test]
    fn a_part_of_a_run_is_told_by_what_lies_beside_it() {
        let all =
            [("exp_train", "loss"), ("exp_train", "lr"), ("exp_validation", "loss"), ("old_train", "loss")];
        assert_eq!(home(&all, "exp_train", "lr"), ("exp", "train/lr".to_owned()));
        assert_eq!(home(&all, "exp_validation", "loss"), ("exp", "validation/loss".to_owned()));
        assert_eq!(home(&all, "old_train", "loss"), ("old_train", "loss".to_owned()));
        let scalars = [("exp", "lr"), ("exp_loss_train", "loss"), ("exp_loss_val", "loss")];
        assert_eq!(home(&scalars, "exp_loss_val", "loss"), ("exp", "loss_val".to_owned()));
        let keras = [("train", "loss"), ("validation", "loss")];
        assert_eq!(home(&keras, "validation", "loss"), ("", "validation/loss".to_owned()));
    }
}

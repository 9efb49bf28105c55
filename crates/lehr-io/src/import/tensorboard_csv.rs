//! TensorBoard's CSV downloads: one file a tag, `run-<run>-tag-<tag>.csv` with `Wall time,Step,Value`.

use super::sparse::{Sparse, plays};
use super::{Importer, Log};
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
        let tag_of = |source: &Source| match named(source.plain_name()) {
            Some((_, tag)) => tag.to_owned(),
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
            if let Some((run, _)) = named(source.plain_name()).filter(|(run, _)| *run != ".") {
                log.facts.name = Some(run.to_owned());
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
}

//! Tables of final losses: a manifest that speaks for no log.

use super::{LoadedRun, Reading};
use crate::error::ReadError;
use crate::health::Health;
use crate::manifest::Manifest;
use crate::name;
use crate::note::Note;
use crate::rebuild::{self, Known, ScheduleOrigin};
use lehr::{Curve, ParamCount, Params, Tokens};
use std::sync::Arc;

impl Reading<'_> {
    /// The runs of the manifests that speak for no log: those of their rows that state a final loss.
    pub fn finals(&mut self) -> Result<Vec<LoadedRun>, ReadError> {
        let without_logs: Vec<(String, Arc<Manifest>)> = self
            .manifests
            .iter()
            .filter(|(directory, _)| {
                // Also where another manifest was named: one that lies beside logs is of them.
                !self.logs.iter().any(|log| {
                    self.nearest_manifest(&log.named).is_some_and(|(spoken_for, _)| spoken_for == **directory)
                })
            })
            .map(|(directory, manifest)| (directory.clone(), Arc::clone(manifest)))
            .collect();
        let mut runs = Vec::new();
        for (directory, manifest) in without_logs {
            let before = runs.len();
            for entry in manifest.entries() {
                let Some(curve) = entry.final_run(self.options.params_column.as_deref())? else { continue };
                self.in_manifest.insert((directory.clone(), entry.id.clone()));
                if let Some(first) = self.seen.insert(entry.id.clone(), directory.clone()) {
                    return Err(ReadError::DuplicateRun { id: entry.id.clone(), first, second: directory });
                }
                if !name::is_wanted(&self.options.runs, &entry.id) {
                    self.unmatched.push(entry.id.clone());
                    continue;
                }
                runs.push(self.final_run(curve, entry.file()));
            }
            if runs.len() > before {
                self.summary.notes.push(Note::new(
                    "final-losses",
                    if directory.is_empty() { "manifest" } else { &directory },
                    format!(
                        "{} runs are final losses alone, one point each: there is no log beside the manifest",
                        runs.len() - before
                    ),
                ));
            }
        }
        Ok(runs)
    }

    fn final_run(&self, curve: Curve, file: &str) -> LoadedRun {
        let options = self.options;
        let mut meta = curve.meta().clone();
        if let Some(params) = options.params {
            meta.params = Some(Params(params));
            meta.active_params = None;
            meta.counted = ParamCount::Unstated;
        }
        meta.tokens_per_step = meta.tokens_per_step.or(options.tokens_per_step.map(Tokens));
        let curve = curve.with_meta(meta);
        let family = rebuild::family(curve.schedule());
        LoadedRun {
            curve,
            file: file.to_owned(),
            format: "table of final losses".to_owned(),
            mapping: None,
            schedule: ScheduleOrigin { known: Known::Manifest, family, residual: None, rows: 0 },
            health: Health::default(),
            caveats: Vec::new(),
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{ReadError, ReadOptions, Source, for_each_run};
    use lehr::{Curve, Split};

    fn read(table: &str, patterns: &[&str]) -> Result<Vec<Curve>, ReadError> {
        let sources = [Source::bytes("finals/manifest.csv", table.as_bytes().to_vec())];
        let runs = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let mut out = Vec::new();
        let options = ReadOptions { runs, ..ReadOptions::default() };
        for_each_run::<ReadError>(&sources, &options, &mut |_| {}, &mut |run| {
            out.push(run.curve);
            Ok(())
        })?;
        Ok(out)
    }

    const HEAD: &str = "run_id,params_non_embedding,tokens_per_step,peak_lr,final_lr,warmup_steps,total_steps,schedule,final_val_loss";

    #[test]
    fn a_table_of_final_losses_is_one_point_a_run() {
        let table = format!(
            "{HEAD}\na,2e8,1e6,1e-3,1e-5,100,1000,cosine,2.5\nb,2e8,5e5,2e-3,1e-5,100,2000,cosine,2.4\n"
        );
        let runs = read(&table, &[]).unwrap();
        assert_eq!(runs.len(), 2);
        let (meta, schedule) = (runs[1].meta(), runs[1].schedule());
        assert_eq!((runs[1].step(), runs[1].loss()), (&[2000][..], &[2.4][..]));
        assert_eq!((meta.id.as_str(), meta.split), ("b", Split::Validation));
        assert_eq!(meta.law_params().unwrap().0, 200_000_000);
        assert_eq!(meta.tokens_per_step.unwrap().0, 500_000);
        assert!((schedule.lr(100) - 2e-3).abs() < 1e-12 && (schedule.lr(2000) - 1e-5).abs() < 1e-12);
        assert_eq!(read(&table, &["!a"]).unwrap().len(), 1);
        assert!(matches!(read(&table, &["c"]), Err(ReadError::NoMatch { .. })));
    }

    #[test]
    fn a_run_that_ends_in_its_warmup_has_the_beginning_of_it() {
        let table = format!("{HEAD}\na,2e8,1e6,1e-3,1e-5,2000,500,cosine,5.0\n");
        let run = read(&table, &[]).unwrap().remove(0);
        assert_eq!(run.schedule().total().0, 500);
        assert!((run.schedule().peak_lr() - 2.5e-4).abs() < 1e-9, "{}", run.schedule().peak_lr());
    }

    #[test]
    fn what_a_row_lacks_or_has_wrong_is_named_with_its_line() {
        for (row, wanted) in [
            ("a,2e8,1e6,,1e-5,100,1000,cosine,2.5", "peak_lr, total_steps and schedule"),
            ("a,2e8,1e6,1e-3,1e-5,100,1000,cosine,-2.5", "a loss above 0"),
            ("a,2e8,1e6,1e-3,1e-5,100,1000,cosine,low", "a finite number"),
        ] {
            let error = read(&format!("{HEAD}\n{row}\n"), &[]).unwrap_err().to_string();
            assert!(error.contains("manifest.csv:2") && error.contains(wanted), "{error}");
        }
        let none = read(&format!("{HEAD}\na,2e8,1e6,1e-3,1e-5,100,1000,cosine,\n"), &[]);
        assert!(matches!(none, Err(ReadError::NoRun { .. })), "{none:?}");
    }
}

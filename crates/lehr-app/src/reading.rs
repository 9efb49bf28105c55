//! Logs → curves: the part that every question about runs shares.

use crate::answer::add_caveats;
use crate::desk::Desk;
use crate::failure::Failure;
use crate::observer::Event;
use lehr::fit::dataset::condense;
use lehr::{Caveat, Curve};
use lehr_io::{LoadedRun, Note, ReadOptions, Summary};
use std::path::PathBuf;

/// Which logs to read, and how.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Logs, tables, directories of them (searched to the bottom), run stores; patterns with * ? ** are expanded.
    pub paths: Vec<PathBuf>,
    /// A manifest (CSV or TOML) that describes the runs; one next to the logs is found without this.
    pub manifest: Option<PathBuf>,
    /// How to read them.
    pub options: ReadOptions,
    /// About so many points a run are held (see [`condense`]); `None`: all.
    pub held: Option<usize>,
}

impl Reading {
    /// Paths alone, nothing mapped or chosen, every row held.
    pub fn of<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self { paths: paths.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The same with about so many points a run in memory.
    #[must_use]
    pub fn held(self, held: Option<usize>) -> Self {
        Self { held, ..self }
    }
}

/// Curves, and what there is to say about them.
#[derive(Debug, Clone)]
pub struct Runs {
    /// The curves, in the order of the sources.
    pub curves: Vec<Curve>,
    /// What to beware of, of all runs.
    pub caveats: Vec<Caveat>,
    /// What was done with the data.
    pub notes: Vec<Note>,
    /// Runs of which fewer points are held than were logged.
    pub condensed: usize,
}

impl Runs {
    /// The same with about so many points a run, as [`Reading::held`] gives them while runs are read; runs of which fewer points
    /// are held already stay as they are.
    #[must_use]
    pub fn held(mut self, most: Option<usize>) -> Self {
        let Some(most) = most.filter(|_| self.condensed == 0) else { return self };
        for curve in &mut self.curves {
            if curve.step().len() > most {
                let rows = curve.step().len();
                *curve = condense(curve.clone(), most);
                self.condensed += usize::from(curve.step().len() < rows);
            }
        }
        self.note_condensed(most);
        self
    }

    fn note_condensed(&mut self, held: usize) {
        if self.condensed == 0 {
            return;
        }
        self.notes.push(Note::new(
            "condensed",
            format!(
                "{} run{} of more than {held} points",
                self.condensed,
                if self.condensed == 1 { "" } else { "s" }
            ),
            "held as about that many: means of neighbouring training losses, every k-th other loss ([[points]] all holds every row)",
        ));
    }
}

/// The mapping of each kind of table, as a note.
fn mapping_notes(summary: &Summary) -> impl Iterator<Item = Note> {
    summary.mappings.iter().map(|(file, format, mapping, files)| {
        let more = if *files > 1 { format!(" and {} more files", files - 1) } else { String::new() };
        Note::new("mapping", format!("{format} {file}{more}"), mapping.to_string())
    })
}

impl Desk {
    /// Reads run after run and hands each to `visit`, so that any number of runs fits into memory.
    ///
    /// # Errors
    /// [`Failure`] for a fault of a log, for what `visit` returns, and when the observer stops it.
    pub fn for_each_run(
        &self,
        reading: &Reading,
        visit: &mut dyn FnMut(LoadedRun) -> Result<(), Failure>,
    ) -> Result<Summary, Failure> {
        let manifest = reading.manifest.as_deref().map(|path| self.files().source(path)).transpose()?;
        let manifest = manifest.or_else(|| reading.options.manifest.clone());
        let options = ReadOptions { manifest, ..reading.options.clone() };
        let sources = self.files().sources(&reading.paths)?;
        let mut notes = Vec::new();
        let result = lehr_io::for_each_run(
            &sources,
            &options,
            &mut |progress| {
                self.observer().hear(Event::Reading {
                    files: progress.files,
                    of_files: progress.of_files,
                    runs: progress.runs,
                });
            },
            &mut |run: LoadedRun| {
                self.check_cancelled()?;
                notes.extend(run.notes.iter().cloned());
                visit(run)
            },
        );
        self.observer().hear(Event::Done);
        let mut summary = result.map_err(|error| self.a_fit_is_no_log(reading).unwrap_or(error))?;
        let mut all: Vec<Note> = mapping_notes(&summary).collect();
        all.append(&mut notes);
        all.append(&mut summary.notes);
        summary.notes = all;
        Ok(summary)
    }

    /// What to say where a fit was given in place of logs; `None` where none was.
    fn a_fit_is_no_log(&self, reading: &Reading) -> Option<Failure> {
        let path = reading.paths.iter().find(|path| self.is_a_fit(path).unwrap_or(false))?;
        let path = path.display();
        Some(
            Failure::new(format_args!("{path}: this is a fit, and logs are expected here"))
                .hint(format_args!("name the logs that it was made of; `lehr recommend {path}` and `lehr forecast {path}` ask the fit")),
        )
    }

    /// Reads all runs.
    ///
    /// # Errors
    /// As [`Desk::for_each_run`].
    pub fn runs(&self, reading: &Reading) -> Result<Runs, Failure> {
        let mut runs = Runs { curves: Vec::new(), caveats: Vec::new(), notes: Vec::new(), condensed: 0 };
        let summary = self.for_each_run(reading, &mut |run| {
            let total = run.curve.schedule().total().0;
            self.check_horizon(total).map_err(|failure| {
                Failure::usage(format_args!("{}: run '{}': {failure}", run.file, run.curve.meta().id)).hint(
                    "steps in tokens or samples are brought to updates by [[tokens_per_step]] or [[samples_per_step]]",
                )
            })?;
            add_caveats(&mut runs.caveats, run.caveats);
            let rows = run.curve.step().len();
            let curve = match reading.held {
                Some(most) => condense(run.curve, most),
                None => run.curve,
            };
            runs.condensed += usize::from(curve.step().len() < rows);
            runs.curves.push(curve);
            Ok(())
        })?;
        add_caveats(&mut runs.caveats, summary.caveats);
        runs.notes = summary.notes;
        if let Some(held) = reading.held {
            runs.note_condensed(held);
        }
        Ok(runs)
    }
}

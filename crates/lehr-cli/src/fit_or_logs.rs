//! What an answer is made from: a fit file, or logs that are fitted first.

use crate::failure::Failure;
use crate::load::{SplitArg, read_map};
use crate::output::Output;
use crate::running::RunningArgs;
use lehr::fit::{Fit, FitOptions};
use lehr_app::fit::FitRequest;
use lehr_app::fit_cache::FitCache;
use lehr_app::{Answer, Desk, Reading, laws};
use lehr_io::ReadOptions;
use std::path::PathBuf;

/// A fit, or the logs to fit.
#[derive(Debug, Clone, clap::Args)]
pub struct FitOrLogs {
    /// The fit, from `lehr fit -o`; or logs and directories of them, which are fitted first (and the fit kept, see --no-cache).
    #[arg(required = true, value_name = "FIT|PATH")]
    paths: Vec<PathBuf>,
    /// Of logs: takes only runs whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Logs in place of a fit")]
    fit_run: Vec<String>,
    /// Of logs: takes these losses; default: validation where a run has it.
    #[arg(long, value_enum, help_heading = "Logs in place of a fit")]
    fit_split: Option<SplitArg>,
    /// Of logs: says which column holds what (`lehr fit --help`).
    #[arg(long, value_name = "ROLE=COLUMN", value_delimiter = ',', help_heading = "Logs in place of a fit")]
    fit_map: Vec<String>,
    /// Of logs: the law to fit.
    #[arg(long, value_name = "LAW", help_heading = "Logs in place of a fit")]
    law: Option<String>,
    /// Of logs: fits anew and keeps nothing.
    #[arg(long, help_heading = "Logs in place of a fit")]
    no_cache: bool,
}

/// The same, where the answer can do without.
#[derive(Debug, Clone, clap::Args)]
pub struct OptionalFit {
    /// The fit, from `lehr fit -o`; or logs, which are fitted first; without any, priors from public runs.
    #[arg(value_name = "FIT|PATH")]
    paths: Vec<PathBuf>,
    /// Of logs: takes only runs whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(
        long,
        value_name = "GLOB",
        value_delimiter = ',',
        requires = "paths",
        help_heading = "Logs in place of a fit"
    )]
    fit_run: Vec<String>,
    /// Of logs: the law to fit.
    #[arg(long, value_name = "LAW", requires = "paths", help_heading = "Logs in place of a fit")]
    law: Option<String>,
    /// Of logs: fits anew and keeps nothing.
    #[arg(long, requires = "paths", help_heading = "Logs in place of a fit")]
    no_cache: bool,
}

impl OptionalFit {
    /// The fit, if one was named.
    pub fn fit(&self, desk: &Desk, output: &Output) -> Result<Option<Fit>, Failure> {
        if self.paths.is_empty() {
            return Ok(None);
        }
        let Self { paths, fit_run, law, no_cache } = self.clone();
        let from = FitOrLogs { paths, fit_run, fit_split: None, fit_map: Vec::new(), law, no_cache };
        from.fit(desk, output).map(|fitted| Some(fitted.value))
    }
}

/// Where fits of logs are kept: `$LEHR_CACHE`, else the user's folder for caches.
fn cache() -> Option<FitCache> {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = home("LEHR_CACHE").or_else(|| {
        home("XDG_CACHE_HOME")
            .or_else(|| home("LOCALAPPDATA"))
            .or_else(|| home("HOME").map(|home| home.join(".cache")))
            .map(|folder| folder.join("lehr"))
    })?;
    // Another build of the program may fit otherwise, under the same version.
    let program = std::env::current_exe().and_then(std::fs::metadata).ok()?;
    let changed = program.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let program = format!("{} {} {}", env!("CARGO_PKG_VERSION"), program.len(), changed.as_nanos());
    Some(FitCache { folder: folder.join("fits"), program })
}

impl FitOrLogs {
    /// The same with `--run`, `--split` and `--map`, which are of a running job or of measured runs, as choices of the logs to fit
    /// where there is neither. What names a fit has no use for them and is refused by [`FitOrLogs::fit`].
    pub fn chosen(mut self, running: &RunningArgs, measured: &[PathBuf]) -> Result<Self, Failure> {
        if !running.running.is_empty() || !measured.is_empty() {
            return Ok(self);
        }
        let twice = |name: &str| {
            Err(Failure::usage(format_args!("[[{name}]] and [[fit_{name}]] both choose the logs to fit"))
                .hint(format_args!(
                    "give one of them; [[{name}]] is of [[running]] and [[measured]] where they are given"
                )))
        };
        if !running.run.is_empty() {
            if !self.fit_run.is_empty() {
                return twice("run");
            }
            self.fit_run.clone_from(&running.run);
        }
        if running.split.is_some() {
            if self.fit_split.is_some() {
                return twice("split");
            }
            self.fit_split = running.split;
        }
        if !running.map.is_empty() {
            if !self.fit_map.is_empty() {
                return twice("map");
            }
            self.fit_map.clone_from(&running.map);
        }
        Ok(self)
    }

    /// The fit, read or made, with the notes of its making.
    pub fn fit(&self, desk: &Desk, output: &Output) -> Result<Answer<Fit>, Failure> {
        if desk.names_a_fit(&self.paths)? {
            let options = [
                ("run", !self.fit_run.is_empty()),
                ("split", self.fit_split.is_some()),
                ("map", !self.fit_map.is_empty()),
                ("law", self.law.is_some()),
            ];
            if options.iter().any(|(_, given)| *given) {
                let fit = self.paths[0].display();
                let names: Vec<String> = options.iter().map(|(name, _)| format!("[[{name}]]")).collect();
                return Err(Failure::usage(format_args!(
                    "{} choose what is fitted, and {fit} is a fit already",
                    names.join(", ")
                ))
                .hint("name the logs in its place; [[run]] and [[split]] also choose among the runs of [[measured]] and [[running]]"));
            }
            return desk.read_fit(&self.paths[0]).map(Answer::plain);
        }
        let options = ReadOptions {
            map: read_map(&self.fit_map)?,
            runs: self.fit_run.clone(),
            split: SplitArg::choice(self.fit_split),
            ..ReadOptions::default()
        };
        let law = laws::named(self.law.as_deref().unwrap_or(crate::fit_args::LAW))?;
        let request = FitRequest {
            reading: Reading { options, ..Reading::of(self.paths.clone()) },
            law,
            options: FitOptions::default(),
            profile: false,
            bootstrap: None,
        };
        let cache = if self.no_cache { None } else { cache() };
        let fitted = desk.fit_of_logs(&request, cache.as_ref())?;
        let fit = &fitted.value;
        output.note(format_args!(
            "fitted {} run{} (the {} law, {:.1} mnat off on average; `lehr fit` shows more)",
            fit.runs.len(),
            if fit.runs.len() == 1 { "" } else { "s" },
            fit.law,
            1e3 * fit.metrics.mae
        ));
        // What was done with the logs is the same for every question about them.
        if output.verbose {
            output.notes(&fitted.notes);
        } else {
            output.notes(
                &fitted.notes.iter().filter(|note| note.code == "kept-fit").cloned().collect::<Vec<_>>(),
            );
        }
        Ok(fitted)
    }
}

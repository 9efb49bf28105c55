//! Hands the jobs of a sweep to Slurm as job arrays.
//!
//! ```text
//! array "first": trunks and runs that stand alone, one task each
//! array "branch k": the k-th branch of every trunk, task i after task i of "first" (aftercorr)
//! ```
//! A task is `lehr sweep worker --detached DIR JOB`. It may be requeued at any time, because a worker goes on where
//! the one before it stopped. The folder must be on a file system that all nodes share, with locks that reach across nodes.

use crate::sweep::cluster::prepare;
use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::{Folder, write_whole};
use crate::sweep::graph::{Job, Kind};
use crate::sweep::local::{Event, Executor};
use crate::sweep::outside::AGAIN;
use std::path::PathBuf;
use std::process::Command;

/// Seconds before the end of a job's time at which its trainer hears of it.
const NOTICE: u32 = 180;

/// Writes job arrays and submits them.
#[derive(Debug, Clone)]
pub struct SlurmExecutor {
    /// This program, at a path that every node has.
    pub program: PathBuf,
    /// The words that make it a worker, before `--detached DIR JOB`: `sweep worker`.
    pub arguments: Vec<String>,
    /// Options for `sbatch` besides those that the arrays need: partition, account, time, …
    pub options: Vec<String>,
    /// Whether the arrays are handed to `sbatch`; else they are only written.
    pub submit: bool,
}

/// One array: which jobs, by task number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Name of its files.
    pub name: String,
    /// Task number and name of the job.
    pub tasks: Vec<(usize, String)>,
    /// Tasks that wait for the task of the same number in the first array.
    pub waits: bool,
}

/// Task numbers as `sbatch --array` wants them: `0-3,7`.
fn ranges(tasks: &[(usize, String)]) -> String {
    let mut text = String::new();
    let mut i = 0;
    while i < tasks.len() {
        let mut j = i;
        while j + 1 < tasks.len() && tasks[j + 1].0 == tasks[j].0 + 1 {
            j += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&tasks[i].0.to_string());
        if j > i {
            text.push_str(&format!("-{}", tasks[j].0));
        }
        i = j + 1;
    }
    text
}

/// A word as a shell takes it literally.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The arrays of what is left of a sweep.
///
/// # Errors
/// [`SweepError`] when a state cannot be read.
pub fn arrays(folder: &Folder) -> Result<Vec<Array>, SweepError> {
    let open = |job: &Job| folder.state(&job.id).map(|state| !state.is_final());
    let mut first = Array { name: "first".to_owned(), tasks: Vec::new(), waits: false };
    let mut ranks: Vec<Array> = Vec::new();
    // Branches of trunks that are done wait for nothing.
    let mut free = Array { name: "free".to_owned(), tasks: Vec::new(), waits: false };
    for job in &folder.graph().jobs {
        if matches!(job.kind, Kind::Branch { .. }) {
            continue;
        }
        let task = first.tasks.len();
        let trunk_open = open(job)?;
        if trunk_open {
            first.tasks.push((task, job.id.clone()));
        }
        let mut rank = 0;
        for (branch, _) in folder.graph().branches(&job.id) {
            if !open(branch)? {
                continue;
            }
            if !trunk_open {
                free.tasks.push((free.tasks.len(), branch.id.clone()));
                continue;
            }
            if ranks.len() == rank {
                let name = format!("branch-{}", rank + 1);
                ranks.push(Array { name, tasks: Vec::new(), waits: true });
            }
            ranks[rank].tasks.push((task, branch.id.clone()));
            rank += 1;
        }
    }
    let all = [first, free].into_iter().chain(ranks);
    Ok(all.filter(|array| !array.tasks.is_empty()).collect())
}

impl SlurmExecutor {
    /// The batch script of an array.
    #[must_use]
    pub fn script(&self, folder: &Folder, array: &Array) -> String {
        let place = std::path::absolute(folder.path()).unwrap_or_else(|_| folder.path().to_path_buf());
        let tasks = place.join("slurm").join(format!("{}.jobs", array.name));
        let log = place.join("log").join(format!("slurm-{}-%A_%a", array.name));
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let trainer = folder.settings.trainer.as_ref().map(|trainer| &trainer.plan);
        let mut more = String::new();
        for (option, count) in [
            ("--nodes=", trainer.and_then(|trainer| trainer.nodes)),
            ("--gres=gpu:", trainer.and_then(|trainer| trainer.gpus)),
        ] {
            if let Some(count) = count {
                more.push_str(&format!("#SBATCH {option}{count}\n"));
            }
        }
        if trainer.is_some() {
            more.push_str(&format!("#SBATCH --signal=B:USR1@{NOTICE}\n"));
        }
        let worker = std::iter::once(quoted(&text(&self.program)))
            .chain(self.arguments.iter().map(|word| quoted(word)))
            .chain(["--detached".to_owned(), quoted(&text(&place)), "\"$job\"".to_owned()])
            .collect::<Vec<_>>()
            .join(" ");
        // A trainer of the user's own hears of the end of its time or of preemption, leaves a checkpoint and asks to be
        // started again.
        let body = if trainer.is_some() {
            let group = quoted(&text(&place.join("jobs")));
            format!(
                "tell() {{ kill -s USR1 -- \"-$(cat {group}/\"$job\".group)\" 2>/dev/null; }}\n\
                 trap tell USR1 TERM\n\
                 {worker} &\n\
                 worker=$!\n\
                 # A signal ends the waiting, not the worker.\n\
                 while :; do\n\
                 \x20   wait $worker\n\
                 \x20   code=$?\n\
                 \x20   kill -0 $worker 2>/dev/null || break\n\
                 done\n\
                 if [ $code -eq {AGAIN} ]; then\n\
                 \x20   scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\" && exit 0\n\
                 fi\n\
                 exit $code\n"
            )
        } else {
            format!(
                "# A worker that was killed alone (out of memory, say) goes on here; a lost node is Slurm's to requeue.\n\
                 for attempt in 1 2 3; do\n\
                 \x20   {worker}\n\
                 \x20   code=$?\n\
                 \x20   [ $code -lt 128 ] && exit $code\n\
                 done\n\
                 exit $code\n"
            )
        };
        format!(
            "#!/bin/sh\n\
             #SBATCH --job-name=lehr-{name}\n\
             #SBATCH --array={ranges}\n\
             #SBATCH --ntasks=1\n\
             #SBATCH --cpus-per-task={lanes}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --output={log}\n\
             {more}\
             # A line of the list: task number, blank, name of the job.\n\
             job=$(sed -n \"s/^$SLURM_ARRAY_TASK_ID //p\" {tasks})\n\
             export RAYON_NUM_THREADS={lanes}\n\
             {body}",
            name = array.name,
            ranges = ranges(&array.tasks),
            lanes = folder.settings.lanes,
            log = text(&log),
            tasks = quoted(&text(&tasks)),
        )
    }

    fn submit(&self, script: &std::path::Path, after: Option<&str>) -> Result<String, SweepError> {
        let mut command = Command::new("sbatch");
        command.arg("--parsable").args(&self.options);
        if let Some(after) = after {
            command.arg(format!("--dependency=aftercorr:{after}")).arg("--kill-on-invalid-dep=yes");
        }
        let output = command.arg(script).output().map_err(SweepError::Start)?;
        let said = String::from_utf8_lossy(&output.stdout);
        // `--parsable`: the number, and the cluster's name after a semicolon.
        let number = said.trim().split(';').next().unwrap_or_default().to_owned();
        if output.status.success() && !number.is_empty() {
            return Ok(number);
        }
        Err(SweepError::Folder {
            place: script.to_path_buf(),
            problem: format!("sbatch refused it: {}", String::from_utf8_lossy(&output.stderr).trim()),
            expected: "a job number; give options with --slurm-option".to_owned(),
        })
    }
}

impl Executor for SlurmExecutor {
    /// Writes the arrays and, unless told not to, submits them; it does not wait for them.
    fn run(&self, folder: &Folder, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), SweepError> {
        let _held = folder.lock()?;
        prepare(folder, observe)?;
        let place = folder.path().join("slurm");
        std::fs::create_dir_all(&place).map_err(at(&place, "make"))?;
        let mut first = None;
        for array in arrays(folder)? {
            let list: String = array.tasks.iter().map(|(task, job)| format!("{task} {job}\n")).collect();
            write_whole(&place.join(format!("{}.jobs", array.name)), list.as_bytes())?;
            let script = place.join(format!("{}.sh", array.name));
            write_whole(&script, self.script(folder, &array).as_bytes())?;
            let number = if self.submit {
                Some(self.submit(&script, first.as_deref().filter(|_| array.waits))?)
            } else {
                None
            };
            observe(Event::Submitted {
                script: &script,
                tasks: array.tasks.len(),
                number: number.as_deref(),
            });
            if array.name == "first" {
                first = number;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_numbers_are_written_as_ranges() {
        let tasks: Vec<(usize, String)> = [0, 1, 2, 5, 7, 8].map(|i| (i, String::new())).into();
        assert_eq!(ranges(&tasks), "0-2,5,7-8");
        assert_eq!(ranges(&tasks[3..4]), "5");
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("it's here"), "'it'\\''s here'");
    }
}

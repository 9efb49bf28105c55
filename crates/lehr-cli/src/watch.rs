//! Training as a person at the terminal sees it: pictures and tables that change, lines elsewhere; Ctrl-C asks to stop.

use crate::failure::Failure;
use crate::output::{Bar, Output};
use crate::program::Program;
use crate::verb::sweep::show::{Live, estimate_table};
use crate::verb::train::show::Show;
use lehr_app::sweep::WorkerProgram;
use lehr_app::{Event, Observer};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// This command, as the worker of a sweep.
pub fn worker() -> Result<WorkerProgram, Failure> {
    let Program { file, words } = Program::started();
    let program = match file {
        Some(file) => file,
        None => std::env::current_exe()
            .map_err(|error| Failure::new(format_args!("cannot tell which program this is: {error}")))?,
    };
    let arguments = words.into_iter().chain(["sweep", "worker"].map(str::to_owned)).collect();
    Ok(WorkerProgram { program, arguments })
}

/// What is shown now.
#[derive(Default)]
enum Shown {
    #[default]
    Nothing,
    Run(Box<Show>),
    Sweep(Live),
}

/// The interpreter of Python that started this command, if one did.
pub fn interpreter() -> Option<std::path::PathBuf> {
    Program::started().file
}

/// Shows what is trained, and is asked to stop by Ctrl-C.
pub struct Watch {
    output: Output,
    bar: Bar,
    shown: Mutex<Shown>,
    asked: OnceLock<&'static AtomicBool>,
    /// Set when a cluster tells this process to end.
    told: Option<Arc<AtomicBool>>,
}

impl Watch {
    /// Shows it beside the data.
    pub fn new(output: &Output) -> Self {
        Self {
            output: output.clone(),
            bar: Bar::default(),
            shown: Mutex::default(),
            asked: OnceLock::new(),
            told: None,
        }
    }

    /// The same, also asked to stop by the signals of a cluster.
    pub fn until_told(self) -> Result<Self, Failure> {
        let told = crate::interrupt::told_to_end()
            .map_err(|error| Failure::new(format_args!("no signal can be caught: {error}")))?;
        Ok(Self { told: Some(told), ..self })
    }

    /// From here on Ctrl-C asks to stop; a second one ends the process at once: the snapshot before is whole.
    fn catch_interrupts(&self) {
        self.asked.get_or_init(crate::interrupt::ask_first);
    }
}

impl Observer for Watch {
    fn hear(&self, event: Event<'_>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Said(line) => self.output.say(line),
            Event::TrainingBegun { outline, rates } => {
                self.catch_interrupts();
                *shown = Shown::Run(Box::new(Show::new(outline, rates)));
            }
            Event::Trained { record, rate } => {
                if let Shown::Run(show) = &mut *shown {
                    show.record(record, rate);
                }
            }
            Event::SweepBegun { estimate, caveats, .. } => {
                if !self.output.json {
                    self.output.say(estimate_table(estimate));
                    for caveat in caveats {
                        self.output.say(format_args!("caveat: {caveat}"));
                    }
                }
            }
            Event::Sweep { folder, event } => {
                self.catch_interrupts();
                if !matches!(*shown, Shown::Sweep(_)) {
                    *shown = Shown::Sweep(Live::new(folder));
                }
                if let Shown::Sweep(live) = &mut *shown {
                    live.tell(event);
                }
            }
            Event::TrainingEnded | Event::SweepEnded => match std::mem::take(&mut *shown) {
                Shown::Run(show) => show.finish(),
                Shown::Sweep(live) => live.finish(),
                Shown::Nothing => {}
            },
            other => self.bar.hear(other),
        }
    }

    fn cancelled(&self) -> bool {
        let told = self.told.as_ref().is_some_and(|told| told.load(Ordering::Relaxed));
        told || self.asked.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
    }
}

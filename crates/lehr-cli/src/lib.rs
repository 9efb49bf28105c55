//! The `lehr` command: files, terminal, exit codes. One file a verb, no formula.
//!
//! It is a library so that other programs can carry it: [`command`] is the whole of it, and the Python package calls that in
//! process.

mod clock;
pub mod documents;
mod export;
mod failure;
mod fit_args;
mod fit_or_logs;
mod interrupt;
mod load;
mod output;
mod program;
mod running;
mod target;
mod verb;
#[cfg(feature = "train")]
mod watch;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use output::{Accepted, Output};
pub use program::Program;
use std::ffi::OsString;
use std::io::Write;

/// What loss will a large run reach under this schedule, and which share of it should be spent annealing?
#[derive(Debug, Parser)]
#[command(name = "lehr", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    /// Print one JSON document instead of tables.
    #[arg(long, global = true)]
    json: bool,
    /// Say everything: all caveats, notes, coefficients and runs.
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Exit with 0 although the answer carries a blocking caveat of this kind (docs/caveats.md lists them); may be repeated.
    #[arg(long, global = true, value_name = "KIND", value_delimiter = ',', value_parser = caveat_kind)]
    accept: Vec<String>,
    /// Exit with 0 whatever blocking caveats the answer carries.
    #[arg(long, global = true)]
    accept_caveats: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Quickstart(verb::quickstart::Args),
    Inspect(verb::inspect::Args),
    Import(verb::import::Args),
    Fit(verb::fit::Args),
    Validate(verb::validate::Args),
    Compare(verb::compare::Args),
    Forecast(verb::forecast::Args),
    Recommend(verb::recommend::Args),
    Plan(Box<verb::plan::Args>),
    Transfer(verb::transfer::Args),
    Report(Box<verb::report::Args>),
    Watch(Box<verb::watch::Args>),
    #[cfg(feature = "serve")]
    Serve(Box<verb::serve::Args>),
    #[cfg(not(feature = "serve"))]
    #[command(hide = true, disable_help_flag = true)]
    Serve(NotBuiltIn),
    #[cfg(feature = "train")]
    Train(Box<verb::train::Args>),
    #[cfg(feature = "train")]
    Sweep(Box<verb::sweep::Args>),
    #[cfg(feature = "train")]
    Reproduce(verb::reproduce::Args),
    #[cfg(not(feature = "train"))]
    #[command(aliases = ["sweep", "reproduce"], hide = true, disable_help_flag = true)]
    Train(NotBuiltIn),
    /// Shows what a schedule does at every update, or recognises the one that a log followed.
    Schedule(verb::schedule::Args),
    /// Lists the laws, or shows one with its coefficients, bounds, source and limits.
    Laws(verb::laws::Args),
    /// Prints a completion script for a shell.
    #[command(
        after_help = "Example:\n  lehr completions bash > ~/.local/share/bash-completion/completions/lehr"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The words of a verb that this program was built without.
#[cfg(not(all(feature = "train", feature = "serve")))]
#[derive(Debug, clap::Args)]
struct NotBuiltIn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// A kind of caveat by its code.
fn caveat_kind(text: &str) -> Result<String, String> {
    let known = lehr::caveat::KINDS.iter().find(|entry| entry.code == text);
    match known {
        Some(entry) if entry.blocks == lehr::caveat::Blocks::Never => {
            Err(format!("caveats of the kind '{text}' never block; there is nothing to accept"))
        }
        Some(_) => Ok(text.to_owned()),
        None => {
            let codes: Vec<&str> = lehr::caveat::KINDS
                .iter()
                .filter(|entry| entry.blocks != lehr::caveat::Blocks::Never)
                .map(|entry| entry.code)
                .collect();
            Err(format!("no caveat that blocks has this name; there are: {}", codes.join(", ")))
        }
    }
}

/// Runs one command line of words, without the program's name, as `output` says.
pub(crate) fn run_words(words: &[String], output: &Output) -> Result<(), Failure> {
    let line = std::iter::once("lehr").chain(words.iter().map(String::as_str));
    let cli = Cli::try_parse_from(line).map_err(Failure::usage)?;
    run(cli.verb, output)
}

fn run(verb: Verb, output: &Output) -> Result<(), Failure> {
    match verb {
        Verb::Laws(args) => verb::laws::run(args, output),
        Verb::Quickstart(args) => verb::quickstart::run(&args, output),
        Verb::Import(args) => verb::import::run(args, output),
        Verb::Inspect(args) => verb::inspect::run(args, output),
        Verb::Fit(args) => verb::fit::run(args, output),
        Verb::Validate(args) => verb::validate::run(args, output),
        Verb::Compare(args) => verb::compare::run(args, output),
        Verb::Forecast(args) => verb::forecast::run(args, output),
        Verb::Recommend(args) => verb::recommend::run(args, output),
        Verb::Plan(args) => verb::plan::run(*args, output),
        Verb::Transfer(args) => verb::transfer::run(args, output),
        Verb::Report(args) => verb::report::run(*args, output),
        Verb::Watch(args) => verb::watch::run(*args, output),
        #[cfg(feature = "serve")]
        Verb::Serve(args) => verb::serve::run(*args, output),
        #[cfg(not(feature = "serve"))]
        Verb::Serve(NotBuiltIn { words: _ }) => {
            Err(Failure::usage("serve is not built into this lehr: the feature `serve` is off")
                .hint("cargo build --release --features serve"))
        }
        #[cfg(feature = "train")]
        Verb::Train(args) => verb::train::run(*args, output),
        #[cfg(feature = "train")]
        Verb::Sweep(args) => verb::sweep::run(*args, output),
        #[cfg(feature = "train")]
        Verb::Reproduce(args) => verb::reproduce::run(args, output),
        #[cfg(not(feature = "train"))]
        Verb::Train(NotBuiltIn { words: _ }) => Err(Failure::usage(
            "train, sweep and reproduce are not built into this lehr: the feature `train` is off",
        )
        .hint("cargo build --release --features train")),
        Verb::Schedule(args) => verb::schedule::run(args, output),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lehr", &mut script);
            output.data(&String::from_utf8_lossy(&script))
        }
    }
}

/// An answer about an unknown option, with the verbs that take it in place of the advice to pass it as a value: no verb takes
/// values that begin with dashes.
fn about_options(mut answer: clap::Error) -> clap::Error {
    let unknown = match (answer.kind(), answer.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) => option.clone(),
        _ => return answer,
    };
    let mut advice = match answer.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(advice)) => advice,
        _ => Vec::new(),
    };
    advice.retain(|text| !text.to_string().contains("as a value"));
    let name = unknown.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
    let takes = |verb: &&clap::Command| {
        verb.get_arguments().any(|option| {
            option.get_long() == Some(&name)
                || option.get_all_aliases().is_some_and(|aliases| aliases.contains(&name.as_str()))
        })
    };
    let program = Cli::command();
    let verbs: Vec<String> =
        program.get_subcommands().filter(takes).map(|verb| format!("`lehr {}`", verb.get_name())).collect();
    if !verbs.is_empty() {
        advice.push(format!("'--{name}' is an option of {}", verbs.join(", ")).into());
    }
    if !advice.is_empty() {
        answer.insert(ContextKind::Suggested, ContextValue::StyledStrs(advice));
    }
    answer
}

/// What clap answers itself: help and the version on stdout, errors on stderr (as a document with `--json`).
fn answered_by_clap(answer: &clap::Error, json: bool) -> u8 {
    if answer.use_stderr() {
        if json {
            let text = answer.render().to_string();
            // The document holds what is wrong; the usage below it is for people.
            let (message, _) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
            let message = message.trim().trim_start_matches("error: ");
            let failure = Failure::usage(message).hint("`lehr VERB --help` lists what can be given");
            return failure::report(&failure, true);
        }
        // Nothing can be said about a stderr that cannot be written.
        drop(answer.print());
        return 2;
    }
    match answer.print().and_then(|()| std::io::stdout().flush()) {
        Ok(()) => 0,
        Err(error) => failure::report(&Failure::from(error), json),
    }
}

/// Runs one command line and gives its exit code. `words` begins with the program's name; `program` and the words after it are
/// how a sweep starts this command again for its workers.
///
/// Ctrl-C is caught from here on for the rest of the process.
pub fn command(words: &[OsString], program: Program) -> u8 {
    Program::remember(program);
    Program::remember_words(words);
    interrupt::watch();
    // Also where the line cannot be read: whoever asks for documents gets one.
    let asked_for_json = words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json");
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(answer) => return answered_by_clap(&about_options(answer), asked_for_json),
    };
    let accepted = Accepted { all: cli.accept_caveats, codes: cli.accept };
    let output = Output::new(cli.json, cli.verbose, accepted);
    match run(cli.verb, &output) {
        Ok(()) => 0,
        Err(failure) => {
            output.notes(failure.notes());
            failure::report(&failure, output.json)
        }
    }
}

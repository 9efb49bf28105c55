//! `lehr train`: one small run, from its configuration to its curve in a run store.

mod outline;
mod show;

use crate::failure::Failure;
use crate::load::file_source;
use crate::output::{Output, check_target, data, say, write_file};
use crate::store::Replacement;
use lehr::{Caveat, Schedule};
use lehr_io::run_store::POINTS;
use lehr_train::config_file::{ModelChoice, at_line};
use lehr_train::expert_tokens::{self, ExpertTokens};
use lehr_train::session::{Advance, Existing, Plan, Session, branch_point};
use lehr_train::sweep::Record;
use lehr_train::{Corpus, CpuTrainer, RunConfig, TrainFile, Trainer};
use outline::Outline;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Trains a small language model and keeps its loss curve in a run store, which every verb reads.
///
/// The training loss of every update and the validation losses are kept at full precision. Without --data the model is
/// trained on a synthetic language whose entropy, the lowest loss there can be, is known. A run may be killed at any
/// moment: --resume goes on from its last snapshot, to the same losses, bit for bit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr train --wsd peak=3e-3,total=1000,warmup=50,ratio=0.2 -o store
  lehr train run.toml --seed 2 -o store                        keys: docs/formats/train.schema.json
  lehr train --preset moe-8x0.4m --data books/ --cosine peak=2e-3,total=5k,warmup=100,final=10% -o store
  lehr train run.toml --preset dense-6m --dry-run              parameters, arithmetic, memory, time
  lehr train run.toml -o store --resume                        goes on after an interruption
  lehr train run.toml -o store --from trunk-at-800.safetensors --trunk trunk --wsd peak=3e-3,total=1000,warmup=50,ratio=0.2

Then: lehr inspect store; lehr fit store -o fit.json")]
pub struct Args {
    /// The run's configuration (TOML); every key has a default.
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// The model: dense-0.03m … dense-1b, moe-8x0.03m … moe-8x200m (docs/reference/presets.md).
    #[arg(long, value_name = "NAME", help_heading = "Model and data")]
    preset: Option<String>,
    /// Tokens in a sequence.
    #[arg(long, value_name = "TOKENS", value_parser = crate::load::positive, help_heading = "Model and data")]
    context: Option<u64>,
    /// Text files, folders, JSON lines, Parquet, .bin or .npy tokens (repeat); none: the synthetic language.
    #[arg(long, value_name = "PATH", help_heading = "Model and data")]
    data: Vec<String>,
    /// Key or column that holds the text, of JSON lines and Parquet.
    #[arg(long, value_name = "NAME", help_heading = "Model and data")]
    column: Option<String>,
    /// A Hugging Face tokenizer.json; none: bytes.
    #[arg(long, value_name = "FILE", help_heading = "Model and data")]
    tokenizer: Option<String>,
    /// Folder where tokens made by the tokenizer are kept.
    #[arg(long, value_name = "DIR", help_heading = "Model and data")]
    cache: Option<String>,
    /// Sequences per update.
    #[arg(long, value_name = "SEQUENCES", value_parser = crate::load::positive, help_heading = "Training")]
    batch: Option<u64>,
    /// Warm-up, stable, annealing: peak, total, warmup, ratio (or anneal, in updates), shape, final.
    #[arg(long, value_name = "KEY=VALUE,…", group = "rates", help_heading = "Training")]
    wsd: Option<String>,
    /// Half a cosine: peak, total, warmup, final.
    #[arg(long, value_name = "KEY=VALUE,…", group = "rates", help_heading = "Training")]
    cosine: Option<String>,
    /// One rate: peak, total, warmup.
    #[arg(long, value_name = "KEY=VALUE,…", group = "rates", help_heading = "Training")]
    constant: Option<String>,
    /// Any schedule as text: 'wsd:peak=…', 'piecewise:100@0..1e-3~linear,900@1e-3', …
    #[arg(long, value_name = "KIND:…", group = "rates", help_heading = "Training")]
    schedule: Option<String>,
    /// Seed of the initial weights and of the data's order.
    #[arg(long, value_name = "NUMBER", help_heading = "Training")]
    seed: Option<u64>,
    /// Updates between two validations; 0: only after the last.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::count, help_heading = "Training")]
    validate_every: Option<u64>,
    /// Threads; default: all cores. Losses are the same, bit for bit, for one number of threads.
    #[arg(long, value_name = "N", value_parser = crate::load::positive, help_heading = "Training")]
    threads: Option<u64>,
    /// Directory of the run store; made if it is not there.
    #[arg(short, long, value_name = "STORE", required_unless_present = "dry_run", help_heading = "Result")]
    output: Option<PathBuf>,
    /// The run's name; default: made of model, schedule and seed.
    #[arg(long, value_name = "NAME", help_heading = "Result")]
    run: Option<String>,
    /// Of a mixture of experts: writes the tokens that each expert got between validations (CSV: run, step, layer, expert, tokens).
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    experts: Option<PathBuf>,
    /// Puts the run in the place of one of the same name in the store.
    #[arg(long, help_heading = "Result")]
    replace: bool,
    /// Goes on with a run that was interrupted; begins it if there is none.
    #[arg(long, conflicts_with = "restart", help_heading = "Interruptions and branches")]
    resume: bool,
    /// Throws away what there is of an interrupted run and begins again.
    #[arg(long, help_heading = "Interruptions and branches")]
    restart: bool,
    /// Keeps a snapshot after every so many updates, in --snapshots.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::positive, requires = "snapshots", help_heading = "Interruptions and branches")]
    snapshot_every: Option<u64>,
    /// Folder of the snapshots RUN-at-UPDATE.safetensors; one is written after the last update, too.
    #[arg(long, value_name = "DIR", help_heading = "Interruptions and branches")]
    snapshots: Option<PathBuf>,
    /// Begins from a snapshot of another run of the same model, data, batch and seed: the schedule is that of the whole run.
    #[arg(long, value_name = "SNAPSHOT", requires = "trunk", help_heading = "Interruptions and branches")]
    from: Option<PathBuf>,
    /// Name of the run that the snapshot is of.
    #[arg(long, value_name = "RUN", requires = "from", help_heading = "Interruptions and branches")]
    trunk: Option<String>,
    /// Seconds between two renewals of the snapshot that --resume goes on from.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, help_heading = "Interruptions and branches")]
    save_seconds: f64,
    /// Says what the run would cost, and stops.
    #[arg(long)]
    dry_run: bool,
}

/// What `--json` prints after training.
#[derive(Debug, Serialize)]
struct Document {
    store: String,
    outline: Outline,
    completed: u64,
    resumed_at: Option<u64>,
    diverged: Option<Divergence>,
    seconds: f64,
    tokens_per_second: Option<f64>,
    training_loss: Option<f64>,
    validation_loss: Option<f64>,
    /// Of a mixture of experts: tokens of every expert over the whole run, `[layer][expert]`.
    expert_tokens: Vec<Vec<u64>>,
    caveats: Vec<Caveat>,
}

/// Where a run diverged.
#[derive(Debug, Clone, Serialize)]
struct Divergence {
    update: u64,
    quantity: &'static str,
}

/// The configuration's file with the command line's values in it, and the schedule.
fn settings(args: &Args) -> Result<(TrainFile, Schedule, Option<(String, String)>), Failure> {
    let source = match &args.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
            Some((path.display().to_string(), text))
        }
        None => None,
    };
    let mut file = match &source {
        Some((name, text)) => TrainFile::parse(name, text)?,
        None => TrainFile::default(),
    };
    let small = |name: &str, value: u64| {
        u32::try_from(value)
            .map_err(|_| Failure::usage(format_args!("--{name} {value} is more than {}", u32::MAX)))
    };
    if let Some(preset) = &args.preset {
        match &mut file.model {
            ModelChoice::Preset(name) => name.clone_from(preset),
            ModelChoice::Keys(keys) => keys.preset = Some(preset.clone()),
        }
    }
    if let Some(context) = args.context {
        file.model.keys().context = Some(small("context", context)?);
    }
    if !args.data.is_empty() {
        file.data.paths.clone_from(&args.data);
    }
    for (to, from) in [
        (&mut file.data.column, &args.column),
        (&mut file.data.tokenizer, &args.tokenizer),
        (&mut file.data.cache, &args.cache),
    ] {
        if from.is_some() {
            to.clone_from(from);
        }
    }
    if let Some(batch) = args.batch {
        file.batch = small("batch", batch)?;
    }
    file.seed = args.seed.unwrap_or(file.seed);
    file.validate_every = args.validate_every.unwrap_or(file.validate_every);
    let families =
        [("wsd:", &args.wsd), ("cosine:", &args.cosine), ("constant:", &args.constant), ("", &args.schedule)];
    let given = families.iter().find_map(|(kind, text)| text.as_ref().map(|text| format!("{kind}{text}")));
    let text = given.or_else(|| file.schedule.clone()).ok_or_else(|| {
        Failure::usage("no schedule was given")
            .hint("for example --wsd peak=3e-3,total=1000,warmup=50,ratio=0.2, or the key schedule of the configuration")
    })?;
    let schedule: Schedule = text.parse().map_err(Failure::usage)?;
    Ok((file, schedule, source))
}

/// A name that tells runs of different settings apart.
fn default_name(file: &TrainFile, config: &RunConfig, schedule: &Schedule) -> String {
    let model = match &file.model {
        ModelChoice::Preset(name) => name.clone(),
        ModelChoice::Keys(keys) => match &keys.preset {
            Some(name) => name.clone(),
            None => format!("d{}-l{}", config.model.width, config.model.layers),
        },
    };
    let kind = schedule.to_string().split(':').next().unwrap_or("schedule").to_owned();
    let ratio = match schedule {
        Schedule::Wsd(wsd) if kind == "wsd" => format!("-r{}", (wsd.ratio() * 1e4).round() / 1e4),
        _ => String::new(),
    };
    let (peak, total) = (schedule.peak_lr(), schedule.total());
    format!("{model}-b{}-{kind}-p{peak}-T{total}{ratio}-s{}", config.batch, config.seed)
}

/// The updates that a trunk's snapshot has done, and a trainer that begins there.
fn trainer(
    args: &Args,
    config: &RunConfig,
    corpus: &Arc<Corpus>,
    lanes: usize,
) -> Result<Box<dyn Trainer>, Failure> {
    let mut trainer = CpuTrainer::new(config, corpus.clone(), lanes)?;
    if let Some(snapshot) = &args.from {
        trainer.load(snapshot)?;
    }
    Ok(Box::new(trainer))
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let (file, schedule, source) = settings(&args)?;
    let placed = |error| match &source {
        Some((name, text)) => at_line(name, text, error),
        None => error,
    };
    let wait = output.wait("opening the data");
    let opened = file.open();
    wait.finish_and_clear();
    let (config, corpus) = opened.map_err(|error| Failure::from(placed(error)))?;
    let corpus = Arc::new(corpus);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lanes = args.threads.map_or(cores, |threads| threads as usize).min(config.batch as usize);
    let name = args.run.clone().unwrap_or_else(|| default_name(&file, &config, &schedule));
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
        return Err(Failure::usage(format_args!("--run '{name}' is no name"))
            .hint("a name without / and without a dot at its beginning"));
    }
    let outline = Outline::new(&name, &config, &schedule, &corpus, lanes)?;
    if args.dry_run {
        let outline = outline.timed(&config)?;
        return outline.print(output, &corpus.caveats(schedule.total().0));
    }
    let Some(store) = args.output.clone() else { return Err(Failure::usage("--output STORE is missing")) };
    check_store(&store, &name, args.replace)?;
    check_target(args.experts.as_deref())?;
    let trainer = trainer(&args, &config, &corpus, lanes)?;
    let branch = args.trunk.as_ref().map(|trunk| branch_point(trunk, trainer.completed()));
    let plan = Plan { run: name, config, schedule, lanes, dataset: corpus.name().to_owned(), branch };
    train(&args, &store, plan, trainer, outline, &corpus, output)
}

/// Refuses a store that has a run of that name, before anything is trained.
fn check_store(store: &Path, run: &str, replace: bool) -> Result<(), Failure> {
    let held = Replacement::begin(store)?;
    let there = held.before().is_some_and(|manifest| manifest.runs.contains_key(run));
    if there && !replace {
        return Err(Failure::new(format_args!("{}: it has a run '{run}' already", store.display()))
            .hint("--run names another, --replace puts the new one in its place"));
    }
    Ok(())
}

fn train(
    args: &Args,
    store: &Path,
    plan: Plan,
    trainer: Box<dyn Trainer>,
    outline: Outline,
    corpus: &Corpus,
    output: &Output,
) -> Result<(), Failure> {
    let existing = match (args.resume, args.restart) {
        (true, _) => Existing::Resume,
        (_, true) => Existing::Restart,
        _ => Existing::Refuse,
    };
    let folder = store.join(".train").join(&plan.run);
    let first = plan.first();
    let mut session = Session::begin(&folder, plan, trainer, existing).map_err(|error| {
        let failure = Failure::from(error);
        if existing == Existing::Refuse && folder.join("run.json").exists() {
            failure.hint("--resume goes on with it, --restart begins again")
        } else {
            failure
        }
    })?;
    let pause = Duration::try_from_secs_f64(args.save_seconds)
        .map_err(|error| Failure::usage(format_args!("--save-seconds {}: {error}", args.save_seconds)))?;
    session = session.with_pause(pause);
    let begun = session.completed();
    let resumed_at = (begun > first).then_some(begun);
    if let Some(update) = resumed_at {
        say(format_args!("resumes after update {update}"));
    }
    let since = Instant::now();
    let mut show = show::Show::new(&session, &outline)?;
    let diverged = advance(args, &mut session, &mut show)?;
    show.finish();
    let seconds = since.elapsed().as_secs_f64();
    let completed = session.completed();
    let records = session.records()?;
    let experts = session.expert_tokens()?;
    if let Some(file) = &args.experts {
        write_experts(file, &[(outline.run.clone(), experts.clone())])?;
    }
    // If the store cannot be written, --resume finds everything trained.
    session.save()?;
    write(store, &mut session, args.replace)?;
    let mut caveats = corpus.caveats(outline.updates);
    if let Some(divergence) = &diverged {
        caveats.push(Caveat::blocking(
            "diverged",
            format!(
                "the run diverged at update {} of {}: its {} is not finite or more than thrice that of guessing; the {} points before are in the store",
                divergence.update,
                outline.updates,
                divergence.quantity,
                records.len()
            ),
        ));
    }
    session.remove()?;
    let document = Document {
        store: store.display().to_string(),
        completed,
        resumed_at,
        diverged,
        seconds,
        tokens_per_second: (completed > begun)
            .then(|| (completed - begun) as f64 * outline.tokens_per_update as f64 / seconds),
        training_loss: records.last().map(|record| record.loss),
        validation_loss: records.iter().rev().find_map(|record| record.validation),
        expert_tokens: totals(&experts),
        outline,
        caveats,
    };
    if output.json {
        output.document("lehr.train/1", &document)?;
    } else {
        data(&summary(&document, &records))?;
    }
    output.caveats(&document.caveats)
}

/// Tokens of every expert over the whole run, `[layer][expert]`.
fn totals(rows: &[ExpertTokens]) -> Vec<Vec<u64>> {
    let mut totals: Vec<Vec<u64>> = Vec::new();
    for row in rows {
        totals.resize(totals.len().max(row.layer + 1), Vec::new());
        let layer = &mut totals[row.layer];
        layer.resize(layer.len().max(row.expert + 1), 0);
        layer[row.expert] += row.tokens;
    }
    totals
}

/// Writes the tokens that each expert got as CSV.
pub fn write_experts(file: &Path, runs: &[(String, Vec<ExpertTokens>)]) -> Result<(), Failure> {
    write_file(file, expert_tokens::csv(runs).as_bytes())?;
    say(format_args!("wrote {}", file.display()));
    Ok(())
}

/// Trains to the end, or to where the run diverges.
fn advance(args: &Args, session: &mut Session, show: &mut show::Show) -> Result<Option<Divergence>, Failure> {
    if let Some(folder) = &args.snapshots {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format_args!("{}: {error}", folder.display())))?;
    }
    let total = session.plan().schedule.total().0;
    // A second Ctrl-C ends the process at once; the snapshot before is whole.
    let interrupted = crate::interrupt::ask_first();
    loop {
        if interrupted.load(Ordering::Relaxed) {
            session.save()?;
            show.finish();
            return Err(Failure::interrupted(format_args!(
                "interrupted; {} of {total} updates are kept",
                session.completed()
            ))
            .hint("the same command with --resume goes on from there"));
        }
        match session.advance()? {
            Advance::End => return Ok(None),
            Advance::Diverged { update, quantity } => return Ok(Some(Divergence { update, quantity })),
            Advance::Done(record) => {
                show.record(&record, session.rate(record.update));
                let due = args.snapshot_every.is_some_and(|every| record.update.is_multiple_of(every));
                if let Some(folder) = &args.snapshots
                    && (due || record.update == total)
                {
                    let name = format!("{}-at-{}.safetensors", session.plan().run, record.update);
                    session.save_to(&folder.join(name))?;
                }
            }
        }
    }
}

/// Adds the run's curves to the store.
fn write(store: &Path, session: &mut Session, replace: bool) -> Result<(), Failure> {
    let (validation, training) = session.curves()?;
    let run = &session.plan().run;
    let replacement = Replacement::begin(store)?;
    let before = replacement.before();
    if !replace && before.is_some_and(|manifest| manifest.runs.contains_key(run)) {
        return Err(Failure::new(format_args!("{}: it has a run '{run}' by now", store.display()))
            .hint("--resume --replace puts this one in its place; nothing is trained again"));
    }
    let mut writer = replacement.writer()?;
    match (&validation, &training) {
        (Some(validation), training) => writer.push_both(validation, training.as_ref(), "lehr train")?,
        (None, Some(training)) => writer.push(training, "lehr train")?,
        (None, None) => {
            return Err(Failure::new(format_args!(
                "run '{run}' diverged at its first update: there is no point to keep"
            ))
            .hint("a lower peak rate or a longer warm-up"));
        }
    }
    if let Some(manifest) = before {
        let old = file_source(&store.join(POINTS), 1, false)?;
        writer.copy(&old, manifest, &|id| id != run)?;
    }
    replacement.commit(writer)
}

/// What a person reads at the end.
fn summary(document: &Document, records: &[Record]) -> String {
    let outline = &document.outline;
    let mut text = format!("{}: {} of {} updates", outline.run, document.completed, outline.updates);
    if let Some(speed) = document.tokens_per_second {
        text += &format!(" in {}, {} tokens/s", show::duration(document.seconds), lehr_report::si(speed, 1));
    }
    if let Some(loss) = document.validation_loss {
        text += &format!("\nvalidation loss {loss:.4}");
    }
    // One batch is noisy: the mean over the last twentieth says more.
    let last = &records[records.len() - records.len().div_ceil(20).min(records.len())..];
    if !last.is_empty() {
        let mean = last.iter().map(|record| record.loss).sum::<f64>() / last.len() as f64;
        text += &format!("\ntraining loss {mean:.4}, mean over the last {} updates", last.len());
    }
    for (layer, tokens) in document.expert_tokens.iter().enumerate() {
        let even = tokens.iter().sum::<u64>() as f64 / tokens.len() as f64;
        let share = |n: Option<&u64>| n.map_or(f64::NAN, |&n| n as f64 / even);
        text += &format!(
            "\ntokens per expert, layer {layer}: {:.2} … {:.2} of an even share",
            share(tokens.iter().min()),
            share(tokens.iter().max())
        );
    }
    if let Some(language) = &outline.language {
        text += &format!(
            "\nthe language's entropy is {:.4} ± {:.4}; an ideal predictor's validation loss is {:.4}",
            language.entropy.nats_per_token, language.entropy.standard_error, language.ideal_validation_loss
        );
    }
    let store = &document.store;
    text + &format!("\nin {store}; next: lehr inspect {store}")
}

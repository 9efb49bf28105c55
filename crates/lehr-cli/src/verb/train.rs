//! `lehr train`: one small run, from its configuration to its curve in a run store.

mod outline;
pub mod show;

use crate::failure::Failure;
use crate::output::Output;
use crate::watch::Watch;
use lehr_app::train::{Begun, Branch, Changes, RunRequest, TrainAnswer, TrainRequest};
use std::path::PathBuf;
use std::sync::Arc;

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
    /// The model: dense-0.03m … dense-1b, moe-8x0.03m … moe-8x400m (docs/reference/presets.md).
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

impl Args {
    /// What is said instead of what the configuration says.
    fn changes(&self) -> Changes {
        let families = [
            ("wsd:", &self.wsd),
            ("cosine:", &self.cosine),
            ("constant:", &self.constant),
            ("", &self.schedule),
        ];
        let schedule =
            families.iter().find_map(|(kind, text)| text.as_ref().map(|text| format!("{kind}{text}")));
        Changes {
            preset: self.preset.clone(),
            context: self.context,
            data: self.data.clone(),
            column: self.column.clone(),
            tokenizer: self.tokenizer.clone(),
            cache: self.cache.clone(),
            batch: self.batch,
            schedule,
            seed: self.seed,
            validate_every: self.validate_every,
        }
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let run = RunRequest {
        config: args.config.clone(),
        changes: args.changes(),
        threads: args.threads.map(|threads| usize::try_from(threads).unwrap_or(usize::MAX)),
        name: args.run.clone(),
    };
    let desk = output.desk().observed(Arc::new(Watch::new(output)));
    if args.dry_run {
        let answer = desk.plan_training(&run)?;
        if output.json {
            output.answer(&answer.value)?;
        } else {
            output.data(&outline::text(&answer.value.outline))?;
        }
        return output.close(&answer);
    }
    let Some(store) = args.output else { return Err(Failure::usage("[[output]] STORE is missing")) };
    let request = TrainRequest {
        run,
        store,
        replace: args.replace,
        experts: args.experts,
        begun: match (args.resume, args.restart) {
            (true, _) => Begun::Resume,
            (_, true) => Begun::Restart,
            _ => Begun::Refuse,
        },
        snapshots: args.snapshots,
        snapshot_every: args.snapshot_every,
        branch: args.from.zip(args.trunk).map(|(snapshot, trunk)| Branch { snapshot, trunk }),
        save_seconds: args.save_seconds,
    };
    let answer = desk.train(&request)?;
    if let Some(file) = &request.experts {
        output.say(format_args!("wrote {}", file.display()));
    }
    output.notes(&answer.notes);
    if output.json {
        output.answer(&answer.value)?;
    } else {
        output.data(&summary(&answer.value))?;
    }
    output.close(&answer)
}

/// What a person reads at the end.
fn summary(answer: &TrainAnswer) -> String {
    let outline = &answer.outline;
    let mut text = format!("{}: {} of {} updates", outline.run, answer.completed, outline.updates);
    if let Some(speed) = answer.tokens_per_second {
        text += &format!(" in {}, {} tokens/s", show::duration(answer.seconds), lehr_report::si(speed, 1));
    }
    if let Some(loss) = answer.validation_loss {
        text += &format!("\nvalidation loss {loss:.4}");
    }
    if let Some((mean, updates)) = answer.last_training_loss() {
        text += &format!("\ntraining loss {mean:.4}, mean over the last {updates} updates");
    }
    for (layer, tokens) in answer.expert_tokens.iter().enumerate() {
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
    let store = &answer.store;
    text + &format!("\nin {store}; next: lehr inspect {store}")
}

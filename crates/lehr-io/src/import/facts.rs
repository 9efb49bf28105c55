//! What is to be known of each source of logs: the one place that the page `docs/formats/logs.md` is written from.

/// A source of logs: how it is told, and what its numbers stand for. Texts are Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// Trainer or tracker, and its file.
    pub source: &'static str,
    /// [`Importer::name`](super::Importer::name) of its readers; none for tables and JSON lines, whose columns are told by their names.
    pub readers: &'static [&'static str],
    /// What of the content it is recognised by.
    pub recognised_by: &'static str,
    /// The kept log, and what wrote it.
    pub fixture: &'static str,
    /// Where the update stands, and what its first is.
    pub update: &'static str,
    /// What a training loss stands for.
    pub training_loss: &'static str,
    /// What goes wrong with it, and what is done.
    pub traps: &'static str,
}

/// Every source, in the order of the page.
pub const SOURCES: [SourceFacts; 26] = [
    SourceFacts {
        source: "Weights & Biases, offline or online: `run-*.wandb`",
        readers: &["W&B run file"],
        recognised_by: "`:W&B`",
        fixture: "`wandb/`: wandb 0.31.0, offline",
        update: "`train/global_step` and the like, else `_step`",
        training_loss: "as the trainer logs it",
        traps: "`_step` counts calls of `log`, so a trainer's own step wins; name, N, batch, sequence length, seed, horizon from the run's configuration; job folders of one run id are one run, `latest-run` is a copy",
    },
    SourceFacts {
        source: "W&B chart export: `*.csv` of one directory",
        readers: &["W&B chart export"],
        recognised_by: "`… - metric`, `__MIN`, `__MAX` in the header",
        fixture: "`wandb-export/`: its format; `wandb-export-epoch/`, `wandb-export-tokens/`",
        update: "`Step`, else `RUN - _step` beside it; another axis alone is refused by its name",
        training_loss: "–",
        traps: "loss and rate come in two files; caveat `down-sampled` where a point stands for a range",
    },
    SourceFacts {
        source: "W&B history as Parquet",
        readers: &[],
        recognised_by: "column names",
        fixture: "`wandb-parquet/`: pyarrow 25, W&B's columns",
        update: "as above",
        training_loss: "–",
        traps: "`train.loss` is `train/loss`; sparse columns",
    },
    SourceFacts {
        source: "TensorBoard: event files",
        readers: &["TensorBoard events"],
        recognised_by: "TFRecord checksum",
        fixture: "`tensorboard/`, `tensorboard-scalars/`, `tensorboard-siblings/`: tensorboardX 2.6.5; `tensorboard-tensors/`: torch 2.15",
        update: "the event's step",
        training_loss: "–",
        traps: "all files of one directory are one run (restarts), and so are `train/` and `validation/` beside each other and the folders that `add_scalars` makes; scalars as values or tensors; Keras' `epoch_loss` counts epochs and is refused",
    },
    SourceFacts {
        source: "TensorBoard: CSV downloads, one a tag",
        readers: &["TensorBoard CSV download"],
        recognised_by: "`Wall time,Step,Value`",
        fixture: "`tensorboard-csv/`: its format",
        update: "`Step`",
        training_loss: "–",
        traps: "`run-RUN-tag-TAG.csv` of one run are joined, and so are those of its parts (`exp_train` and `exp_validation`, `exp_loss_val` of `add_scalars`); files of other names in one folder are one run, their names the tags",
    },
    SourceFacts {
        source: "MLflow database: `mlflow.db`",
        readers: &["tracker database"],
        recognised_by: "SQLite with `metrics(key, value, step, run_uuid, is_nan)`",
        fixture: "`mlflow-db/`: mlflow 3.17.2",
        update: "`step`",
        training_loss: "–",
        traps: "several runs in one file (`--run`); names of experiments where there are several; deleted runs left out, said; read without touching the file (below)",
    },
    SourceFacts {
        source: "MLflow file store: `mlruns/…/metrics/*`",
        readers: &["MLflow file store", "MLflow parameters"],
        recognised_by: "its lines and path",
        fixture: "`mlruns/`: mlflow-skinny 3.17.2",
        update: "the line's step",
        training_loss: "–",
        traps: "name, N, seed from the run's parameters",
    },
    SourceFacts {
        source: "Trackio: `<project>.db`",
        readers: &["tracker database"],
        recognised_by: "SQLite with `metrics(run_name, step, metrics)`",
        fixture: "`trackio/`: trackio 0.43.0",
        update: "`step`",
        training_loss: "–",
        traps: "last rows in the write-ahead log beside it: read too",
    },
    SourceFacts {
        source: "Hugging Face Trainer: `trainer_state.json`",
        readers: &["Hugging Face trainer state"],
        recognised_by: "`log_history`, `global_step`",
        fixture: "`hf/`: transformers 5.23.0",
        update: "`step`",
        training_loss: "mean since the last row",
        traps: "of several checkpoints the latest; update t uses the scheduler's rate for t − 1",
    },
    SourceFacts {
        source: "Hugging Face Trainer through a tracker",
        readers: &["TensorBoard events", "MLflow file store", "tracker database"],
        recognised_by: "`train/loss`, `train/learning_rate` beside `train/global_step` or `train/epoch`; `loss`, `learning_rate`, `epoch` beside `train_runtime` and the like",
        fixture: "–",
        update: "`train/global_step`, else the tracker's step",
        training_loss: "mean since the last row",
        traps: "as its own state",
    },
    SourceFacts {
        source: "LLaMA-Factory: `trainer_log.jsonl`",
        readers: &[],
        recognised_by: "`current_steps`",
        fixture: "–",
        update: "`current_steps`",
        training_loss: "mean since the last row",
        traps: "as the Hugging Face Trainer; a last row of nulls holds no loss",
    },
    SourceFacts {
        source: "printed dicts: `{'loss': …}` between progress bars",
        readers: &[],
        recognised_by: "the line itself",
        fixture: "`printed-dicts/`",
        update: "–",
        training_loss: "–",
        traps: "refused, also behind a logger's prefix: `trainer_state.json` holds the rows with their steps",
    },
    SourceFacts {
        source: "Lightning `CSVLogger`: `metrics.csv`",
        readers: &[],
        recognised_by: "column names",
        fixture: "`lightning/`: lightning 2.6.6",
        update: "`step`",
        training_loss: "update's own",
        traps: "rates in rows of their own",
    },
    SourceFacts {
        source: "Megatron-LM, GPT-NeoX: standard output",
        readers: &["Megatron-LM output"],
        recognised_by: "`iteration n/ m \\| … learning rate:`",
        fixture: "`megatron.log`: its format string",
        update: "iteration",
        training_loss: "mean since the last line",
        traps: "batch, sequence length, seed from the printed arguments; skipped and NaN iterations counted; caveat `batch-ramp`; the evaluation at the end (`on validation set`, `the end of training for val data`) counts on the validation set, not on the test set, and is of the last update; `validation results at` is GPT-NeoX's; files that go on in each other are one run (below)",
    },
    SourceFacts {
        source: "torchtitan: standard output",
        readers: &["torchtitan output"],
        recognised_by: "`step: … loss: … memory: … tps:`",
        fixture: "`torchtitan.log`: its format string",
        update: "step",
        training_loss: "global mean of the update",
        traps: "no rate: `--stated-schedule` or a manifest",
    },
    SourceFacts {
        source: "torchtitan, NeMo through TensorBoard",
        readers: &["TensorBoard events"],
        recognised_by: "names of tags",
        fixture: "`torchtitan-events/`, `nemo/`: tensorboardX 2.6.5",
        update: "the event's step",
        training_loss: "update's own",
        traps: "–",
    },
    SourceFacts {
        source: "nanotron: standard output",
        readers: &["nanotron output"],
        recognised_by: "`consumed_tokens: … lm_loss:`",
        fixture: "`nanotron.log`: its format string",
        update: "–",
        training_loss: "–",
        traps: "refused: losses have three digits there",
    },
    SourceFacts {
        source: "OLMo-core, Levanter, Composer and LLM-foundry, nanoGPT through W&B",
        readers: &[],
        recognised_by: "names of columns; OLMo's history as CSV as well",
        fixture: "`olmo-core/`, `levanter/`, `composer/`, `nanogpt/`: wandb 0.31.0 under the trainers' names",
        update: "`step`, `global_step`, `time/batch`, `iter`",
        training_loss: "update's own",
        traps: "tokens an update from the count of tokens",
    },
    SourceFacts {
        source: "nanochat through W&B",
        readers: &["W&B run file"],
        recognised_by: "`train/lrm`",
        fixture: "`nanochat/`: wandb 0.31.0 under its names",
        update: "`step` + 1",
        training_loss: "debiased moving average, decay 0.9: undone",
        traps: "counts from 0; rates are multiples of the peak: `--lr-scale`, else `matrix_lr` of the configuration with the caveat `lr-multiplier`; `val/bpb` is bits a byte and not taken for a loss",
    },
    SourceFacts {
        source: "fairseq, metaseq: JSON behind a prefix",
        readers: &["fairseq output"],
        recognised_by: "`num_updates` and `loss` in a JSON object after other text",
        fixture: "–",
        update: "`num_updates`",
        training_loss: "mean since the last line",
        traps: "numbers written as text; `update` counts epochs there; what is no JSON is another line",
    },
    SourceFacts {
        source: "JSON: an array of records",
        readers: &["JSON records"],
        recognised_by: "`[{`",
        fixture: "–",
        update: "names of columns",
        training_loss: "–",
        traps: "a column of runs or splits is refused: one record a line has it",
    },
    SourceFacts {
        source: "JSON lines or delimited tables, one metric a line",
        readers: &["JSON lines, one metric each", "table of one metric a line"],
        recognised_by: "`step`, `name` (`metric`, `key`, `tag`), `value`",
        fixture: "–",
        update: "`step`",
        training_loss: "–",
        traps: "columns of runs and splits tell the lines apart",
    },
    SourceFacts {
        source: "nanoGPT, build-nanogpt, llm.c (`main.log` and the terminal), modded-nanogpt: text",
        readers: &["nanoGPT output"],
        recognised_by: "`step:…/… val_loss:`, `s:… tel:`, `step …/… \\| loss`, `iter …: loss`, `… val …`",
        fixture: "–",
        update: "training losses of `s:`, `iter` and `train` lines are of update s + 1, evaluations are after s updates, lines with a slash count from 1",
        training_loss: "update's own",
        traps: "the rate where a line holds it, else `--stated-schedule` or a manifest",
    },
    SourceFacts {
        source: "MaxText: `metrics_file`",
        readers: &[],
        recognised_by: "names of columns",
        fixture: "`maxtext.jsonl`: its format",
        update: "`step`",
        training_loss: "update's own",
        traps: "–",
    },
    SourceFacts {
        source: "lingua: `metrics.jsonl`",
        readers: &[],
        recognised_by: "names of columns",
        fixture: "`lingua.jsonl`: its format",
        update: "`global_step`",
        training_loss: "update's own",
        traps: "–",
    },
    SourceFacts {
        source: "DeepSpeed CSV monitor: `Train_Samples_*.csv` of one directory",
        readers: &["DeepSpeed CSV monitor"],
        recognised_by: "name and header",
        fixture: "`deepspeed/`: its format",
        update: "samples / batch: `--samples-per-step`, else the greatest common divisor of the samples",
        training_loss: "update's own",
        traps: "caveat `guessed-batch` where the batch is not stated",
    },
];

/// The sources as a table in Markdown.
///
/// # Examples
/// ```
/// assert!(lehr_io::import::facts::table().starts_with("| source | recognised by |"));
/// ```
#[must_use]
pub fn table() -> String {
    let mut text = "| source | recognised by | fixture, written by | update | training loss is | traps, and what is done |\n|---|---|---|---|---|---|\n".to_owned();
    for facts in &SOURCES {
        let cells = [
            facts.source,
            facts.recognised_by,
            facts.fixture,
            facts.update,
            facts.training_loss,
            facts.traps,
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

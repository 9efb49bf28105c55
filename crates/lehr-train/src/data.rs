//! Tokens of a run: files that the user names, or the synthetic language.
//!
//! ```text
//! paths ──find──▶ text ───────────────── read in places ─┐
//!                 .gz, JSON lines, Parquet, ──tokenise──▶ cache (.npy) ─┤
//!                 .bin, .npy ───────────── read in places ─┴▶ one stream of tokens
//! stream ──▶ sequence i = tokens iT … (i + 1)T ──▶ training (permuted anew in every pass) | validation (spread evenly)
//! ```
//!
//! Sequence i predicts tokens iT + 1 … (i + 1)T: every token of the stream but the first is predicted once in a pass, and no
//! token that validation predicts is predicted in training.
//!
//! Documents follow each other in the stream, separated by the tokenizer's end-of-text token, or by a zero byte where tokens
//! are bytes. A sequence may hold the end of one and the beginning of the next.

mod cache;
mod documents;
mod input;
mod npy;
mod order;
mod token_file;
mod tokeniser;

pub use order::{Permutation, Split};

use crate::batches::Batches;
use crate::error::TrainError;
use crate::language::{self, Language};
use crate::run_config::{DataConfig, RunConfig};
use cache::Coding;
use input::{Input, Kind, broken};
use lehr::{Caveat, CaveatKind};
use std::path::PathBuf;
use token_file::TokenFile;
use tokeniser::Tokeniser;

/// One file of the stream.
#[derive(Debug)]
struct Shard {
    file: TokenFile,
    /// Position of its first token in the stream.
    start: u64,
    /// A token that follows the file's last.
    separator: Option<u32>,
}

impl Shard {
    fn len(&self) -> u64 {
        self.file.len() + u64::from(self.separator.is_some())
    }

    /// Writes the shard's tokens from `from` to `out`.
    fn read(&self, from: u64, out: &mut [u32], vocabulary: u32) -> Result<(), TrainError> {
        let inside = (self.file.len() - from.min(self.file.len())).min(out.len() as u64) as usize;
        let (tokens, rest) = out.split_at_mut(inside);
        if let (Some(separator), Some(token)) = (self.separator, rest.first_mut()) {
            *token = separator;
        }
        if tokens.is_empty() { Ok(()) } else { self.file.read(from, tokens, vocabulary) }
    }
}

/// Files as one stream of tokens, cut into sequences.
#[derive(Debug)]
struct Stream {
    shards: Vec<Shard>,
    len: u64,
    split: Split,
}

impl Stream {
    /// Writes T + 1 tokens of a sequence.
    fn sequence(&self, index: u64, out: &mut [u32], vocabulary: u32) -> Result<(), TrainError> {
        let mut at = index * (out.len() as u64 - 1);
        let mut rest = out;
        let mut shard = self.shards.partition_point(|shard| shard.start <= at) - 1;
        while !rest.is_empty() {
            let source = &self.shards[shard];
            let from = at - source.start;
            let count = (source.len() - from).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at_mut(count);
            source.read(from, now, vocabulary)?;
            at += count as u64;
            rest = later;
            shard += 1;
        }
        Ok(())
    }
}

/// The tokens of a run as batches.
///
/// # Examples
/// ```
/// use lehr_train::data::Corpus;
/// use lehr_train::{Batches, DataConfig};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("lehr-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("text.txt");
/// std::fs::write(&path, "All the world's a stage, and all the men and women merely players. ".repeat(100))?;
/// let data = DataConfig {
///     paths: vec![path.to_string_lossy().into_owned()],
///     validation_sequences: 8,
///     ..DataConfig::default()
/// };
/// let corpus = Corpus::open(&data, 32, 4, 1)?;
/// let mut batch = vec![0; 4 * 33];
/// corpus.training(1, &mut batch)?;
/// assert_eq!((corpus.vocabulary(), corpus.validation_len()), (256, 2));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Corpus {
    context: usize,
    rows: usize,
    seed: u64,
    vocabulary: u32,
    name: String,
    source: Source,
}

/// Where a corpus takes its tokens from.
#[derive(Debug)]
enum Source {
    Files(Stream),
    Language {
        language: Language,
        /// Validation sequences, in whole batches.
        validation: u64,
    },
}

impl Corpus {
    /// Opens the data for sequences of `context` predicted tokens and batches of `rows` of them.
    ///
    /// Text that a tokenizer has to read, and compressed or tabular text, is turned into tokens once, in parallel, and kept
    /// in the cache folder. Other files are read in places as they are.
    ///
    /// The number of validation sequences is `data.validation_sequences`, rounded up to whole batches; the sequences of
    /// fewer batches are the first ones of more.
    ///
    /// # Errors
    /// [`TrainError::File`] for a file that cannot be read or written, [`TrainError::Data`] for one that does not hold what
    /// its name says, or too little of it, [`TrainError::Config`] for a key outside its range.
    pub fn open(data: &DataConfig, context: usize, rows: usize, seed: u64) -> Result<Self, TrainError> {
        if context < 1 {
            return Err(TrainError::config("model.context", context, "at least 1 token"));
        }
        if rows < 1 {
            return Err(TrainError::config("batch", rows, "at least 1 sequence"));
        }
        let validation = u64::from(data.validation_sequences).div_ceil(rows as u64) * rows as u64;
        if data.paths.is_empty() {
            for (key, set) in [("column", data.column.is_some()), ("tokenizer", data.tokenizer.is_some())] {
                if set {
                    let found = "set, but data.paths is empty";
                    return Err(TrainError::config(
                        format!("data.{key}"),
                        found,
                        "files in data.paths, or no such key",
                    ));
                }
            }
            let language = Language::new(data.language_seed);
            return Ok(Self {
                context,
                rows,
                seed,
                vocabulary: language.vocabulary(),
                name: format!("synthetic-{}", data.language_seed),
                source: Source::Language { language, validation },
            });
        }
        let inputs = input::find(&data.paths)?;
        let (files, vocabulary) = open_files(data, &inputs)?;
        let mut shards = Vec::with_capacity(files.len());
        let mut len = 0;
        for (file, separator) in files {
            let shard = Shard { file, start: len, separator };
            len += shard.len();
            shards.push(shard);
        }
        let sequences = (len - 1) / context as u64;
        let Some(split) = Split::new(sequences, validation) else {
            return Err(broken(
                data.paths.join(", "),
                format!("{len} tokens, which are {sequences} sequences of {context}"),
                format!(
                    "at least {} sequences, 4 for each of the {validation} that validation holds out (data.validation_sequences \
                     in whole batches of {rows}); give more data, a shorter context or less validation",
                    4 * validation.max(1)
                ),
            ));
        };
        let source = Source::Files(Stream { shards, len, split });
        Ok(Self { context, rows, seed, vocabulary, name: name(&data.paths), source })
    }

    /// Opens the data of a run, and checks that its tokens fit the model's vocabulary.
    ///
    /// # Errors
    /// As [`Corpus::open`], and [`TrainError::Config`] where the model's vocabulary is too small for the data.
    pub fn for_run(config: &RunConfig) -> Result<Self, TrainError> {
        let mut data = config.data.clone();
        // Files of tokens do not say how many different ones there are: the model does.
        data.vocabulary = data.vocabulary.or(Some(config.model.vocabulary));
        let corpus = Self::open(&data, config.model.context as usize, config.batch as usize, config.seed)?;
        if corpus.vocabulary > config.model.vocabulary {
            return Err(TrainError::config(
                "model.vocabulary",
                config.model.vocabulary,
                format!("at least {}, the data's", corpus.vocabulary),
            ));
        }
        Ok(corpus)
    }

    /// A short name of the data, for the run's metadata.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The synthetic language, where that is what the corpus holds: its entropy is known.
    #[must_use]
    pub fn language(&self) -> Option<&Language> {
        match &self.source {
            Source::Files(_) => None,
            Source::Language { language, .. } => Some(language),
        }
    }

    /// Tokens of all files, validation included; `None` for the language, which does not end.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        match &self.source {
            Source::Files(stream) => Some(stream.len),
            Source::Language { .. } => None,
        }
    }

    /// Sequences that training draws from, each seen once in a pass; `None` for the language, which does not end.
    #[must_use]
    pub fn training_sequences(&self) -> Option<u64> {
        match &self.source {
            Source::Files(stream) => Some(stream.split.training_len()),
            Source::Language { .. } => None,
        }
    }

    /// How often a run of `updates` sees every training sequence; 0 for the language, which never repeats.
    #[must_use]
    pub fn passes(&self, updates: u64) -> f64 {
        self.training_sequences()
            .map_or(0.0, |sequences| updates as f64 * self.rows as f64 / sequences as f64)
    }

    /// What a reader of a run of `updates` must know about its data: whether they repeat.
    #[must_use]
    pub fn caveats(&self, updates: u64) -> Vec<Caveat> {
        let passes = self.passes(updates);
        let Some(sequences) = self.training_sequences().filter(|_| passes > 1.0) else { return Vec::new() };
        vec![CaveatKind::DataRepeat { run: None, updates, rows: self.rows as u64, passes, sequences }.into()]
    }

    /// Writes rows `first`, `first` + 1, … of the batch of `update` (1 …) to `tokens`, as many as fit: the share of one process of
    /// several.
    ///
    /// # Errors
    /// As [`Batches::training`].
    ///
    /// # Panics
    /// When `tokens` is no whole number of rows, or the batch has fewer.
    pub fn training_rows(&self, update: u64, first: usize, tokens: &mut [u32]) -> Result<(), TrainError> {
        let first = update.saturating_sub(1) * self.rows as u64 + self.check_rows(first, tokens);
        for (index, row) in (first..).zip(tokens.chunks_exact_mut(self.context + 1)) {
            match &self.source {
                Source::Files(stream) => {
                    let len = stream.split.training_len();
                    let order = Permutation::new(len, self.seed, index / len);
                    let sequence = stream.split.training(order.at(index % len));
                    stream.sequence(sequence, row, self.vocabulary)?;
                }
                Source::Language { language, .. } => {
                    language.sequence(language::Stream::Training { seed: self.seed }, index, row);
                }
            }
        }
        Ok(())
    }

    /// Writes rows `first`, `first` + 1, … of validation batch `index` (0 …) to `tokens`, as many as fit.
    ///
    /// # Errors
    /// As [`Batches::validation`].
    ///
    /// # Panics
    /// As [`Corpus::training_rows`], and when there is no such batch.
    pub fn validation_rows(&self, index: u64, first: usize, tokens: &mut [u32]) -> Result<(), TrainError> {
        assert!(index < self.validation_len(), "validation batch {index} of {}", self.validation_len());
        let first = index * self.rows as u64 + self.check_rows(first, tokens);
        for (index, row) in (first..).zip(tokens.chunks_exact_mut(self.context + 1)) {
            match &self.source {
                Source::Files(stream) => {
                    stream.sequence(stream.split.held_out()[index as usize], row, self.vocabulary)?;
                }
                Source::Language { language, .. } => {
                    language.sequence(language::Stream::Validation, index, row)
                }
            }
        }
        Ok(())
    }

    fn check_rows(&self, first: usize, tokens: &[u32]) -> u64 {
        let row = self.context + 1;
        let whole = tokens.len().is_multiple_of(row) && first + tokens.len() / row <= self.rows;
        assert!(whole, "{} tokens from row {first} of {} rows of {row}", tokens.len(), self.rows);
        first as u64
    }

    fn check_len(&self, tokens: &[u32]) {
        assert_eq!(tokens.len(), self.rows * (self.context + 1), "a batch is rows × (T + 1) tokens");
    }
}

impl Batches for Corpus {
    fn rows(&self) -> usize {
        self.rows
    }

    fn context(&self) -> usize {
        self.context
    }

    fn vocabulary(&self) -> u32 {
        self.vocabulary
    }

    fn training(&self, update: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        self.check_len(tokens);
        self.training_rows(update, 0, tokens)
    }

    fn validation_len(&self) -> u64 {
        let sequences = match &self.source {
            Source::Files(stream) => stream.split.held_out().len() as u64,
            Source::Language { validation, .. } => *validation,
        };
        sequences / self.rows as u64
    }

    fn validation(&self, index: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        self.check_len(tokens);
        self.validation_rows(index, 0, tokens)
    }
}

/// Opens or tokenises the files; each with the token that follows it. The second value is the vocabulary.
fn open_files(
    data: &DataConfig,
    inputs: &[Input],
) -> Result<(Vec<(TokenFile, Option<u32>)>, u32), TrainError> {
    let tokeniser = data.tokenizer.as_ref().map(|path| Tokeniser::open(path.as_ref())).transpose()?;
    let folder = data.cache.as_ref().map_or_else(cache::folder, PathBuf::from);
    if tokeniser.is_none()
        && let Some(tokens) = inputs.iter().find(|input| input.kind.is_tokens())
        && let Some(text) = inputs.iter().find(|input| !input.kind.is_tokens())
    {
        return Err(broken(
            text.path.display(),
            format!("{} beside the tokens of {}", text.kind.name(), tokens.path.display()),
            "either tokens or text; data.tokenizer turns the text into tokens of the same kind",
        ));
    }
    let coding = tokeniser.as_ref().map_or(Coding::Bytes, Coding::Tokens);
    let mut files = Vec::with_capacity(inputs.len());
    for input in inputs {
        files.push(match input.kind {
            Kind::Bin => (TokenFile::bin(&input.path, data.bits)?, None),
            Kind::Npy => (TokenFile::npy(&input.path)?, None),
            Kind::Text if tokeniser.is_none() && !input.gzip => (TokenFile::text(&input.path)?, Some(0)),
            _ => (cache::tokens(input, data.column.as_deref(), coding, &folder)?, None),
        });
    }
    let vocabulary = match (&tokeniser, data.vocabulary) {
        (Some(tokeniser), _) => tokeniser.vocabulary,
        (None, _) if !inputs.iter().any(|input| input.kind.is_tokens()) => 256,
        (None, Some(vocabulary)) => vocabulary,
        (None, None) => {
            let largest = files
                .iter()
                .try_fold(0, |largest: u32, (file, _)| file.largest().map(|token| token.max(largest)))?;
            largest + 1
        }
    };
    if vocabulary < 2 {
        return Err(broken(data.paths.join(", "), "a single token repeated", "text or tokens"));
    }
    Ok((files, vocabulary))
}

fn name(paths: &[String]) -> String {
    let names = paths.iter().map(|path| {
        std::path::Path::new(path)
            .file_name()
            .map_or_else(|| path.clone(), |name| name.to_string_lossy().into_owned())
    });
    names.collect::<Vec<_>>().join("+")
}

//! Which column plays which role: guessed from common names, then from the words of a name; overridable.

mod words;

pub(crate) use words::{
    could_tell_splits, has_word, is_smoothed, perplexity_of, smoothing_decay, validation_losses,
};

use crate::error::ReadError;
use crate::unit::LossUnit;
use lehr::Split;
use serde::{Deserialize, Serialize};

/// A role that a column can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Updates done.
    Step,
    /// The loss (of whichever split its name says).
    Loss,
    /// The validation loss, in a table that has both.
    ValidationLoss,
    /// The learning rate.
    Lr,
    /// The run's name.
    Run,
    /// `train` or `val`, row by row.
    Split,
    /// Tokens seen so far.
    Tokens,
    /// Samples (sequences) seen so far.
    Samples,
    /// When the row was written, in seconds of the clock.
    Time,
}

impl Role {
    const ALL: [Self; 9] = [
        Self::Step,
        Self::Loss,
        Self::ValidationLoss,
        Self::Lr,
        Self::Run,
        Self::Split,
        Self::Tokens,
        Self::Samples,
        Self::Time,
    ];

    /// The role's name in `--map` and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Loss => "loss",
            Self::ValidationLoss => "val_loss",
            Self::Lr => "lr",
            Self::Run => "run",
            Self::Split => "split",
            Self::Tokens => "tokens",
            Self::Samples => "samples",
            Self::Time => "time",
        }
    }

    /// Names under which loggers write it, best first; compared without regard to case. A name that ends with `*`
    /// stands for every name that begins so.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Step => &[
                "step",
                "train/global_step",
                "trainer/global_step",
                "global_step",
                "time/batch",
                "steps",
                // fairseq writes the epochs done as `update` beside it.
                "num_updates",
                "update",
                "updates",
                "optimizer_step",
                "iteration",
                "iterations",
                "iter",
                "iter_num",
                "train/step",
                "current_steps",
                "_step",
            ],
            Self::Loss => &[
                "loss",
                "train_loss",
                "train/loss",
                "training_loss",
                "train.loss",
                "lm loss",
                "lm_loss",
                "lm-loss-training/lm loss",
                "train/lm_loss",
                "loss_metrics/global_avg_loss",
                "train/ce loss",
                "train/crossentropyloss",
                "learning/loss",
                "reduced_train_loss",
                "loss/train/total",
                "loss/out",
                "train/samples/train_loss",
                "train_loss_step",
                "training/loss",
                "train_loss_epoch",
            ],
            Self::ValidationLoss => &[
                "val_loss",
                "valid_loss",
                "validation_loss",
                "eval_loss",
                "test_loss",
                "val/loss",
                "valid/loss",
                "validation/loss",
                "eval/loss",
                "val.loss",
                "lm loss validation",
                "lm_loss_validation",
                "validation_metrics/loss",
                "eval/paloma/macro_loss",
                "validation/evaluation_loss_vs_iterations",
                // The evaluation sets of OLMo: C4, of the newest version.
                "eval/c4_en-validation/crossentropyloss",
                "eval/v3-small-c4_en-validation/crossentropyloss",
                "eval/v2-small-c4_en-validation/crossentropyloss",
                "eval/lm/c4_en-validation/ce loss",
                "metrics/eval/languagecrossentropy",
            ],
            Self::Lr => &[
                "lr",
                "learning_rate",
                "learning-rate",
                "learning rate",
                "train/learning_rate",
                "train/lr",
                "optim/lr",
                "optim/lr (group 0)",
                "optim/learning_rate",
                "optim/learning_rate_group0",
                "learning/current_learning_rate",
                "train/samples/lr",
                "lr-*",
                "lr/*",
                "learning_rate/*",
                "train_lr",
                "train/lrm",
                "lrm",
            ],
            Self::Run => &["run_id", "run", "run_name", "run id", "experiment", "trial"],
            Self::Split => &["split", "phase", "subset"],
            Self::Tokens => &[
                "tokens",
                "consumed_tokens",
                "total_tokens",
                "tokens_seen",
                "n_tokens_seen",
                "train/num_input_tokens_seen",
                "num_input_tokens_seen",
                "throughput/total tokens",
                "throughput/total_tokens",
                "optim/total_tokens",
                "time/token",
            ],
            Self::Samples => &[
                "consumed_samples",
                "consumed samples",
                "samples",
                "consumed train samples",
                "samples vs steps",
                "train/consumed_samples",
            ],
            Self::Time => &["_timestamp", "wall_time", "walltime"],
        }
    }

    /// What an error calls it.
    fn wanted(self) -> &'static str {
        match self {
            Self::Lr => "learning rate",
            other => other.name(),
        }
    }
}

/// What `--map` says: column names by role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapOverrides {
    given: Vec<(Role, String)>,
    /// Rates are wanted alone: a table without a loss will do.
    pub(crate) rates_alone: bool,
}

impl MapOverrides {
    /// Adds one `ROLE=COLUMN`; aliases of the roles are the names under which they are guessed.
    ///
    /// # Errors
    /// [`ReadError::Map`] for an unknown role, an empty name, or a role given twice.
    ///
    /// # Examples
    /// ```
    /// let mut map = lehr_io::MapOverrides::default();
    /// map.add("loss=train/ce")?;
    /// assert!(map.add("colour=red").is_err());
    /// # Ok::<(), lehr_io::ReadError>(())
    /// ```
    pub fn add(&mut self, text: &str) -> Result<(), ReadError> {
        let error = |why: &str| ReadError::Map { text: text.to_owned(), why: why.to_owned() };
        let (role, column) = text.split_once('=').ok_or_else(|| error("it has no '='"))?;
        let (role, column) = (role.trim(), column.trim());
        let role = Role::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(role))
            .or_else(|| {
                Role::ALL.into_iter().find(|known| known.known().contains(&role.to_lowercase().as_str()))
            })
            .ok_or_else(|| error("no such role"))?;
        if column.is_empty() {
            return Err(error("no column is named"));
        }
        if self.get(role).is_some() {
            return Err(error("the role is mapped twice"));
        }
        self.given.push((role, column.to_owned()));
        Ok(())
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The column given for a role.
    #[must_use]
    pub fn get(&self, role: Role) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == role).map(|(_, column)| column.as_str())
    }
}

/// The columns of one table by role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Mapping {
    /// Column of the updates.
    pub step: String,
    /// Column of the loss, or of the training loss.
    pub loss: Option<String>,
    /// Column of the validation loss.
    pub val_loss: Option<String>,
    /// Column of the learning rate.
    pub lr: Option<String>,
    /// Column of the run's name.
    pub run: Option<String>,
    /// Column that says train or val.
    pub split: Option<String>,
    /// Column of tokens seen.
    pub tokens: Option<String>,
    /// Column of sequences seen.
    pub samples: Option<String>,
    /// Column of the clock, in seconds.
    #[serde(default)]
    pub time: Option<String>,
    /// Column of the perplexity beside the loss, which tells its unit.
    #[serde(default)]
    pub perplexity: Option<String>,
    /// Column of the perplexity beside the validation loss.
    #[serde(default)]
    pub val_perplexity: Option<String>,
}

impl Mapping {
    /// Guesses the roles of a table's columns; what `overrides` names is taken as it is.
    ///
    /// # Errors
    /// [`ReadError::UnknownColumn`] when an override names no column; [`ReadError::MissingColumn`] when there is no
    /// step, or no loss of any kind where one is wanted.
    pub fn guess(file: &str, columns: &[String], overrides: &MapOverrides) -> Result<Self, ReadError> {
        let find = |role: Role| -> Result<Option<String>, ReadError> {
            if let Some(name) = overrides.get(role) {
                return match columns.iter().find(|column| *column == name) {
                    Some(column) => Ok(Some(column.clone())),
                    None => Err(ReadError::UnknownColumn {
                        file: file.to_owned(),
                        role: role.wanted(),
                        name: name.to_owned(),
                        columns: columns.to_vec(),
                    }),
                };
            }
            Ok(guess(role, columns))
        };
        let missing = |role: Role| ReadError::MissingColumn {
            file: file.to_owned(),
            role: role.wanted(),
            columns: columns.to_vec(),
        };
        let mut loss = find(Role::Loss)?;
        let mut val_loss = find(Role::ValidationLoss)?;
        // The log-likelihood itself goes before a loss that label smoothing or another term was added to.
        for (role, found) in [(Role::Loss, &mut loss), (Role::ValidationLoss, &mut val_loss)] {
            if overrides.get(role).is_none()
                && let Some(name) = found.as_deref().and_then(|name| words::likelihood_of(name, columns))
            {
                *found = Some(name);
            }
        }
        // `--map loss=eval_loss` means that column, not a guess beside it.
        if overrides.get(Role::Loss).is_some() && overrides.get(Role::ValidationLoss).is_none() {
            val_loss = None;
        } else if overrides.get(Role::ValidationLoss).is_some() && overrides.get(Role::Loss).is_none() {
            loss = None;
        }
        // Bits a byte beside a loss a token are another number, not its validation.
        let per_byte = |name: &Option<String>| {
            name.as_deref().and_then(LossUnit::of_name) == Some(LossUnit::BitsPerByte)
        };
        if overrides.get(Role::ValidationLoss).is_none()
            && loss.is_some()
            && !per_byte(&loss)
            && per_byte(&val_loss)
        {
            val_loss = None;
        }
        if loss.is_none() && val_loss.is_none() && !overrides.rates_alone {
            return Err(missing(Role::Loss));
        }
        let (tokens, samples) = (find(Role::Tokens)?, find(Role::Samples)?);
        let perplexity = loss.as_deref().and_then(|name| perplexity_of(name, columns));
        let val_perplexity = val_loss.as_deref().and_then(|name| perplexity_of(name, columns));
        // A log may count samples or tokens alone; they are brought to updates where the batch is known.
        let step = find(Role::Step)?.or_else(|| tokens.clone()).or_else(|| samples.clone());
        Ok(Self {
            step: step.ok_or_else(|| missing(Role::Step))?,
            loss,
            val_loss,
            lr: find(Role::Lr)?,
            run: find(Role::Run)?,
            split: find(Role::Split)?,
            tokens,
            samples,
            time: find(Role::Time)?,
            perplexity,
            val_perplexity,
        })
    }

    /// The split that the name of the loss column speaks of.
    #[must_use]
    pub fn loss_split(&self) -> Split {
        let name = self.loss.as_deref().unwrap_or_default();
        if has_word(name, words::VALIDATION) {
            Split::Validation
        } else if has_word(name, &["train", "training"]) || self.val_loss.is_some() {
            Split::Train
        } else {
            Split::Unstated
        }
    }
}

impl std::fmt::Display for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step='{}'", self.step)?;
        for (role, column) in [
            (Role::Loss, &self.loss),
            (Role::ValidationLoss, &self.val_loss),
            (Role::Lr, &self.lr),
            (Role::Run, &self.run),
            (Role::Split, &self.split),
            (Role::Tokens, &self.tokens),
            (Role::Samples, &self.samples),
        ] {
            if let Some(column) = column {
                write!(f, " {}='{column}'", role.name())?;
            }
        }
        Ok(())
    }
}

/// Whether a column has a known name; signs between words are alike: `train.loss`, `train/loss`, `Train Loss`.
fn is_same(name: &str, known: &str) -> bool {
    let sign = |byte: u8| matches!(byte, b'.' | b'/' | b'_' | b'-' | b' ');
    name.len() == known.len()
        && name.bytes().zip(known.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(&b) || (sign(a) && sign(b)))
}

/// Whether a column of this name could play a role.
pub(crate) fn is_wanted(name: &str, overrides: &MapOverrides) -> bool {
    Role::ALL.into_iter().any(|role| {
        overrides.get(role).is_some_and(|given| given == name)
            || role.known().iter().any(|known| match known.strip_suffix('*') {
                Some(prefix) => {
                    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                }
                None => is_same(name, known),
            })
    }) || name.eq_ignore_ascii_case("global batch size")
        || words::could_play(name)
}

/// The column that best plays a role, by its name.
pub(crate) fn guess(role: Role, columns: &[String]) -> Option<String> {
    for known in role.known() {
        let found = columns.iter().find(|column| {
            let column = column.to_lowercase();
            match known.strip_suffix('*') {
                Some(prefix) => column.starts_with(prefix),
                None => is_same(&column, known),
            }
        });
        if found.is_some() {
            return found.cloned();
        }
    }
    words::guess(role, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_a_word_of_the_name_and_no_part_of_one() {
        let split = |name: &str| Mapping { loss: Some(name.to_owned()), ..Mapping::default() }.loss_split();
        for name in ["val_loss", "eval/loss", "Loss/val", "evalLoss", "test.loss", "valid loss", "loss_val2"]
        {
            assert_eq!(split(name), Split::Validation, "{name}");
        }
        for name in ["Value", "interval_loss", "latest_loss", "retrieval_loss", "loss", "constrained"] {
            assert_eq!(split(name), Split::Unstated, "{name}");
        }
        for name in ["train/loss", "training_loss", "trainLoss"] {
            assert_eq!(split(name), Split::Train, "{name}");
        }
    }
}

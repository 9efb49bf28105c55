//! Why there is no answer, and what to do about it.

use lehr::fit::FitError;
use lehr::forecast::ForecastError;
use lehr::recommend::RecommendError;
use lehr::validate::ValidateError;
pub use lehr_io::Fault;
use lehr_io::export::ExportError;
use lehr_io::{Note, ReadError};

/// Of which kind a failure is; the command turns it into its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// There is no answer (exit code 1).
    NoAnswer,
    /// The request does not fit together (exit code 2).
    Request,
    /// There is an answer, with a blocking caveat (exit code 3).
    Caveat,
    /// A condition holds that the caller wanted to be told of (exit code 4).
    Condition,
    /// The run of a job file diverged (exit code 10).
    Diverged,
    /// The job of a job file was interrupted and wants to be started again (exit code 75).
    Again,
    /// The observer asked to stop (exit code 130).
    Interrupted,
    /// The reader of the output went away: nothing more need be said (exit code 0).
    Quiet,
}

/// A question that has no answer: what is wrong, and the way out where there is one.
///
/// Messages and remedies name options as `[[name]]` (`[[warmup]]`, `[[tokens_per_step]]`): each face words them in its
/// own way ([`crate::failure::worded`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: FailureKind,
    message: String,
    remedy: Option<String>,
    notes: Vec<Note>,
    fault: Option<Box<Fault>>,
}

impl Failure {
    fn of(kind: FailureKind, message: impl std::fmt::Display) -> Self {
        Self { kind, message: message.to_string(), remedy: None, notes: Vec::new(), fault: None }
    }

    /// There is no answer.
    pub fn new(message: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::NoAnswer, message)
    }

    /// The request does not fit together.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::Request, message)
    }

    /// An answer was given, with blocking caveats of these kinds. The caveats themselves are said with the answer.
    #[must_use]
    pub fn caveats(codes: &[&str]) -> Self {
        let plural = if codes.len() == 1 { "" } else { "s" };
        let named: Vec<String> = codes.iter().map(|code| format!("'{code}'")).collect();
        Self::of(
            FailureKind::Caveat,
            format_args!("the answer carries the blocking caveat{plural} {}", named.join(", ")),
        )
        .hint(format_args!("[[accept]] {} uses the answer all the same", codes.join(",")))
    }

    /// A condition holds that the caller wanted to be told of.
    pub fn condition(message: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::Condition, message)
    }

    /// The run of a job file diverged.
    pub fn diverged(message: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::Diverged, message)
    }

    /// The job of a job file wants to be started again.
    pub fn again(message: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::Again, message)
    }

    /// The observer ended it.
    pub fn interrupted(message: impl std::fmt::Display) -> Self {
        Self::of(FailureKind::Interrupted, message)
    }

    /// The reader of the output went away.
    #[must_use]
    pub fn quiet() -> Self {
        Self::of(FailureKind::Quiet, "")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, remedy: impl std::fmt::Display) -> Self {
        self.remedy = Some(remedy.to_string());
        self
    }

    /// A failure that names a path.
    pub fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |error| Self::new(format_args!("{}: {error}", path.display())).within(path.to_string_lossy())
    }

    /// Adds the file that it is about.
    #[must_use]
    pub fn within(mut self, file: impl Into<String>) -> Self {
        self.fault.get_or_insert_default().file = Some(file.into());
        self
    }

    /// Adds what was found and what was expected.
    #[must_use]
    pub fn finding(mut self, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> Self {
        let fault = self.fault.get_or_insert_default();
        (fault.found, fault.expected) = (Some(found.to_string()), Some(expected.to_string()));
        self
    }

    /// Where in the input it is, where that is known.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_deref()
    }

    /// Adds what was done with the data before it failed, which often explains it.
    #[must_use]
    pub fn noting(mut self, notes: &[Note]) -> Self {
        self.notes.extend_from_slice(notes);
        self
    }

    /// What was done with the data before it failed.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

/// Text with its option names `[[name]]` worded by `face`.
///
/// # Examples
/// ```
/// use lehr_app::failure::{flag, worded};
/// assert_eq!(worded("state it with [[tokens_per_step]]", flag), "state it with --tokens-per-step");
/// ```
pub fn worded(text: &str, face: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[[") {
        match after.split_once("]]") {
            Some((name, behind))
                if name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') =>
            {
                out.push_str(before);
                out.push_str(&face(name));
                rest = behind;
            }
            _ => {
                out.push_str(before);
                out.push_str("[[");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// An option as the command line spells it: `--tokens-per-step`.
#[must_use]
pub fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// An option as a keyword argument: `tokens_per_step=`.
#[must_use]
pub fn keyword(name: &str) -> String {
    format!("{name}=")
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::quiet() } else { Self::new(error) }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let hint = error.hint();
        let fault = error.fault();
        let mut failure = Self::new(error);
        failure.fault = fault.file.is_some().then(|| Box::new(fault));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<FitError> for Failure {
    fn from(error: FitError) -> Self {
        let hint = match &error {
            FitError::TooFewObservations { .. } => Some("give more runs, or hold coefficients with [[fix]]"),
            FitError::Plan(_) => Some("`lehr laws NAME` lists the coefficients with their ranges"),
            FitError::NoSolution { .. } => {
                Some("widen bounds with [[bound]], raise [[starts]], or try another [[law]]")
            }
            FitError::DuplicateName(_) => {
                Some("give the runs different names, or leave one out with [[run]]")
            }
            FitError::NoPoints { .. } => Some(
                "leave the run out with [[run]], or begin earlier with [[skip_warmup]] or [[first_update]]",
            ),
            FitError::NoTokens { .. } => {
                Some("state it with [[tokens_per_step]] or in the manifest, or fit chinchilla-steps")
            }
            FitError::AllUnsound(_) => Some("look at the runs with `lehr inspect`"),
            FitError::NoCurves | FitError::Option(_) => None,
        };
        let failure = match error {
            FitError::Plan(_) | FitError::Option(_) => Self::usage(error),
            _ => Self::new(error),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<ForecastError> for Failure {
    fn from(error: ForecastError) -> Self {
        let hint = match &error {
            ForecastError::Outside { .. } => Some("[[at]] takes updates of the schedule"),
            ForecastError::NotFinite { .. } => {
                Some("another [[law]] may describe it; see `lehr laws` for what each cannot do")
            }
            ForecastError::NoInterval { .. } => {
                Some("fit more runs, or ask for a target nearer to those fitted")
            }
            _ => None,
        };
        let failure = match error {
            ForecastError::Outside { .. } | ForecastError::ZeroParams => Self::usage(error),
            _ => Self::new(error),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<ValidateError> for Failure {
    fn from(error: ValidateError) -> Self {
        match error {
            ValidateError::Fit { error, .. } => error.into(),
            ValidateError::NoMatch { .. } => Self::usage(error).hint(
                "patterns know * and ?; a name without its folder is enough: [[train]] 'cosine_*,constant_24000'",
            ),
            ValidateError::Empty { .. } => {
                Self::usage(error).hint("let [[train]] name some of the runs, not all")
            }
            ValidateError::NothingToLeaveOut { .. } => {
                Self::usage(error).hint("use [[leave_out]] run or [[train]]")
            }
        }
    }
}

impl From<RecommendError> for Failure {
    fn from(error: RecommendError) -> Self {
        match error {
            RecommendError::Forecast(error) => error.into(),
            RecommendError::Schedule(_)
            | RecommendError::EmptyRange { .. }
            | RecommendError::Spent { .. }
            | RecommendError::Ranges
            | RecommendError::NoBatch => Self::usage(error),
            RecommendError::BlindLaw(_) => {
                Self::new(error).hint("fit a law that sees the schedule: [[law]] noise-relaxation")
            }
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Target(_) => Self::usage(error),
            ExportError::Inexpressible { .. } => Self::new(error)
                .hint("[[export]] torch gives a LambdaLR that most trainers accept in place of their own"),
            ExportError::FromStep { .. } => Self::new(error),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_face_words_options_in_its_own_way() {
        let text = "begin earlier with [[skip_warmup]] or [[first_update]]; a[[1]] stays, [[ too";
        assert_eq!(
            worded(text, flag),
            "begin earlier with --skip-warmup or --first-update; a[[1]] stays, [[ too"
        );
        assert_eq!(worded("[[law]]'cmmt'", keyword), "law='cmmt'");
        assert_eq!(worded("[[k8s_image]], [[8]]", flag), "--k8s-image, [[8]]");
    }
}

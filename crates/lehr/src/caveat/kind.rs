//! Every kind of caveat: its values, its code, whether it blocks, how important it is, what it means and what to do.

/// Whether caveats of a kind block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// They never do.
    Never,
    /// They always do.
    Always,
    /// They do where the words say.
    When(&'static str),
}

/// What is the same for all caveats of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Stable identifier in kebab-case.
    pub code: &'static str,
    /// Importance: 0 is the most important.
    pub rank: u8,
    /// Whether it blocks.
    pub blocks: Blocks,
    /// What it means for the answer.
    pub meaning: &'static str,
    remedy: &'static str,
}

impl Entry {
    /// What to do, the cheapest way first; options are named `[[like_this]]`.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        (!self.remedy.is_empty()).then_some(self.remedy)
    }
}

macro_rules! kinds {
    ($(
        $variant:ident $({ $( $(#[$field_doc:meta])* $field:ident : $type:ty ),* $(,)? })?
        = $code:literal, $rank:literal, $blocks:expr, $meaning:literal, $remedy:literal;
    )*) => {
        /// What was found, with its values. A kind has a stable code; new kinds may be added.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "code", content = "values")]
        #[non_exhaustive]
        pub enum CaveatKind {
            $(
                #[doc = $meaning]
                #[serde(rename = $code)]
                $variant $({ $( $(#[$field_doc])* $field: $type ),* })?,
            )*
        }

        /// Every kind, in the order of the enumeration.
        pub const KINDS: &[Entry] = &[
            $( Entry { code: $code, rank: $rank, blocks: $blocks, meaning: $meaning, remedy: $remedy }, )*
        ];

        impl CaveatKind {
            /// Stable identifier in kebab-case, for machines.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $( Self::$variant { .. } => $code, )* }
            }
        }
    };
}

// After the macro, which it is written with.
mod catalogue;

pub use catalogue::{CaveatKind, KINDS};

impl CaveatKind {
    /// A recommendation that may be beaten by more than this blocks, nats: about what 10 % of annealing costs on public runs.
    pub const OPEN_COST: f64 = 0.02;
    /// Above this what another ratio might bring is not said as a number, nats: a bound so far from the data says only that
    /// nothing is known.
    pub const MOST_OPEN_COST: f64 = 0.05;
    /// A job off the law by more than so many half-widths of its interval blocks.
    pub const UNKNOWN_JOB: f64 = 2.0;
    /// A mean relative error beyond this blocks: a constant describes real final losses to 1.9 %.
    pub const POOR_FIT: f64 = 0.015;

    /// What all caveats of this kind share.
    #[must_use]
    pub fn entry(&self) -> &'static Entry {
        const UNKNOWN: &Entry =
            &Entry { code: "", rank: u8::MAX, blocks: Blocks::Never, meaning: "", remedy: "" };
        KINDS.iter().find(|entry| entry.code == self.code()).unwrap_or(UNKNOWN)
    }

    /// Whether the answer should not be used before a person has looked at this.
    #[must_use]
    pub fn blocking(&self) -> bool {
        use crate::forecast::limits;
        match (self, self.entry().blocks) {
            (_, Blocks::Always) => true,
            (Self::UnseenBatch { factor, smallest, largest, .. }, _) => {
                *largest <= smallest * limits::SAME && *factor > limits::BATCH_FROM_ONE
            }
            (Self::ExtrapolatesHorizon { factor, .. }, _) => *factor > limits::HORIZON,
            (Self::ExtrapolatesPeakRate { factor, .. }, _) => *factor > limits::PEAK_LR,
            (Self::ExtrapolatesSize { factor, .. }, _) => *factor > limits::SIZE,
            (Self::RatioOpen { cost, .. }, _) => *cost > Self::OPEN_COST,
            (Self::JobUnknown { times, .. }, _) => *times > Self::UNKNOWN_JOB,
            (Self::PoorFit { share, .. }, _) => *share > Self::POOR_FIT,
            _ => false,
        }
    }
}

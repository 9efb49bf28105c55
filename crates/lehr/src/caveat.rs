//! What a reader must know before using a number.

mod kind;
mod smoothed;
mod words;

pub use kind::{Blocks, CaveatKind, Entry, KINDS};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing a reader must know before using a number. A caveat is a value, never a log line.
///
/// Its kind holds what was found; sentence, severity, importance and remedy follow from that. As a document it is
/// `{"code", "values", "blocking", "message", "remedy"}`, of which `code` and `values` say everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Caveat {
    kind: CaveatKind,
}

impl From<CaveatKind> for Caveat {
    fn from(kind: CaveatKind) -> Self {
        Self { kind }
    }
}

impl Caveat {
    /// What was found.
    #[must_use]
    pub fn kind(&self) -> &CaveatKind {
        &self.kind
    }

    /// Stable identifier in kebab-case, for machines: `extrapolates-horizon`, `not-identifiable`, …
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether the answer should not be used before a person has looked at this (exit code 3 of the command).
    #[must_use]
    pub fn blocking(&self) -> bool {
        self.kind.blocking()
    }

    /// The sentence for a person, with the numbers in it.
    #[must_use]
    pub fn message(&self) -> String {
        self.kind.to_string()
    }

    /// What to do about it, the cheapest way first, where there is one. Options are named `[[like_this]]`; each face words
    /// them in its own way.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        self.kind.entry().remedy()
    }

    /// Place in a list of caveats: what blocks comes first, then what changes the answer most.
    #[must_use]
    pub fn place(&self) -> (bool, u8) {
        (!self.blocking(), self.kind.entry().rank)
    }
}

/// Puts the most important first; those of equal importance stay in their order.
pub fn sort(caveats: &mut [Caveat]) {
    caveats.sort_by_key(Caveat::place);
}

impl std::fmt::Display for Caveat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kind.fmt(f)
    }
}

/// A caveat as a document: what says everything, and what follows from it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    kind: &'a CaveatKind,
    blocking: bool,
    message: String,
    remedy: Option<&'static str>,
}

impl Serialize for Caveat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (blocking, message, remedy) = (self.blocking(), self.message(), self.remedy());
        Document { kind: &self.kind, blocking, message, remedy }.serialize(serializer)
    }
}

/// What a caveat as JSON looks like, for every kind: the values of each are in `docs/caveats.md`.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for Caveat {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Caveat".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What a reader must know before using a number; docs/caveats.md lists all kinds.",
            "type": "object",
            "properties": {
                "code": { "type": "string", "description": "Stable name of its kind, in kebab-case." },
                "values": {
                    "type": "object",
                    "description": "What the kind holds, as data: the numbers and names of the sentence.",
                    "additionalProperties": { "type": ["number", "string", "boolean", "array", "null"] }
                },
                "blocking": { "type": "boolean", "description": "Whether it leads to exit code 3." },
                "message": { "type": "string", "description": "The sentence, with the numbers in it." },
                "remedy": {
                    "type": ["string", "null"],
                    "description": "What to do, the cheapest way first; `null`: nothing can be done."
                }
            },
            "required": ["code", "blocking", "message", "remedy"]
        })
    }
}

impl<'de> Deserialize<'de> for Caveat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CaveatKind::deserialize(deserializer).map(Self::from)
    }
}

/// `docs/caveats.md`: a table of code, meaning and what to do, written from the kinds, `face` wording the options.
#[must_use]
pub fn page(face: impl Fn(&str) -> String) -> String {
    let mut entries: Vec<&Entry> = KINDS.iter().collect();
    entries.sort_by_key(|entry| (entry.rank, entry.code));
    let mut out = String::from(
        "# Caveats\n\n\
         What a reader must know before using a number. Each answer carries its caveats, in the text and in the JSON \
         document, the most important first; this page lists every code, the most important first. Those that *block* end \
         the command with exit code 3 unless they are accepted (`--accept CODE`, or `--accept-caveats` for all). A test \
         compares this page with the program.\n\n\
         | code | blocks | meaning | what to do |\n|---|---|---|---|\n",
    );
    for entry in entries {
        let blocks = match entry.blocks {
            Blocks::Never => "no",
            Blocks::Always => "yes",
            Blocks::When(words) => words,
        };
        let cell = |text: &str| face(text).replace('|', "\\|");
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            entry.code,
            cell(blocks),
            cell(entry.meaning.trim()),
            cell(entry.remedy().unwrap_or("–"))
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caveat_comes_back_from_its_document() {
        for kind in [
            CaveatKind::NoAnnealing,
            CaveatKind::ExtrapolatesHorizon { factor: 12.5, longest: 2000.0 },
            CaveatKind::MixedDatasets { found: vec!["a".to_owned(), "b".to_owned()] },
        ] {
            let caveat = Caveat::from(kind);
            let text = serde_json::to_string(&caveat).unwrap();
            assert_eq!(serde_json::from_str::<Caveat>(&text).unwrap(), caveat, "{text}");
        }
        let far = Caveat::from(CaveatKind::ExtrapolatesHorizon { factor: 12.5, longest: 2000.0 });
        let document = serde_json::to_value(&far).unwrap();
        assert_eq!(document["code"], "extrapolates-horizon");
        assert_eq!(document["blocking"], true);
        assert_eq!(document["values"]["factor"], 12.5);
    }

    #[test]
    fn a_distance_blocks_beyond_its_limit_only() {
        let at = |factor| Caveat::from(CaveatKind::ExtrapolatesHorizon { factor, longest: 2000.0 });
        assert!(!at(9.9).blocking());
        assert!(at(10.1).blocking());
    }

    #[test]
    fn what_blocks_stands_first_then_the_more_important() {
        let mut caveats: Vec<Caveat> = [
            CaveatKind::FewSizes { sizes: 2 },
            CaveatKind::OnePeakRate { peak_lr: 1e-3 },
            CaveatKind::ExtrapolatesHorizon { factor: 20.0, longest: 100.0 },
        ]
        .map(Caveat::from)
        .to_vec();
        sort(&mut caveats);
        let codes: Vec<&str> = caveats.iter().map(Caveat::code).collect();
        assert_eq!(codes, ["extrapolates-horizon", "one-peak-rate", "few-sizes"]);
    }

    #[test]
    fn codes_are_unique_and_every_kind_that_blocks_says_what_to_do() {
        let mut codes: Vec<&str> = KINDS.iter().map(|entry| entry.code).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        for entry in KINDS {
            assert!(!entry.meaning.trim().is_empty(), "{}", entry.code);
            assert!(
                entry.blocks == Blocks::Never || entry.remedy().is_some(),
                "{} blocks and has no remedy",
                entry.code
            );
            let sentence = entry.remedy().unwrap_or_default();
            assert!(!sentence.contains("--"), "{}: options are named [[like_this]]: {sentence}", entry.code);
        }
    }
}

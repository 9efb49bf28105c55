//! A `tokenizer.json` of the Hugging Face library.

use super::input::{broken, cannot};
use crate::error::TrainError;
use sha2::{Digest, Sha256};
use std::path::Path;
use tokenizers::Tokenizer;

/// Names of the token that ends a document, in the order they are looked for.
const END_OF_TEXT: [&str; 8] =
    ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<|end▁of▁sentence|>", "[EOS]", "[SEP]"];

/// Text → tokens.
pub(crate) struct Tokeniser {
    inner: Tokenizer,
    /// Number of tokens, the added ones included.
    pub vocabulary: u32,
    /// The token behind every document.
    pub end_of_text: Option<u32>,
    /// Hash of the file.
    pub hash: [u8; 32],
}

impl std::fmt::Debug for Tokeniser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokeniser").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

impl Tokeniser {
    /// Reads a `tokenizer.json`. Truncation and padding that it asks for are switched off.
    pub(crate) fn open(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(cannot("read", path))?;
        let wrong = |problem: String| {
            broken(
                path.display(),
                problem,
                "a tokenizer.json that the Hugging Face tokenizers library (0.23) reads",
            )
        };
        let mut inner =
            Tokenizer::from_bytes(&bytes).map_err(|error| wrong(format!("not a tokenizer: {error}")))?;
        inner.with_truncation(None).map_err(|error| wrong(error.to_string()))?;
        inner.with_padding(None);
        let largest = inner.get_vocab(true).into_values().max();
        let Some(largest) = largest else { return Err(wrong("the vocabulary is empty".into())) };
        let end_of_text = END_OF_TEXT.iter().find_map(|name| inner.token_to_id(name));
        Ok(Self { inner, vocabulary: largest + 1, end_of_text, hash: Sha256::digest(&bytes).into() })
    }

    /// The tokens of a text, without special ones around it.
    pub(crate) fn encode(&self, place: &str, bytes: &[u8]) -> Result<Vec<u32>, TrainError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            broken(
                format_args!("{place} + {}", error.valid_up_to()),
                "bytes that are not UTF-8",
                "UTF-8 text for a tokenizer; convert the file, or train on bytes",
            )
        })?;
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| broken(place, format!("the tokenizer fails: {error}"), "text that it covers"))?;
        Ok(encoding.get_ids().to_vec())
    }
}

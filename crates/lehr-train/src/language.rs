//! A synthetic language whose entropy is known.
//!
//! It has what makes small language models scale: words whose frequencies follow Zipf's law and that are spelled in several
//! tokens, thousands of associations between words to learn, agreement across nested clauses, and copies of what was said long
//! before. Sequence i of a stream is a pure function of (language, seed, i), so that training never repeats.
//!
//! ```text
//! text      := ⊢ topic sentence … (¶ topic sentence …) …
//! sentence  := " copy of one of the last 8 sentences  |  clause .
//! clause    := noun [relative] verb+agreement [noun [relative]] (, verb+agreement [noun [relative]]) …
//! relative  := (ᵢ clause )ᵢ                  one of four brackets, to depth 5
//! noun      := letters ␣  |  @ letters ␣     after @ one of the last 16 nouns, the latest most often
//! ```
//!
//! - 2048 nouns and 512 verbs; half of a word's probability falls as 1/rank in the common order, half in an order of the
//!   context's own. Contexts: the topic for the subject of a sentence, the *kind* (56, a property of the word) of the noun that
//!   a relative clause belongs to for the subject of the clause, the verb's *frame* (56) for its object, the subject's kind for the verb.
//! - The token that ends a verb agrees with the subject's gender (8, given by the kind), however much stands in between.
//!
//! # What the loss means
//! Every sequence begins afresh with ⊢, which is not predicted. The loss at position t (1 … T) of an ideal predictor is the
//! entropy of token t given the tokens before it *in the sequence*: everything that decides token t is determined by
//! them, so that the probability of each token is known exactly, and [`Language::oracle`] computes it. There is less to copy at the
//! beginning, so the ideal loss depends on T: [`Language::entropy`] gives its mean over 1 … T, with a standard error. That is the number that
//! a fitted irreducible loss L₀ is to be held against.

mod lexicon;
mod reader;

use crate::error::TrainError;
use lexicon::Lexicon;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use reader::{Reader, VOCABULARY};

const TOPICS: u32 = 16;
const KINDS: u16 = 56;
const FRAMES: u16 = 56;
const NOUNS: usize = 2048;
const VERBS: usize = 512;
const NOUN_MEMORY: usize = 16;
const SENTENCE_MEMORY: usize = 8;

/// Which of the language's endless texts is meant. Texts of different streams are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What a run of a seed is trained on.
    Training {
        /// The run's seed.
        seed: u64,
    },
    /// What every run is judged on.
    Validation,
    /// What the entropy is measured on.
    Measurement,
}

/// The entropy of a language, measured.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Entropy {
    /// Mean over positions 1 … T, nats per token: the lowest loss that any predictor can reach on average.
    pub nats_per_token: f64,
    /// Standard error of it, nats per token.
    pub standard_error: f64,
    /// Number of sequences it was measured on.
    pub sequences: u64,
}

/// A language: its words and what goes with what.
///
/// # Examples
/// ```
/// use lehr_train::language::{Language, Stream};
/// # fn main() -> Result<(), lehr_train::TrainError> {
/// let language = Language::new(0);
/// let mut text = vec![0; 129];
/// language.sequence(Stream::Training { seed: 1 }, 0, &mut text);
/// let ideal: f64 = language.oracle(&text)?.iter().sum::<f64>() / 128.0;
/// assert!(ideal > 0.5 && ideal < 2.5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Language {
    seed: u64,
    nouns: Lexicon,
    verbs: Lexicon,
    kinds: Vec<u8>,
    frames: Vec<u8>,
}

impl Language {
    /// Invents the language of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = random([seed, 0, 0, 0]);
        let noun_contexts = TOPICS as usize + usize::from(KINDS) + usize::from(FRAMES);
        let nouns = Lexicon::new(NOUNS, noun_contexts, &mut random);
        let verbs = Lexicon::new(VERBS, usize::from(KINDS), &mut random);
        let mut property = |words: usize, values: u16| -> Vec<u8> {
            (0..words).map(|_| (random.next_u32() % u32::from(values)) as u8).collect()
        };
        let (kinds, frames) = (property(NOUNS, KINDS), property(VERBS, FRAMES));
        Self { seed, nouns, verbs, kinds, frames }
    }

    /// Number of different tokens.
    #[must_use]
    pub fn vocabulary(&self) -> u32 {
        VOCABULARY
    }

    fn kind(&self, noun: u16) -> u8 {
        self.kinds[usize::from(noun)]
    }

    fn gender(&self, kind: u8) -> u32 {
        u32::from(kind) % reader::GENDERS
    }

    fn topic_context(&self, topic: u8) -> u16 {
        u16::from(topic)
    }

    fn nested_context(&self, kind: u8) -> u16 {
        TOPICS as u16 + u16::from(kind)
    }

    fn object_context(&self, verb: u16) -> u16 {
        TOPICS as u16 + KINDS + u16::from(self.frames[usize::from(verb)])
    }

    /// Writes sequence `index` of a stream to `tokens`: ⊢ and what follows it. A shorter one is the beginning of a longer one.
    pub fn sequence(&self, stream: Stream, index: u64, tokens: &mut [u32]) {
        let (domain, seed) = match stream {
            Stream::Training { seed } => (1, seed),
            Stream::Validation => (2, 0),
            Stream::Measurement => (3, 0),
        };
        let mut random = random([self.seed, domain, seed, index]);
        let mut reader = Reader::new(self, tokens.len());
        for token in tokens {
            let mut left = uniform(random.next_u64());
            reader.options(&mut |option, p| {
                // The last option that is possible, where rounding leaves a little over.
                if p > 0.0 {
                    *token = option;
                }
                left -= p;
                left < 0.0
            });
            let possible = reader.observe(*token);
            assert!(possible.is_some(), "the language generated a token that cannot come: {token}");
        }
    }

    /// −ln p of every token of a sequence but the first, given those before it: what an ideal predictor loses.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a sequence that is not of this language.
    pub fn oracle(&self, sequence: &[u32]) -> Result<Vec<f64>, TrainError> {
        let mut reader = Reader::new(self, sequence.len());
        let mut losses = Vec::with_capacity(sequence.len());
        for (t, token) in sequence.iter().enumerate() {
            let mut probability = 0.0;
            reader.options(&mut |option, p| {
                if option == *token {
                    probability = p;
                }
                option == *token
            });
            if probability <= 0.0 || reader.observe(*token).is_none() {
                return Err(TrainError::Data {
                    place: format!("token {t} of the sequence"),
                    problem: format!("{token}, which cannot come here"),
                    expected: format!("text of the synthetic language {}", self.seed),
                });
            }
            losses.push(-f64::ln(probability));
        }
        Ok(losses.split_off(1.min(losses.len())))
    }

    /// Mean ideal loss of a batch of rows of `context` + 1 tokens, nats per token: what [`Language::oracle`] loses on it.
    ///
    /// # Errors
    /// As [`Language::oracle`].
    pub fn oracle_loss(&self, batch: &[u32], context: usize) -> Result<f64, TrainError> {
        let rows = batch.chunks_exact(context + 1);
        let count = rows.len() * context;
        rows.map(|row| self.oracle(row).map(|losses| losses.iter().sum::<f64>()))
            .sum::<Result<f64, TrainError>>()
            .map(|sum| sum / count as f64)
    }

    /// The probability of every token after a beginning of a sequence; all 0 but ⊢'s for the empty one.
    ///
    /// # Errors
    /// As [`Language::oracle`].
    pub fn distribution(&self, beginning: &[u32]) -> Result<Vec<f64>, TrainError> {
        self.oracle(beginning)?;
        let mut reader = Reader::new(self, beginning.len());
        for token in beginning {
            // The oracle has accepted the sequence.
            let _ = reader.observe(*token);
        }
        let mut probabilities = vec![0.0; VOCABULARY as usize];
        reader.options(&mut |option, p| {
            probabilities[option as usize] += p;
            false
        });
        Ok(probabilities)
    }

    /// Measures the entropy per token of sequences of `context` predicted tokens on `sequences` of them.
    ///
    /// At every position of a sequence the entropy of the whole distribution is taken, not −ln p of the token that
    /// came, which has the same mean and a much larger variance.
    ///
    /// # Formula
    /// ```text
    /// H = E[ 1/T Σₜ h(xₜ | x₀ … xₜ₋₁) ]     h = −Σ p ln p over all tokens, nats
    /// ```
    #[must_use]
    pub fn entropy(&self, context: usize, sequences: u64) -> Entropy {
        let means: Vec<f64> = (0..sequences)
            .into_par_iter()
            .map(|index| self.entropies(context, index).iter().sum::<f64>() / context as f64)
            .collect();
        let n = sequences as f64;
        let mean = means.iter().sum::<f64>() / n;
        let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Entropy { nats_per_token: mean, standard_error: (variance / n).sqrt(), sequences }
    }

    /// The entropy at each position 1 … T of a sequence, given the tokens before.
    fn entropies(&self, context: usize, index: u64) -> Vec<f64> {
        let mut tokens = vec![0; context + 1];
        self.sequence(Stream::Measurement, index, &mut tokens);
        let mut reader = Reader::new(self, tokens.len());
        let mut entropies = Vec::with_capacity(tokens.len());
        for token in tokens {
            let mut entropy = 0.0;
            reader.options(&mut |_, p| {
                if p > 0.0 {
                    entropy -= p * p.ln();
                }
                false
            });
            entropies.push(entropy);
            let _ = reader.observe(token);
        }
        entropies.split_off(1)
    }
}

/// A generator of random numbers of its own for every four words.
fn random(words: [u64; 4]) -> ChaCha8Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}

/// 53 bits as a number from 0 to below 1.
fn uniform(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

//! The synthetic language: that its probabilities are right, that nothing beats them, and that there is something to learn.

use lehr_train::language::{Language, Stream};
use lehr_train::{Batches, Corpus, DataConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

static LANGUAGE: LazyLock<Language> = LazyLock::new(|| Language::new(0));

const CONTEXT: usize = 128;

fn texts(seed: u64, count: u64) -> Vec<Vec<u32>> {
    let mut text = vec![0; CONTEXT + 1];
    (0..count)
        .map(|index| {
            LANGUAGE.sequence(Stream::Training { seed }, index, &mut text);
            text.clone()
        })
        .collect()
}

#[test]
fn generation_is_a_function_of_language_stream_and_index() {
    let twice = [texts(3, 20), texts(3, 20)];
    assert_eq!(twice[0], twice[1]);
    let all: BTreeSet<Vec<u32>> = [texts(3, 20), texts(4, 20)].concat().into_iter().collect();
    assert_eq!(all.len(), 40, "sequences repeat");
    let mut validation = vec![0; CONTEXT + 1];
    LANGUAGE.sequence(Stream::Validation, 0, &mut validation);
    assert!(!all.contains(&validation));
    let mut short = vec![0; 31];
    LANGUAGE.sequence(Stream::Validation, 0, &mut short);
    assert_eq!(short, validation[..31]);
    let (mut a, mut b) = (vec![0; 65], vec![0; 65]);
    Language::new(7).sequence(Stream::Validation, 0, &mut a);
    Language::new(7).sequence(Stream::Validation, 0, &mut b);
    assert_eq!(a, b);
    assert_ne!(a[..], validation[..65]);
}

#[test]
fn probabilities_sum_to_one_after_every_beginning() {
    for text in texts(0, 12) {
        for t in 0..text.len() {
            let distribution = LANGUAGE.distribution(&text[..t]).unwrap();
            let sum: f64 = distribution.iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "position {t}: {sum}");
            assert!(distribution[text[t] as usize] > 0.0);
        }
    }
}

#[test]
fn every_construction_occurs_in_long_texts() {
    let mut text = vec![0; 20_000];
    LANGUAGE.sequence(Stream::Training { seed: 1 }, 0, &mut text);
    let seen: BTreeSet<u32> = text.iter().copied().collect();
    // Everything but, perhaps, a few rare letters.
    assert!((0..39).all(|token| seen.contains(&token)), "{seen:?}");
    assert!(seen.len() > 90 && LANGUAGE.vocabulary() == 96, "{}", seen.len());
    assert_eq!(text.iter().filter(|token| **token == 0).count(), 1);
}

#[test]
fn brackets_nest_and_never_close_what_is_not_open() {
    let mut text = vec![0; 50_000];
    LANGUAGE.sequence(Stream::Training { seed: 2 }, 5, &mut text);
    let (mut open, mut deepest) = (Vec::new(), 0);
    for token in text {
        match token {
            7..=10 => open.push(token),
            11..=14 => assert_eq!(open.pop(), Some(token - 4)),
            2 => assert!(open.is_empty()),
            _ => {}
        }
        deepest = deepest.max(open.len());
    }
    assert!((3..=5).contains(&deepest), "{deepest}");
}

#[test]
fn the_oracle_loses_the_entropy_on_average() {
    let entropy = LANGUAGE.entropy(CONTEXT, 2000);
    let losses: Vec<f64> =
        texts(9, 4000).iter().map(|text| LANGUAGE.oracle_loss(text, CONTEXT).unwrap()).collect();
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (losses.len() - 1) as f64;
    let error = (variance / losses.len() as f64 + entropy.standard_error.powi(2)).sqrt();
    println!("entropy {entropy:?}, oracle {mean} ± {}", (variance / losses.len() as f64).sqrt());
    // Five standard errors: one run in two million fails by chance, and this one is always the same.
    assert!((mean - entropy.nats_per_token).abs() < 5.0 * error, "{mean} against {entropy:?}");
    assert!(entropy.standard_error < 0.005 * entropy.nats_per_token);
}

#[test]
fn the_probabilities_are_those_of_what_comes() {
    // Calibration: of all tokens announced with a probability in a bin, that share must come.
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for text in texts(11, 60) {
        for t in 1..text.len() {
            let distribution = LANGUAGE.distribution(&text[..t]).unwrap();
            for (token, p) in distribution.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                let (announced, came, variance) = &mut bins[((p * 10.0) as usize).min(9)];
                *announced += p;
                *came += f64::from(u8::from(token as u32 == text[t]));
                *variance += p * (1.0 - p);
            }
        }
    }
    for (bin, (announced, came, variance)) in bins.into_iter().enumerate() {
        let tolerance = 5.0 * f64::sqrt(variance) + 1e-6;
        assert!((announced - came).abs() < tolerance, "bin {bin}: {announced} announced, {came} came");
    }
}

/// Cross-entropy of a back-off n-gram model on other texts: what it has counted, with the shorter context as the prior.
fn n_gram_loss(order: usize, train: &[Vec<u32>], test: &[Vec<u32>]) -> f64 {
    let mut counts: BTreeMap<Vec<u32>, (f64, BTreeMap<u32, f64>)> = BTreeMap::new();
    for text in train {
        for t in 1..text.len() {
            for n in 0..order.min(t + 1) {
                let (all, next) = counts.entry(text[t - n..t].to_vec()).or_default();
                *all += 1.0;
                *next.entry(text[t]).or_default() += 1.0;
            }
        }
    }
    let (mut loss, mut tokens) = (0.0, 0.0);
    for text in test {
        for t in 1..text.len() {
            let mut p = 1.0 / f64::from(LANGUAGE.vocabulary());
            for n in 0..order.min(t + 1) {
                if let Some((all, next)) = counts.get(&text[t - n..t]) {
                    p = (next.get(&text[t]).unwrap_or(&0.0) + 2.0 * p) / (all + 2.0);
                }
            }
            loss -= f64::ln(p);
            tokens += 1.0;
        }
    }
    loss / tokens
}

#[test]
fn no_n_gram_beats_the_oracle_and_longer_ones_come_closer() {
    let (train, test) = (texts(20, 4000), texts(21, 200));
    let oracle = LANGUAGE.oracle_loss(&test.concat(), CONTEXT).unwrap();
    let losses: Vec<f64> = (1..=4).map(|order| n_gram_loss(order, &train, &test)).collect();
    println!("oracle {oracle}, n-grams {losses:?}");
    // Four tokens are too many to count from half a million.
    assert!(losses[..3].is_sorted_by(|a, b| a > b), "{losses:?}");
    // What is left to learn: agreement, contexts, copies.
    assert!(losses.iter().all(|loss| *loss > oracle + 0.2), "{losses:?} against {oracle}");
}

#[test]
fn text_of_another_language_is_refused() {
    let mut text = vec![0; CONTEXT + 1];
    Language::new(1).sequence(Stream::Validation, 0, &mut text);
    let error = LANGUAGE.oracle(&text).unwrap_err().to_string();
    assert!(error.contains("which cannot come here; expected text of the synthetic language 0"), "{error}");
    assert!(LANGUAGE.oracle(&[1]).is_err());
    assert!(LANGUAGE.oracle(&[0, 96]).is_err());
}

#[test]
fn a_corpus_without_paths_is_the_language_and_never_repeats() {
    let data = DataConfig { validation_sequences: 5, ..DataConfig::default() };
    let corpus = Corpus::open(&data, CONTEXT, 4, 3).unwrap();
    assert_eq!((corpus.vocabulary(), corpus.validation_len()), (96, 2));
    assert!(corpus.caveats(1_000_000_000).is_empty());
    let mut seen = BTreeSet::new();
    let mut batch = vec![0; 4 * (CONTEXT + 1)];
    for update in 1..=50 {
        corpus.training(update, &mut batch).unwrap();
        assert!(batch.chunks(CONTEXT + 1).all(|row| seen.insert(row.to_vec())), "update {update}");
    }
    for index in 0..2 {
        corpus.validation(index, &mut batch).unwrap();
        assert!(batch.chunks(CONTEXT + 1).all(|row| seen.insert(row.to_vec())), "validation {index}");
    }
    // Fewer in a batch: the same sequences in the same order.
    let single = Corpus::open(&data, CONTEXT, 1, 3).unwrap();
    corpus.training(2, &mut batch).unwrap();
    let mut row = vec![0; CONTEXT + 1];
    single.training(6, &mut row).unwrap();
    assert_eq!(row, batch[CONTEXT + 1..2 * (CONTEXT + 1)]);
}

#[test]
fn generation_is_fast_enough_to_happen_during_training() {
    let start = std::time::Instant::now();
    let mut text = vec![0; 1025];
    for index in 0..1000 {
        LANGUAGE.sequence(Stream::Training { seed: 0 }, index, &mut text);
    }
    let rate = 1.025e6 / start.elapsed().as_secs_f64();
    println!("{:.1}M tokens/s", rate / 1e6);
    // A tenth of what an idle core does, for machines that are busy with other tests.
    assert!(rate > 1e6, "{rate}");
}

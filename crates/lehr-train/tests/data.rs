//! What a corpus accepts, refuses and yields.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lehr_train::{Batches, Corpus, DataConfig};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn config(folder: &TempDir, names: &[&str]) -> DataConfig {
    DataConfig {
        paths: names.iter().map(|name| folder.path().join(name).to_string_lossy().into_owned()).collect(),
        cache: Some(folder.path().join("cache").to_string_lossy().into_owned()),
        validation_sequences: 2,
        ..DataConfig::default()
    }
}

fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.path().join(name), bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn npy(kind: &str, len: usize, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({len},), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

/// All sequences of the corpus with one row a batch: training in the order of the first pass, then validation.
fn all(corpus: &Corpus) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    assert_eq!(corpus.rows(), 1);
    let mut row = vec![0; corpus.context() + 1];
    let training = (1..=corpus.training_sequences().unwrap())
        .map(|update| {
            corpus.training(update, &mut row).unwrap();
            row.clone()
        })
        .collect();
    let validation = (0..corpus.validation_len())
        .map(|index| {
            corpus.validation(index, &mut row).unwrap();
            row.clone()
        })
        .collect();
    (training, validation)
}

/// The stream of tokens, put together again from its sequences, whose first tokens must be unique.
fn stream(corpus: &Corpus, first: u32) -> Vec<u32> {
    let (training, validation) = all(corpus);
    let mut sequences: Vec<Vec<u32>> = training.into_iter().chain(validation).collect();
    let mut tokens = vec![first];
    while !sequences.is_empty() {
        let next = sequences.iter().position(|sequence| sequence[0] == tokens[tokens.len() - 1]).unwrap();
        tokens.extend(&sequences.swap_remove(next)[1..]);
    }
    tokens
}

const TOKENIZER: &str = r#"{"version":"1.0","truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},
"padding":null,"added_tokens":[{"id":4,"content":"<|endoftext|>","single_word":false,"lstrip":false,"rstrip":false,
"normalized":false,"special":true}],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
"model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1,"b":2,"c":3},"unk_token":"[UNK]"}}"#;

#[test]
fn bytes_of_several_files_form_one_stream_with_a_separator() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.txt", (1..=120).collect::<Vec<u8>>());
    write(&folder, "b.txt", (121..=241).collect::<Vec<u8>>());
    let corpus = Corpus::open(&config(&folder, &["a.txt", "b.txt"]), 1, 1, 5).unwrap();
    assert_eq!((corpus.vocabulary(), corpus.tokens().unwrap(), corpus.name()), (256, 243, "a.txt+b.txt"));
    // Every token of the stream but the first is predicted once; the last is the second file's separator.
    let (training, validation) = all(&corpus);
    let mut pairs: Vec<Vec<u32>> = training.into_iter().chain(validation).collect();
    pairs.sort();
    let mut wanted: Vec<Vec<u32>> =
        (1..=241).map(|token| vec![token, if token == 241 { 0 } else { token + 1 }]).collect();
    wanted[119] = vec![120, 0];
    wanted.insert(0, vec![0, 121]);
    assert_eq!(pairs, wanted);
}

#[test]
fn every_kind_of_token_file_gives_the_same_stream() {
    let folder = tempfile::tempdir().unwrap();
    let tokens: Vec<u32> = (0..101_u32).map(|i| (i * 37) % 251).collect();
    let bytes = |width: usize| {
        tokens.iter().flat_map(|token| u64::from(*token).to_le_bytes()[..width].to_vec()).collect::<Vec<u8>>()
    };
    write(&folder, "u16.bin", bytes(2));
    write(&folder, "u32.bin", bytes(4));
    let llm_c = |magic: u32, width: usize| {
        let mut file: Vec<u8> =
            [magic, 1, 101].into_iter().chain([0; 253]).flat_map(u32::to_le_bytes).collect();
        file.extend(bytes(width));
        file
    };
    write(&folder, "gpt2.bin", llm_c(20_240_520, 2));
    write(&folder, "llama3.bin", llm_c(20_240_801, 4));
    for (name, kind, width) in
        [("1", "|u1", 1), ("2", "<u2", 2), ("4", "<u4", 4), ("i4", "<i4", 4), ("i8", "<i8", 8)]
    {
        write(&folder, &format!("{name}.npy"), npy(kind, 101, &bytes(width)));
    }
    for name in
        ["u16.bin", "u32.bin", "gpt2.bin", "llama3.bin", "1.npy", "2.npy", "4.npy", "i4.npy", "i8.npy"]
    {
        let data = DataConfig { bits: (name == "u32.bin").then_some(32), ..config(&folder, &[name]) };
        let corpus = Corpus::open(&data, 10, 1, 0).unwrap();
        assert_eq!((corpus.vocabulary(), corpus.tokens().unwrap()), (250, 101), "{name}");
        assert_eq!(stream(&corpus, 0), tokens, "{name}");
    }
}

#[test]
fn a_tokenizer_reads_every_kind_of_text_alike_and_keeps_the_tokens() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "tokenizer.json", TOKENIZER);
    let documents: Vec<String> = (0..40).map(|i| ["a b c", "b b", "c a x"][i % 3].to_owned()).collect();
    let lines: String =
        documents.iter().map(|text| format!("{{\"id\": 1, \"body\": \"{text}\"}}\n\n")).collect();
    write(&folder, "t.jsonl", &lines);
    write(&folder, "t.jsonl.gz", gzip(lines.as_bytes()));
    let texts: ArrayRef = Arc::new(StringArray::from(documents.clone()));
    parquet(
        &folder.path().join("t.parquet"),
        vec![("id", Arc::new(Int64Array::from(vec![1; 40]))), ("body", texts)],
    );
    let wanted: Vec<u32> =
        (0..40).flat_map(|i| [vec![1, 2, 3, 4], vec![2, 2, 4], vec![3, 1, 0, 4]][i % 3].clone()).collect();
    for name in ["t.jsonl", "t.jsonl.gz", "t.parquet"] {
        let data = DataConfig {
            tokenizer: Some(folder.path().join("tokenizer.json").to_string_lossy().into_owned()),
            column: Some("body".into()),
            validation_sequences: 0,
            ..config(&folder, &[name])
        };
        let corpus = Corpus::open(&data, wanted.len() - 1, 1, 0).unwrap();
        assert_eq!((corpus.vocabulary(), all(&corpus).0), (5, vec![wanted.clone()]), "{name}");
        // The second time the tokens come from the cache: even where that has been filled with something else.
        let cached = std::fs::read_dir(folder.path().join("cache"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>();
        assert_eq!(cached.len(), 1, "{cached:?}");
        let changed: Vec<u8> =
            wanted.iter().flat_map(|token| ((*token as u16 + 1) % 5).to_le_bytes()).collect();
        write(
            &folder,
            &format!("cache/{}", cached[0].file_name().unwrap().to_string_lossy()),
            npy("<u2", wanted.len(), &changed),
        );
        let again =
            all(&Corpus::open(&DataConfig { vocabulary: None, ..data }, wanted.len() - 1, 1, 0).unwrap()).0;
        assert_eq!(again[0], wanted.iter().map(|token| (token + 1) % 5).collect::<Vec<_>>());
        std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
    }
}

#[test]
fn a_text_is_tokenised_alike_whether_compressed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a b c\n".repeat(400_000);
    write(&folder, "tokenizer.json", TOKENIZER);
    write(&folder, "t.txt", &text);
    write(&folder, "t.txt.gz", gzip(text.as_bytes()));
    let open = |name: &str| {
        let tokenizer = Some(folder.path().join("tokenizer.json").to_string_lossy().into_owned());
        Corpus::open(&DataConfig { tokenizer, ..config(&folder, &[name]) }, 100, 1, 0).unwrap()
    };
    let (plain, compressed) = (open("t.txt"), open("t.txt.gz"));
    assert_eq!(plain.tokens().unwrap(), 1_200_001);
    assert_eq!(plain.tokens(), compressed.tokens());
    let (mut a, mut b) = (vec![0; 101], vec![0; 101]);
    for update in [1, 7, 5000] {
        plain.training(update, &mut a).unwrap();
        compressed.training(update, &mut b).unwrap();
        assert_eq!(a, b);
    }
}

#[test]
fn compressed_bytes_are_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let text = "To be, or not to be, that is the question.\n".repeat(50_000);
    write(&folder, "t.txt", &text);
    write(&folder, "t.txt.gz", gzip(text.as_bytes()));
    let (plain, compressed) = (
        Corpus::open(&config(&folder, &["t.txt"]), 64, 4, 3).unwrap(),
        Corpus::open(&config(&folder, &["t.txt.gz"]), 64, 4, 3).unwrap(),
    );
    assert_eq!(plain.tokens(), compressed.tokens());
    let (mut a, mut b) = (vec![0; 260], vec![0; 260]);
    plain.training(17, &mut a).unwrap();
    compressed.training(17, &mut b).unwrap();
    assert_eq!(a, b);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn batches_are_a_function_of_seed_and_update_and_validation_is_never_trained_on(
        len in 600_usize..3000, context in 3_usize..20, rows in 1_usize..5, seed: u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        // Distinct tokens, so that a sequence is told by its first one.
        let bytes: Vec<u8> = (0..len as u32).flat_map(u32::to_le_bytes).collect();
        write(&folder, "t.npy", npy("<u4", len, &bytes));
        let data = DataConfig { validation_sequences: 6, ..config(&folder, &["t.npy"]) };
        let corpus = Corpus::open(&data, context, rows, seed).unwrap();
        let mut batch = vec![0; rows * (context + 1)];
        let updates = 2 * corpus.training_sequences().unwrap() / rows as u64;
        let mut uninterrupted = Vec::new();
        for update in 1..=updates {
            corpus.training(update, &mut batch).unwrap();
            uninterrupted.push(batch.clone());
        }
        // A run resumed in the middle, with a corpus of its own, sees the same.
        let resumed = Corpus::open(&data, context, rows, seed).unwrap();
        for update in updates / 2..=updates {
            resumed.training(update.max(1), &mut batch).unwrap();
            prop_assert_eq!(&batch, &uninterrupted[update.max(1) as usize - 1]);
        }
        // Every sequence of the first pass is another one.
        let starts: Vec<u32> = uninterrupted.iter().flat_map(|batch| batch.chunks(context + 1).map(|row| row[0])).collect();
        let pass = &starts[..corpus.training_sequences().unwrap() as usize];
        prop_assert_eq!(pass.iter().collect::<BTreeSet<_>>().len(), pass.len());
        // What validation predicts is predicted nowhere in training, and is the same for every seed.
        let trained: BTreeSet<u32> = uninterrupted.iter().flat_map(|batch| batch.chunks(context + 1).flat_map(|row| row[1..].to_vec())).collect();
        let other = Corpus::open(&data, context, rows, seed ^ 1).unwrap();
        let mut again = batch.clone();
        for index in 0..corpus.validation_len() {
            corpus.validation(index, &mut batch).unwrap();
            prop_assert!(batch.chunks(context + 1).all(|row| row[1..].iter().all(|token| !trained.contains(token))));
            other.validation(index, &mut again).unwrap();
            prop_assert_eq!(&batch, &again);
        }
    }
}

#[test]
fn repeated_data_are_a_caveat_that_says_how_often() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "t.txt", "x".repeat(10_001));
    let corpus =
        Corpus::open(&DataConfig { validation_sequences: 4, ..config(&folder, &["t.txt"]) }, 10, 4, 0)
            .unwrap();
    assert_eq!(corpus.training_sequences().unwrap(), 996);
    assert!(corpus.caveats(249).is_empty());
    let caveats = corpus.caveats(498);
    assert_eq!((caveats.len(), caveats[0].code(), caveats[0].blocking()), (1, "data-repeat", false));
    assert!(
        caveats[0].message().contains("2.00 passes over the 996 training sequences"),
        "{}",
        caveats[0].message()
    );
}

#[test]
fn broken_input_says_where_what_and_what_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let good = "{\"text\": \"some words\"}\n";
    write(&folder, "tokenizer.json", TOKENIZER);
    write(&folder, "empty.txt", "");
    write(&folder, "zero.txt", b"text\0text");
    write(&folder, "zero.txt.gz", gzip(b"text\0text"));
    write(&folder, "short.txt", "too short");
    let whole = gzip("words ".repeat(1000).as_bytes());
    write(&folder, "cut.txt.gz", &whole[..whole.len() - 9]);
    write(&folder, "not.txt.gz", "no gzip at all");
    write(&folder, "latin.txt", b"caf\xe9 ".repeat(100));
    write(&folder, "cut.jsonl", format!("{good}{good}{{\"text\": \"cut"));
    write(&folder, "key.jsonl", format!("{good}{{\"body\": \"x\", \"id\": 3}}\n"));
    write(&folder, "type.jsonl", format!("{good}{{\"text\": [1, 2]}}\n"));
    write(&folder, "array.jsonl", "[1]\n");
    write(&folder, "blank.jsonl", "\n \n");
    write(&folder, "odd.bin", [0; 1001]);
    let head: Vec<u8> =
        [20_240_520_u32, 1, 99].into_iter().chain([0; 300]).flat_map(u32::to_le_bytes).collect();
    write(&folder, "count.bin", head);
    write(&folder, "cut.npy", npy("<u2", 500, &[0; 900]));
    write(&folder, "negative.npy", npy("<i4", 500, &(-3_i32).to_le_bytes().repeat(500)));
    write(&folder, "broken.parquet", "PAR1 and nothing else PAR1");
    parquet(&folder.path().join("numbers.parquet"), vec![("text", Arc::new(Int64Array::from(vec![1, 2])))]);
    parquet(&folder.path().join("other.parquet"), vec![("body", Arc::new(StringArray::from(vec!["x"])))]);
    parquet(
        &folder.path().join("null.parquet"),
        vec![("text", Arc::new(StringArray::from(vec![Some("x"), None])))],
    );
    write(&folder, "bad.json", "{\"model\": 1}");
    write(&folder, "big.npy", npy("<u2", 500, &[200, 0].repeat(500)));
    for (name, tokenizer, words) in [
        ("absent.txt", None, "absent.txt: cannot read"),
        ("empty.txt", None, "the file is empty"),
        ("zero.txt", None, "zero.txt: byte 4: a zero byte, as in binary files; expected text"),
        ("zero.txt.gz", None, "zero.txt.gz: byte 4: a zero byte"),
        ("short.txt", None, "10 tokens, which are 1 sequences of 8; expected at least 8 sequences"),
        ("cut.txt.gz", None, "of the decompressed text"),
        ("not.txt.gz", None, "after byte 0 of the decompressed text"),
        ("latin.txt", Some("tokenizer.json"), "latin.txt: byte 0 + 3: bytes that are not UTF-8"),
        ("cut.jsonl", None, "cut.jsonl:3: not JSON"),
        ("key.jsonl", None, "key.jsonl:2: no key \"text\" (there are: body, id)"),
        ("type.jsonl", None, "type.jsonl:2: \"text\" is [1,2]; expected text in quotes"),
        ("array.jsonl", None, "array.jsonl:1: no object"),
        ("blank.jsonl", None, "no line holds anything"),
        ("odd.bin", None, "1001 bytes of tokens; expected a multiple of 2"),
        ("count.bin", None, "promises 99 tokens and 94 follow"),
        ("cut.npy", None, "900 bytes of numbers follow; expected 500 numbers of 2 bytes"),
        ("negative.npy", None, "negative.npy: token 0: -3; expected a token below"),
        ("broken.parquet", None, "not a readable Parquet file"),
        ("numbers.parquet", None, "column \"text\" is of type INT64"),
        ("other.parquet", None, "no column \"text\" (there are: body)"),
        ("null.parquet", None, "null.parquet: row 2: \"text\" is null"),
        ("short.txt", Some("bad.json"), "bad.json: not a tokenizer"),
    ] {
        let tokenizer = tokenizer.map(|name: &str| folder.path().join(name).to_string_lossy().into_owned());
        let data = DataConfig { tokenizer, ..config(&folder, &[name]) };
        let error = Corpus::open(&data, 8, 1, 0).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}\n(wanted {words})");
    }
    // No unfinished file stays behind.
    let left: Vec<_> = std::fs::read_dir(folder.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".npy")), "{left:?}");
    // A stated vocabulary is checked where tokens are read.
    let data = DataConfig { vocabulary: Some(100), ..config(&folder, &["big.npy"]) };
    let corpus = Corpus::open(&data, 8, 1, 0).unwrap();
    let error = corpus.training(1, &mut [0; 9]).unwrap_err().to_string();
    assert!(error.contains(": 200; expected a token below the vocabulary 100"), "{error}");
    // Tokens and text do not mix without a tokenizer.
    let error = Corpus::open(&config(&folder, &["short.txt", "big.npy"]), 8, 1, 0).unwrap_err().to_string();
    assert!(error.contains("either tokens or text"), "{error}");
}

#[test]
fn a_file_that_changes_while_it_is_used_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let paths = vec![path.to_string_lossy().into_owned()];
        let data =
            DataConfig { paths, validation_sequences: 4, vocabulary: Some(256), ..DataConfig::default() };
        (path, Corpus::open(&data, 8, 2, 1).unwrap())
    };
    let text = "the quick brown fox jumps over the lazy dog. ".repeat(2000);
    let tokens: Vec<u8> = (0..40_000_u32).flat_map(|i| ((i % 251) as u16).to_le_bytes()).collect();
    let mut batch = vec![0; 2 * 9];
    for (name, bytes) in [("text.txt", text.as_bytes()), ("tokens.bin", tokens.as_slice())] {
        let (path, corpus) = open(name, bytes);
        (1..20).for_each(|update| corpus.training(update, &mut batch).unwrap());
        // Cut off under the reader: a mapped file would end the process here.
        std::fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let error = (1..20).find_map(|update| corpus.training(update, &mut batch).err()).unwrap().to_string();
        let words = format!("the file had {} bytes when it was opened and has 100 now", bytes.len());
        assert!(error.contains(&words), "{error}");
        // Written to in place, at the same length.
        let (path, corpus) = open(name, bytes);
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&path, vec![b'x'; bytes.len()]).unwrap();
        let error = corpus.training(1, &mut batch).unwrap_err().to_string();
        assert!(error.contains("written to while it was in use"), "{error}");
        // Another file put in its place: the tokens stay.
        let (path, corpus) = open(name, bytes);
        let mut before = batch.clone();
        corpus.training(3, &mut before).unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "short").unwrap();
        std::fs::rename(&other, &path).unwrap();
        corpus.training(3, &mut batch).unwrap();
        assert_eq!(batch, before);
    }
}

#[test]
fn rows_of_a_batch_are_those_of_the_whole_batch() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.txt", "To be, or not to be, that is the question. ".repeat(60));
    for data in [config(&folder, &["a.txt"]), DataConfig { validation_sequences: 2, ..DataConfig::default() }]
    {
        let corpus = Corpus::open(&data, 16, 4, 3).unwrap();
        let (mut whole, mut part) = (vec![0; 4 * 17], vec![0; 2 * 17]);
        for update in [1, 2, 40] {
            corpus.training(update, &mut whole).unwrap();
            for first in 0..3 {
                corpus.training_rows(update, first, &mut part).unwrap();
                assert_eq!(part, whole[first * 17..][..2 * 17]);
            }
        }
        corpus.validation(0, &mut whole).unwrap();
        corpus.validation_rows(0, 2, &mut part).unwrap();
        assert_eq!(part, whole[2 * 17..]);
    }
}

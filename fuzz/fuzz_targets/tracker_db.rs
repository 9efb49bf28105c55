//! Databases of MLflow and Trackio, and their write-ahead logs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use lehr_io::Source;
    lehr_fuzz::named("mlflow.db", bytes);
    // The second half as a write-ahead log whose header is taken for right.
    let (database, log) = bytes.split_at(bytes.len() / 2);
    let sources = [Source::bytes("a.db", database.to_vec()), Source::bytes("a.db-wal", log.to_vec())];
    let _ = lehr_fuzz::read(&sources, &lehr_io::ReadOptions::default());
});

//! Manifests, CSV and TOML, next to a good log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use lehr_io::Source;
    let log: String = std::iter::once("step,lr,loss\n".to_owned())
        .chain((1..40).map(|t| format!("{},0.001,{}\n", 10 * t, 3.0 - 0.01 * f64::from(t))))
        .collect();
    for name in ["manifest.csv", "manifest.toml"] {
        let sources = [Source::bytes(name, bytes.to_vec()), Source::bytes("a.csv", log.clone().into_bytes())];
        let _ = lehr_fuzz::read(&sources, &lehr_io::ReadOptions::default());
    }
});

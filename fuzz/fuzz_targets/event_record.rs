//! TensorBoard events behind right checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file: Vec<u8> = lehr_fuzz::pieces(bytes).flat_map(lehr_fuzz::event_record).collect();
    lehr_fuzz::named("events.out.tfevents.1", &file);
});

//! What the fuzz targets share: bytes under a name are read as the command would read them.
//!
//! Any answer is a good one, a run or an error; a panic, an endless loop or unbounded memory is not. What a run says must
//! also hold together: updates rise, losses are finite.

use lehr_io::{LoadedRun, ReadError, ReadOptions, Source, SplitChoice, Summary, for_each_run};

/// Reads sources and checks what comes out.
///
/// # Errors
/// What the reader says.
pub fn read(sources: &[Source], options: &ReadOptions) -> Result<Summary, ReadError> {
    let result = for_each_run::<ReadError>(sources, options, &mut |_| {}, &mut |run: LoadedRun| {
        let (step, loss) = (run.curve.step(), run.curve.loss());
        assert!(step.windows(2).all(|pair| pair[0] < pair[1]), "updates rise");
        assert!(loss.iter().all(|value| value.is_finite() && *value > 0.0), "losses can be fitted");
        Ok(())
    });
    if let Err(error) = &result {
        // Messages are part of the answer.
        assert!(!error.to_string().is_empty());
        let _ = error.hint();
    }
    result
}

/// Reads bytes under a name: as they are, and with every repair that a user may ask for.
pub fn named(name: &str, bytes: &[u8]) {
    let sources = [Source::bytes(name, bytes.to_vec())];
    let _ = read(&sources, &ReadOptions::default());
    let repaired = ReadOptions {
        drop_nan: true,
        stitch: true,
        split: SplitChoice::Train,
        schedule: "wsd:peak=1e-3,total=1000000,warmup=10,anneal=20,shape=linear,final=0".parse().ok(),
        max_points: Some(50),
        ..ReadOptions::default()
    };
    let _ = read(&sources, &repaired);
}

/// One record of an event file, framed with the right checksums.
#[must_use]
pub fn event_record(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8);
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

/// A `.wandb` file of one record of at most one block.
#[must_use]
pub fn wandb_record(data: &[u8]) -> Vec<u8> {
    let data = &data[..data.len().min(32_000)];
    let mut file = b":W&B\xe1\xbe\x00".to_vec();
    let kind_and_data = [&[1][..], data].concat();
    file.extend(crc32fast::hash(&kind_and_data).to_le_bytes());
    file.extend((data.len() as u16).to_le_bytes());
    file.extend(kind_and_data);
    file
}

/// Splits the input at every 0xFF byte: several records of one file.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == 0xFF)
}

//! The run store: what goes in comes out, bit for bit; and a store of any bytes is answered.
#![no_main]

use lehr::{Curve, RunMeta, Schedule};
use lehr_io::run_store::{MANIFEST, POINTS, StoreWriter};
use lehr_io::{ReadError, ReadOptions, Source, for_each_run};

/// Curves made of the input: six bytes a point, a new run at every 0xFFFF.
fn curves(bytes: &[u8]) -> Vec<Curve> {
    let Ok(schedule) = "wsd:peak=1e-3,total=100000000,warmup=10,anneal=20,shape=linear,final=0".parse::<Schedule>() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let (mut step, mut loss, mut at) = (Vec::new(), Vec::new(), 0_u64);
    let mut finish = |step: &mut Vec<u64>, loss: &mut Vec<f64>| {
        let meta = RunMeta::named(format!("run {}", found.len()));
        if let Ok(curve) = Curve::new(meta, schedule.clone(), std::mem::take(step), std::mem::take(loss)) {
            found.push(curve);
        }
    };
    for piece in bytes.chunks_exact(6) {
        let gap = u16::from_le_bytes([piece[0], piece[1]]);
        if gap == u16::MAX {
            finish(&mut step, &mut loss);
            at = 0;
            continue;
        }
        at += u64::from(gap) + 1;
        step.push(at);
        loss.push(f64::from(u32::from_le_bytes([piece[2], piece[3], piece[4], piece[5]])) / 1e8 + 1e-6);
    }
    finish(&mut step, &mut loss);
    found
}

fn read(points: &[u8], manifest: &[u8]) -> Result<Vec<Curve>, ReadError> {
    let sources = [
        Source::bytes(format!("store/{POINTS}"), points.to_vec()),
        Source::bytes(format!("store/{MANIFEST}"), manifest.to_vec()),
    ];
    let mut curves = Vec::new();
    for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |run| {
        curves.push(run.curve);
        Ok(())
    })?;
    Ok(curves)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = read(bytes, b"format = \"lehr-run-store\"\nversion = 1\ngeneration = 1\n");
    let _ = read(b"PAR1", bytes);
    let wanted = curves(bytes);
    if wanted.is_empty() {
        return;
    }
    let mut writer = StoreWriter::new("store", Vec::new(), 1).expect("a new store");
    for curve in &wanted {
        writer.push(curve, "fuzz").expect("a curve is written");
    }
    let (points, manifest) = writer.finish().expect("a store is finished");
    let found = read(&points, manifest.as_bytes()).expect("what was written is read");
    assert_eq!(found, wanted);
});

//! Recognition: rows of ten bytes, a gap and a rate, after a head of what is stated.
#![no_main]

use lehr::Steps;
use lehr::schedule::{RecogniseOptions, recognise};

fn eight(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((head, rest)) = bytes.split_at_checked(17) else { return };
    let stated = |bit: u8, value: u64| (head[0] >> bit & 1 == 1).then_some(value);
    let options = RecogniseOptions {
        total: stated(0, eight(&head[1..9])).map(Steps),
        warmup: stated(1, eight(&head[9..17])).map(Steps),
        offset: stated(2, u64::from(head[2])).map(|offset| offset as i64 - 128),
        ..RecogniseOptions::default()
    };
    let (mut rows, mut at) = (Vec::new(), 0_u64);
    for piece in rest.chunks_exact(10) {
        // The upper bits of the gap make some gaps very long.
        let gap = u64::from(piece[0]) << (piece[1] % 48);
        let Some(next) = at.checked_add(gap.max(1)) else { return };
        at = next;
        rows.push((at, f64::from_bits(eight(&piece[2..]))));
    }
    if let Ok(found) = recognise(&rows, &options) {
        assert!(found.residual.max.is_finite() && found.residual.rms.is_finite());
        assert!(found.residual.rms <= found.residual.max * (1.0 + 1e-9));
    }
});

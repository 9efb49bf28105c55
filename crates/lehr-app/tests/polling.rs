//! What it costs to follow many logs: `cargo test --workspace --test polling -- --ignored --nocapture`.

use lehr_app::Files;
use lehr_app::follow::Follower;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Instant;

/// Files followed.
const FILES: usize = 1_000;
/// Bytes of each at the beginning. A poll never reads them again, so their number does not matter to it.
const BYTES: usize = 1 << 20;
/// Lines that each gets between two polls.
const LINES: u64 = 20;

#[test]
#[ignore = "writes 1 GB"]
fn a_poll_of_a_thousand_growing_logs() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().to_path_buf()];
    let line = |t: u64| format!("{t},0.001,{:.6},0.5,12345.0,0.98\n", 3.0 + 10.0 / (t as f64 + 1.0).sqrt());
    let rows = BYTES as u64 / line(100_000).len() as u64;
    let text: String = "step,lr,loss,grad_norm,tokens_per_second,utilisation\n".to_owned()
        + &(0..rows).map(line).collect::<String>();
    for i in 0..FILES {
        std::fs::write(folder.path().join(format!("run-{i:04}.csv")), &text).unwrap();
    }
    let mut follower = Follower::default();
    let begun = Instant::now();
    assert!(follower.poll(&Files::Disk, &paths).unwrap());
    println!("first poll: {:.1} s for {} MB", begun.elapsed().as_secs_f64(), follower.bytes_read() >> 20);
    let begun = Instant::now();
    assert!(!follower.poll(&Files::Disk, &paths).unwrap());
    println!("nothing new: {:.0} ms", 1e3 * begun.elapsed().as_secs_f64());
    for round in 0..3 {
        let more: String = (0..LINES).map(|i| line(rows + round * LINES + i)).collect();
        for i in 0..FILES {
            let path = folder.path().join(format!("run-{i:04}.csv"));
            OpenOptions::new().append(true).open(path).unwrap().write_all(more.as_bytes()).unwrap();
        }
        let (before, begun) = (follower.bytes_read(), Instant::now());
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        let took = begun.elapsed().as_secs_f64();
        assert_eq!(follower.bytes_read() - before, (FILES * more.len()) as u64);
        println!(
            "{LINES} new lines in each of {FILES}: {:.0} ms, {:.1} % of ten seconds",
            1e3 * took,
            10.0 * took
        );
        // Twice what is wanted, for a busy machine.
        assert!(took < 1.0, "{took} s");
    }
}

//! One or two rows that stand apart from a plain schedule: named and left out.

/// Fewer rows than this may hold what looks like a stray.
const ENOUGH: usize = 20;
/// Most strays.
const MOST: usize = 2;
/// A stray is off its neighbours by more than this share of the peak …
pub(super) const APART: f64 = 0.01;
/// … and by so many times more than any other row.
const ALONE: f64 = 5.0;

/// The rows that stand alone: each far off the lines through the two rows before it, the two after it and the two beside
/// it, while no other row is. Empty where there are none, or more than two.
pub(super) fn find(rows: &[(u64, f64)]) -> Vec<usize> {
    let n = rows.len();
    let peak = rows.iter().fold(0.0, |peak: f64, row| peak.max(row.1));
    if n < ENOUGH || peak <= 0.0 {
        return Vec::new();
    }
    // The line through two rows, at a third.
    let line = |a: usize, b: usize, at: usize| {
        let ((ta, ya), (tb, yb)) = (rows[a], rows[b]);
        ya + (yb - ya) * (rows[at].0 as f64 - ta as f64) / (tb as f64 - ta as f64)
    };
    let mut off: Vec<f64> = (0..n)
        .map(|i| {
            let before = (i >= 2).then(|| line(i.saturating_sub(2), i.saturating_sub(1), i));
            let after = (i + 2 < n).then(|| line(i + 1, i + 2, i));
            let beside = (i >= 1 && i + 1 < n).then(|| line(i.saturating_sub(1), i + 1, i));
            [before, after, beside]
                .into_iter()
                .flatten()
                .map(|expected| (rows[i].1 - expected).abs())
                .fold(f64::INFINITY, f64::min)
        })
        .collect();
    let mut found: Vec<(usize, f64)> = Vec::new();
    loop {
        let largest = off.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, size)) = largest else { return Vec::new() };
        let settled = found.iter().all(|&(_, stray)| stray > ALONE * size);
        if size <= APART * peak || (!found.is_empty() && settled) {
            break;
        }
        if found.len() == MOST {
            return Vec::new();
        }
        found.push((at, size));
        off[at] = 0.0;
        // A row next to one end has that stray in every line but one.
        if at == 1 || at + 2 == n {
            off[if at == 1 { 0 } else { n - 1 }] = 0.0;
        }
    }
    let mut rows: Vec<usize> = found.into_iter().map(|(at, _)| at).collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rate: impl Fn(u64) -> f64) -> Vec<(u64, f64)> {
        (1..=100).map(|k| (10 * k, rate(10 * k))).collect()
    }

    fn wsd(t: u64) -> f64 {
        if t <= 800 { 1e-3 } else { 1e-3 * (1000 - t) as f64 / 200.0 }
    }

    #[test]
    fn strays_stand_alone() {
        assert_eq!(find(&rows(|t| if t == 400 { 0.0 } else { wsd(t) })), [39]);
        assert_eq!(find(&rows(|t| if t == 400 || t == 600 { 5e-4 } else { wsd(t) })), [39, 59]);
        assert_eq!(find(&rows(|t| if t == 1000 { 1e-3 } else { wsd(t) })), [99]);
        assert_eq!(find(&rows(wsd)), [0_usize; 0]);
        // Three are no strays, and neither is a second annealing of several rows.
        assert_eq!(find(&rows(|t| if [200, 400, 600].contains(&t) { 0.0 } else { wsd(t) })), [0_usize; 0]);
        assert_eq!(find(&rows(|t| if (400..450).contains(&t) { 2e-4 } else { wsd(t) })), [0_usize; 0]);
    }
}

//! How exactly logged rates are written, and numbers with no more digits than that.

use super::Row;

/// How few digits are taken where both readings fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As the smaller of the two roundings.
    Finer,
    /// As the larger of the two: rates with few digits also have few decimals.
    Coarser,
}

/// Half a unit of the last digit that the rows carry, in rate: single precision, a fixed number of decimals, or a
/// fixed number of significant digits; never below 10⁻¹² of the peak.
pub(super) fn tolerance(rows: &[Row], peak: f64, reading: Reading) -> f64 {
    let exact = 1e-12 * peak;
    let decimals =
        (0..=9_i32).find(|&n| rows.iter().all(|row| keeps(row.y, |y| format!("{y:.*}", n as usize))));
    let digits =
        (0..=11_i32).find(|&n| rows.iter().all(|row| keeps(row.y, |y| format!("{y:.*e}", n as usize))));
    if decimals.is_some() || digits.is_some() {
        // Few distinct values (a constant rate, say) show nothing about rounding.
        if distinct(rows) <= 8 {
            return exact;
        }
        let by_decimals = decimals.map(|n| 0.51 * 10f64.powi(-n));
        let by_digits = digits.map(|n| 0.51 * 10f64.powi(peak.log10().floor() as i32 - n));
        return [by_decimals, by_digits]
            .into_iter()
            .flatten()
            .reduce(|a, b| if reading == Reading::Finer { a.min(b) } else { a.max(b) })
            .map_or(exact, |rounding| rounding.max(exact));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whether the rates survive single precision is the question"
    )]
    let single = rows.iter().all(|row| f64::from(row.y as f32) == row.y);
    if single { 1.2e-7 * peak } else { exact }
}

fn keeps(value: f64, write: impl Fn(f64) -> String) -> bool {
    write(value).parse::<f64>().is_ok_and(|read| (read - value).abs() <= 1e-15 * value.abs())
}

fn distinct(rows: &[Row]) -> usize {
    let mut bits: Vec<u64> = rows.iter().map(|row| row.y.to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    bits.len()
}

/// The number with the fewest digits within `tol` of `value`.
pub(super) fn shortest(value: f64, tol: f64) -> f64 {
    if value.abs() <= tol {
        return 0.0;
    }
    (0..=15)
        .filter_map(|digits| format!("{value:.digits$e}").parse::<f64>().ok())
        .find(|short| (short - value).abs() <= tol)
        .unwrap_or(value)
}

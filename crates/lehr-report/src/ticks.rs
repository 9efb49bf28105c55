//! Nice numbers for axes: where ticks stand and how they are written.

/// How the values of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TickFormat {
    /// With as many decimals as the distance of two ticks needs: 2.75.
    #[default]
    Plain,
    /// With a suffix: 500, 10k, 2.5M, 1B, 3T.
    Si,
    /// As a product of a power of ten: 3·10⁻⁴.
    Power,
}

/// Positions of ticks, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// The values.
    pub values: Vec<f64>,
    /// Distance of two ticks; 0 on a logarithmic axis.
    pub step: f64,
}

/// Returns at most `most` ticks inside `lo … hi` whose distance is 1, 2, 2.5 or 5 times a power of ten.
///
/// # Examples
/// ```
/// let ticks = lehr_report::linear_ticks(0.0, 10_500.0, 6);
/// assert_eq!(ticks.values, [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10000.0]);
/// ```
#[must_use]
pub fn linear_ticks(lo: f64, hi: f64, most: usize) -> Ticks {
    let most = most.max(2);
    let span = hi - lo;
    if !(span > 0.0 && span.is_finite()) {
        return Ticks { values: vec![lo], step: 0.0 };
    }
    let mut exponent = (span / most as f64).log10().floor() as i32 - 1;
    loop {
        for multiple in [1.0, 2.0, 2.5, 5.0] {
            let (first, last) = multiples(lo, hi, multiple, exponent);
            let count = last - first + 1.0;
            if count >= 1.0 && count <= most as f64 {
                let values = (0..count as i64).map(|k| at(first + k as f64, multiple, exponent)).collect();
                return Ticks { values, step: at(1.0, multiple, exponent) };
            }
            if count < 1.0 {
                // The next coarser steps hit nothing either: the ends themselves are the best marks there are.
                return Ticks { values: vec![lo, hi], step: span };
            }
        }
        exponent += 1;
    }
}

fn at(k: f64, multiple: f64, exponent: i32) -> f64 {
    // Dividing by an exact power keeps 3 · 10⁻¹ at 0.3.
    if exponent < 0 { k * multiple / 10f64.powi(-exponent) } else { k * multiple * 10f64.powi(exponent) }
}

fn multiples(lo: f64, hi: f64, multiple: f64, exponent: i32) -> (f64, f64) {
    let step = at(1.0, multiple, exponent);
    let slack = 1e-9 * (hi - lo) / step;
    ((lo / step - slack).ceil(), (hi / step + slack).floor())
}

/// Returns at most `most` ticks inside `lo … hi` (both positive): powers of ten, with 3, or 2 and 5, or all digits between where few decades are shown.
///
/// # Examples
/// ```
/// assert_eq!(lehr_report::log_ticks(1e-4, 2.1e-3, 6).values, [1e-4, 2e-4, 5e-4, 1e-3, 2e-3]);
/// ```
#[must_use]
pub fn log_ticks(lo: f64, hi: f64, most: usize) -> Ticks {
    let most = most.max(2);
    if !(lo > 0.0 && hi > lo && hi.is_finite()) {
        return Ticks { values: vec![lo], step: 0.0 };
    }
    if hi / lo < 9.9 {
        // Within one decade evenly spaced marks are the more familiar ones.
        let ticks = linear_ticks(lo, hi, most);
        if ticks.values.len() >= 3 {
            return Ticks { step: 0.0, ..ticks };
        }
    }
    let (from, to) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
    let inside = |value: &f64| *value >= lo * (1.0 - 1e-9) && *value <= hi * (1.0 + 1e-9);
    let sets: [&[f64]; 4] =
        [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    for set in sets {
        let values: Vec<f64> =
            (from..=to).flat_map(|e| set.iter().map(move |&m| at(1.0, m, e))).filter(inside).collect();
        if (2..=most).contains(&values.len()) {
            return Ticks { values, step: 0.0 };
        }
    }
    if to - from <= 2 {
        return Ticks { step: 0.0, ..linear_ticks(lo, hi, most) };
    }
    let stride = ((to - from) as usize).div_ceil(most).max(1);
    let values = (from..=to).step_by(stride).map(|e| at(1.0, 1.0, e)).filter(inside).collect();
    Ticks { values, step: 0.0 }
}

/// Writes the values of some ticks so that no two read the same.
#[must_use]
pub fn tick_labels(ticks: &Ticks, format: TickFormat) -> Vec<String> {
    let write = |digits: usize| -> Vec<String> {
        ticks
            .values
            .iter()
            .map(|&value| match format {
                TickFormat::Plain => minus(&plain(value, ticks.step, digits)),
                TickFormat::Si => minus(&si(value, digits)),
                TickFormat::Power => power(value, digits),
            })
            .collect()
    };
    for digits in 2..15 {
        let labels = write(digits);
        if labels.windows(2).all(|pair| pair[0] != pair[1]) {
            return labels;
        }
    }
    write(15)
}

fn plain(value: f64, step: f64, digits: usize) -> String {
    if step == 0.0 {
        let decimals = (digits as i32 - value.abs().max(1e-300).log10().floor() as i32).clamp(0, 17) as usize;
        return trimmed(value, decimals);
    }
    let mut decimals = 0;
    let mut scaled = step;
    while decimals < 15 && (scaled - scaled.round()).abs() > 1e-6 * scaled.max(1.0) {
        decimals += 1;
        scaled = step * 10f64.powi(decimals);
    }
    let value = if value.abs() < step * 1e-9 { 0.0 } else { value };
    format!("{value:.*}", decimals.max(digits as i32 - 2) as usize)
}

/// Writes a number with a suffix (k, M, B, T), without needless zeros, with `digits` significant decimals at most.
///
/// # Examples
/// ```
/// assert_eq!(lehr_report::si(24_576.0, 3), "24.576k");
/// assert_eq!(lehr_report::si(1.5e9, 2), "1.5B");
/// ```
#[must_use]
pub fn si(value: f64, digits: usize) -> String {
    for (unit, suffix) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] {
        let scaled = value / unit;
        if scaled.abs() >= 1.0 - 1e-12 {
            return format!("{}{suffix}", trimmed(scaled, digits));
        }
    }
    trimmed(value, digits)
}

/// Writes a number as a product of a power of ten: 3·10⁻⁴.
#[must_use]
pub fn power(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    let mut exponent = value.abs().log10().floor() as i32;
    let mut mantissa = value.abs() / 10f64.powi(exponent);
    if trimmed(mantissa, digits) == "10" {
        exponent += 1;
        mantissa = 1.0;
    }
    let mantissa = trimmed(mantissa, digits);
    match (exponent, mantissa.as_str()) {
        (0, _) => format!("{sign}{mantissa}"),
        (_, "1") => format!("{sign}10{}", superscript(exponent)),
        _ => format!("{sign}{mantissa}·10{}", superscript(exponent)),
    }
}

/// Writes a number with that many significant digits, zeros included, and a minus sign: 0.00612, 0.130, 14.2.
///
/// # Examples
/// ```
/// assert_eq!(lehr_report::significant(0.006_123, 2), "0.0061");
/// ```
#[must_use]
pub fn significant(value: f64, digits: usize) -> String {
    let wanted = digits.max(1) as i32 - 1;
    let decimals = |value: f64| {
        let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
        (wanted - magnitude).clamp(0, 17) as usize
    };
    // 0.9999 has three digits as 1.00, not as 1.000.
    let first = decimals(value);
    let rounded: f64 = format!("{value:.first$}").parse().unwrap_or(value);
    minus(&format!("{value:.*}", first.min(decimals(rounded))))
}

/// Writes an exponent in superscript digits.
#[must_use]
pub fn superscript(exponent: i32) -> String {
    exponent
        .to_string()
        .chars()
        .map(|c| match c.to_digit(10) {
            Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
            None => '⁻',
        })
        .collect()
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Replaces the hyphen of a negative number by the minus sign.
pub(crate) fn minus(text: &str) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let labels = |lo, hi, format| tick_labels(&linear_ticks(lo, hi, 6), format);
        assert_eq!(labels(2.6, 3.1, TickFormat::Plain), ["2.6", "2.7", "2.8", "2.9", "3.0", "3.1"]);
        assert_eq!(labels(0.0, 1.2e6, TickFormat::Si), ["0", "250k", "500k", "750k", "1M"]);
        assert_eq!(labels(-4.0, 4.0, TickFormat::Plain), ["−4", "−2", "0", "2", "4"]);
        assert_eq!(
            tick_labels(&log_ticks(1e-4, 1e-3, 4), TickFormat::Power),
            ["10⁻⁴", "2·10⁻⁴", "5·10⁻⁴", "10⁻³"]
        );
        assert_eq!(power(0.001, 2), "10⁻³");
        assert_eq!(power(9.999e-4, 2), "10⁻³");
        assert_eq!(si(999_999.999, 2), "1000k");
    }

    #[test]
    fn values_are_written_with_three_significant_digits() {
        assert_eq!(
            [0.0781, 0.13, 1.01, 14.24, 158.3, 0.0, -2.5, 0.9999, 0.006].map(|value| significant(value, 3)),
            ["0.0781", "0.130", "1.01", "14.2", "158", "0.00", "−2.50", "1.00", "0.00600"]
        );
    }

    proptest! {
        #[test]
        fn linear_ticks_are_few_inside_and_evenly_spaced(
            lo in -1e3f64..1e3, exponent in -5.0f64..8.0, most in 2usize..12
        ) {
            let hi = lo + 10f64.powf(exponent);
            let ticks = linear_ticks(lo, hi, most);
            prop_assert!(!ticks.values.is_empty() && ticks.values.len() <= most);
            let slack = (hi - lo) * 1e-6;
            prop_assert!(ticks.values.iter().all(|v| *v >= lo - slack && *v <= hi + slack));
            for pair in ticks.values.windows(2) {
                prop_assert!(((pair[1] - pair[0]) / ticks.step - 1.0).abs() < 1e-3);
            }
            let labels = tick_labels(&ticks, TickFormat::Plain);
            prop_assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "{labels:?}");
        }

        #[test]
        fn log_ticks_are_few_inside_and_ascending(start in -9.0f64..9.0, span in 0.001f64..12.0, most in 2usize..12) {
            let (lo, hi) = (10f64.powf(start), 10f64.powf(start + span));
            let ticks = log_ticks(lo, hi, most);
            prop_assert!(!ticks.values.is_empty() && ticks.values.len() <= most + 1);
            prop_assert!(ticks.values.iter().all(|v| *v >= lo * (1.0 - 1e-6) && *v <= hi * (1.0 + 1e-6)));
            prop_assert!(ticks.values.windows(2).all(|pair| pair[0] < pair[1]));
            for format in [TickFormat::Plain, TickFormat::Si, TickFormat::Power] {
                let labels = tick_labels(&ticks, format);
                prop_assert!(labels.windows(2).all(|pair| pair[0] != pair[1]), "{labels:?}");
            }
        }
    }
}

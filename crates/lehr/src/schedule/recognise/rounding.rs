//! How exactly logged rates are written, and numbers with no more digits than that.

/// How few digits are taken where both readings fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As not rounded: few digits are round numbers.
    Exact,
    /// As the smaller of the two roundings.
    Finer,
    /// As the larger of the two: rates with few digits also have few decimals.
    Coarser,
    /// As those of the rows that carry fewest, where many carry fewer than the rest.
    Mixed,
}

/// Relative size of the last bit of single precision.
const SINGLE: f64 = 1.2e-7;

/// What the digits of a column show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits {
    /// Digits behind the point that every rate gets by with.
    decimals: i32,
    /// Digits behind the first one that every rate gets by with.
    behind_first: i32,
    /// Fewer decimals that many rates get by with; `None` where one rounding explains all.
    fewer_decimals: Option<i32>,
    /// Fewer digits behind the first one that many rates get by with; `None` where one rounding explains all.
    fewer_behind_first: Option<i32>,
    /// Whether at most eight values occur: they show nothing about rounding.
    few: bool,
    /// Whether every rate is one of single precision.
    single: bool,
    /// Whether every rate that occurs is a short number but for an error of single precision.
    short_but_for_single: bool,
}

impl Digits {
    pub(super) fn of(rates: impl Iterator<Item = f64> + Clone) -> Self {
        let mut found = Self {
            decimals: 0,
            behind_first: 0,
            fewer_decimals: None,
            fewer_behind_first: None,
            few: false,
            single: true,
            short_but_for_single: true,
        };
        let (mut decimals, mut behind) = (Counts::default(), Counts::default());
        let mut last = f64::NAN;
        for y in rates.clone().filter(|&y| y != 0.0) {
            if y == last {
                continue;
            }
            last = y;
            let (behind_first, exponent) = digits(y);
            found.behind_first = found.behind_first.max(behind_first);
            found.decimals = found.decimals.max(behind_first - exponent);
            behind.count(behind_first);
            decimals.count(behind_first - exponent);
            found.single &= is_single(y);
            found.short_but_for_single &= is_short_but_for_single(y);
        }
        found.fewer_decimals = decimals.coarser();
        found.fewer_behind_first = behind.coarser();
        let mut bits: Vec<u64> = Vec::new();
        for y in rates {
            if !bits.contains(&y.to_bits()) {
                bits.push(y.to_bits());
            }
            if bits.len() > 8 {
                break;
            }
        }
        found.few = bits.len() <= 8;
        found
    }

    /// Whether a part of the rates is rounded more coarsely than the rest.
    pub(super) fn are_mixed(&self) -> bool {
        !self.few && (self.fewer_decimals.is_some() || self.fewer_behind_first.is_some())
    }

    /// Half a unit of the last digit that the rows carry, in rate: single precision, a fixed number of decimals, or a
    /// fixed number of significant digits; never below 10⁻¹² of the peak.
    pub(super) fn tolerance(&self, peak: f64, reading: Reading) -> f64 {
        let exact = 1e-12 * peak;
        if self.few {
            return if self.short_but_for_single && self.behind_first > 6 { SINGLE * peak } else { exact };
        }
        let of_decimals = |decimals: i32| 0.51 * 10f64.powi(-decimals);
        let of_digits = |behind: i32| 0.51 * 10f64.powi(peak.log10().floor() as i32 - behind);
        let (by_decimals, by_digits) = if reading == Reading::Mixed {
            (self.fewer_decimals.map(of_decimals), self.fewer_behind_first.map(of_digits))
        } else {
            let decimals = (self.decimals <= 9).then(|| of_decimals(self.decimals));
            (decimals, (self.behind_first <= 11).then(|| of_digits(self.behind_first)))
        };
        let rounding = [by_decimals, by_digits]
            .into_iter()
            .flatten()
            .reduce(|a, b| if reading == Reading::Coarser { a.max(b) } else { a.min(b) });
        match rounding {
            Some(_) if reading == Reading::Exact => exact,
            Some(rounding) => rounding.max(exact),
            None if self.single || (is_short_but_for_single(peak) && digits(peak).0 > 6) => SINGLE * peak,
            None => exact,
        }
    }
}

/// How many rates get by with how many digits.
#[derive(Debug, Default)]
struct Counts {
    of: [u32; 24],
    all: u32,
}

impl Counts {
    fn count(&mut self, digits: i32) {
        let last = self.of.len() - 1;
        self.of[usize::try_from(digits).unwrap_or(0).min(last)] += 1;
        self.all += 1;
    }

    /// The fewest digits that far more rates get by with than would by chance: of rates rounded to D digits, a share of
    /// 10^(d − D) ends in zeros from the dth on.
    fn coarser(&self) -> Option<i32> {
        const ENOUGH: u32 = 8;
        const SHARE: f64 = 0.1;
        let most = self.of.iter().rposition(|&count| count > 0)?;
        let mut so_far = 0;
        (0..most).find_map(|digits| {
            so_far += self.of[digits];
            let by_chance = 10f64.powi(digits as i32 - most as i32);
            let many =
                so_far >= ENOUGH && f64::from(so_far) > (SHARE + 3.0 * by_chance) * f64::from(self.all);
            many.then_some(digits as i32)
        })
    }
}

/// Numbers of few digits that lie up to 5 % above a rate: the peak may lie between two rows.
pub(super) fn short_above(value: f64) -> impl Iterator<Item = f64> {
    (0..4_i32)
        .filter_map(move |digits| {
            let unit = 10f64.powi(value.log10().floor() as i32 - digits);
            format!("{:.*e}", digits as usize, (value / unit).ceil() * unit).parse().ok()
        })
        .filter(move |&short: &f64| short > value && short <= 1.05 * value)
}

/// Digits behind the first, and the exponent of ten, of the shortest writing that reads back as the number.
fn digits(y: f64) -> (i32, i32) {
    let text = format!("{y:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text.as_str(), "0"));
    let behind = mantissa.split_once('.').map_or(0, |(_, behind)| behind.len());
    (i32::try_from(behind).unwrap_or(17), exponent.parse().unwrap_or(0))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whether the rate survives single precision is the question"
)]
fn is_single(y: f64) -> bool {
    f64::from(y as f32) == y
}

fn is_short_but_for_single(y: f64) -> bool {
    let short: f64 = format!("{y:.4e}").parse().unwrap_or(y);
    (short - y).abs() <= 0.5 * SINGLE * y.abs()
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

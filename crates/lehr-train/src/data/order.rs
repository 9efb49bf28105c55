//! Which sequence comes when: a permutation computed one element at a time, and the split into training and validation.

/// Mixes 64 bits so that every bit of the input reaches every bit of the output (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const ROUNDS: usize = 6;

/// A pseudo-random permutation of 0 … n − 1 that needs no memory: element i is computed when it is asked for.
///
/// A balanced Feistel network permutes the smallest power of four that is not below n; a result outside the range is
/// permuted again until it falls inside (cycle walking), four times on average at most.
///
/// # Source
/// Black and Rogaway, "Ciphers with arbitrary finite domains" (2002), the cycle-walking construction.
///
/// # Examples
/// ```
/// use lehr_train::data::Permutation;
/// let order = Permutation::new(10, 7, 0);
/// let mut seen: Vec<u64> = (0..10).map(|i| order.at(i)).collect();
/// seen.sort_unstable();
/// assert_eq!(seen, (0..10).collect::<Vec<_>>());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of 0 … `len` − 1 that belongs to a seed and a pass over the data.
    #[must_use]
    pub fn new(len: u64, seed: u64, pass: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let half_bits = bits.div_ceil(2).max(1);
        let mut state = mix(seed ^ 0x6c65_6872_2074_7261) ^ mix(pass.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let keys = std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        });
        Self { len, half_bits, keys }
    }

    /// Element `index` of the permutation.
    ///
    /// # Panics
    /// When `index` is not below the length.
    #[must_use]
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.len, "element {index} of a permutation of {}", self.len);
        let mut value = index;
        loop {
            value = self.once(value);
            if value < self.len {
                return value;
            }
        }
    }

    fn once(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right.wrapping_add(key)) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// Which of n sequences are held out for validation, and how the others are counted.
///
/// Held-out sequence j lies at the fraction j/φ mod 1 of the data: any number of them is spread evenly, and fewer of them
/// are the first of more, so that runs with different batches are judged on the same text. The split depends on nothing but
/// the two counts, in particular not on the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    sequences: u64,
    /// In the order of validation.
    held_out: Vec<u64>,
    /// Entry j: the j-th smallest held-out sequence, minus j. A training index k has as many held-out sequences before it
    /// as there are entries ≤ k.
    before: Vec<u64>,
}

impl Split {
    /// Splits `sequences`, holding out `validation`; `None` where that would be more than a quarter of them, or all.
    #[must_use]
    pub fn new(sequences: u64, validation: u64) -> Option<Self> {
        if sequences == 0 || validation > sequences / 4 {
            return None;
        }
        let held_out: Vec<u64> = (0..validation)
            .map(|j| {
                let fraction = (j + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                ((u128::from(fraction) * u128::from(sequences)) >> 64) as u64
            })
            .collect();
        let mut before = held_out.clone();
        before.sort_unstable();
        before.dedup();
        // Points of the golden ratio keep a distance of at least 0.38/validation, here more than one sequence.
        assert_eq!(before.len(), held_out.len(), "two validation sequences are the same");
        for (j, sequence) in before.iter_mut().enumerate() {
            *sequence -= j as u64;
        }
        Some(Self { sequences, held_out, before })
    }

    /// Number of training sequences.
    #[must_use]
    pub fn training_len(&self) -> u64 {
        self.sequences - self.held_out.len() as u64
    }

    /// The sequence that is number `index` of the training sequences.
    #[must_use]
    pub fn training(&self, index: u64) -> u64 {
        index + self.before.partition_point(|before| *before <= index) as u64
    }

    /// The held-out sequences, in the order of validation.
    #[must_use]
    pub fn held_out(&self) -> &[u64] {
        &self.held_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_permutation_is_a_bijection(len in 1_u64..3000, seed: u64, pass in 0_u64..5) {
            let order = Permutation::new(len, seed, pass);
            let seen: BTreeSet<u64> = (0..len).map(|i| order.at(i)).collect();
            prop_assert_eq!(seen.len() as u64, len);
            prop_assert!(seen.iter().all(|value| *value < len));
        }

        #[test]
        fn training_and_validation_partition_the_sequences(sequences in 4_u64..5000, share in 0.0_f64..0.25) {
            let validation = (sequences as f64 * share) as u64;
            let split = Split::new(sequences, validation).unwrap();
            let held_out: BTreeSet<u64> = split.held_out().iter().copied().collect();
            prop_assert_eq!(held_out.len() as u64, validation);
            let training: Vec<u64> = (0..split.training_len()).map(|k| split.training(k)).collect();
            prop_assert!(training.is_sorted_by(|a, b| a < b));
            prop_assert!(training.iter().all(|sequence| !held_out.contains(sequence) && *sequence < sequences));
        }

        #[test]
        fn fewer_validation_sequences_are_the_first_of_more(sequences in 400_u64..100_000, few in 1_u64..50) {
            let more = Split::new(sequences, 100).unwrap();
            let less = Split::new(sequences, few).unwrap();
            prop_assert_eq!(less.held_out(), &more.held_out()[..few as usize]);
        }
    }

    #[test]
    fn passes_and_seeds_have_orders_of_their_own() {
        let order =
            |seed, pass| (0..100).map(|i| Permutation::new(100, seed, pass).at(i)).collect::<Vec<_>>();
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
        assert_eq!(order(1, 3), order(1, 3));
    }

    #[test]
    fn a_large_permutation_looks_random() {
        // The mean of |π(i) − i|/n of a random permutation is 1/3, with a standard error of 0.0024 from 10,000 elements.
        let len = 1_u64 << 40;
        let order = Permutation::new(len, 3, 1);
        let mean = (0..10_000_u64)
            .map(|i| {
                let from = i * (len / 10_000);
                order.at(from).abs_diff(from) as f64 / len as f64
            })
            .sum::<f64>()
            / 10_000.0;
        assert!((mean - 1.0 / 3.0).abs() < 0.012, "{mean}");
    }

    #[test]
    fn validation_is_spread_over_the_data() {
        let split = Split::new(64_000, 64).unwrap();
        // Every eighth of the data holds 8 ± 1 of the 64.
        for part in 0..8_u64 {
            let inside = split.held_out().iter().filter(|sequence| **sequence / 8000 == part).count();
            assert!((7..=9).contains(&inside), "part {part}: {inside}");
        }
    }

    #[test]
    fn too_much_validation_is_refused() {
        assert!(Split::new(100, 26).is_none());
        assert!(Split::new(0, 0).is_none());
    }
}

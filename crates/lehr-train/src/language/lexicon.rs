//! Words of one category: how they are spelled, and how likely each is in each context.

use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};

/// Different letters.
pub(super) const LETTERS: u32 = 57;

/// Share of the probability that a context distributes in an order of its own; the rest follows the common order.
const OWN_SHARE: f64 = 0.5;

/// A node of the tree of spellings. Children follow each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub first_child: u16,
    pub children: u16,
    /// The letter that leads here.
    pub letter: u8,
    /// The word that ends here.
    pub word: Option<u16>,
}

/// The words of a category, as a tree of spellings, with the probability of every node in every context.
#[derive(Debug)]
pub(super) struct Lexicon {
    pub nodes: Vec<Node>,
    spellings: Vec<Vec<u8>>,
    words: usize,
    /// Context × node: the probability of the words at and below the node.
    mass: Vec<f64>,
    /// Context × word.
    probability: Vec<f64>,
}

impl Lexicon {
    /// Invents `words` words for `contexts` contexts. The order of the words is that of their common probability, which
    /// falls as 1/rank; frequent words are short.
    pub(super) fn new(words: usize, contexts: usize, random: &mut impl Rng) -> Self {
        let spellings = spellings(words, random);
        let (nodes, ends) = tree(&spellings);
        let total: f64 = (1..=words).map(|rank| 1.0 / rank as f64).sum();
        let zipf: Vec<f64> = (1..=words).map(|rank| 1.0 / rank as f64 / total).collect();
        let mut probability = Vec::with_capacity(contexts * words);
        let mut mass = Vec::with_capacity(contexts * nodes.len());
        let mut order: Vec<usize> = (0..words).collect();
        for _ in 0..contexts {
            shuffle(&mut order, random);
            let start = probability.len();
            probability.extend(zipf.iter().map(|p| (1.0 - OWN_SHARE) * p));
            for (rank, word) in order.iter().enumerate() {
                probability[start + word] += OWN_SHARE * zipf[rank];
            }
            let start_of_nodes = mass.len();
            mass.resize(start_of_nodes + nodes.len(), 0.0);
            for (word, end) in ends.iter().enumerate() {
                mass[start_of_nodes + end] += probability[start + word];
            }
            // Children come after their parents.
            for (i, node) in nodes.iter().enumerate().rev() {
                let from = start_of_nodes + usize::from(node.first_child);
                let below: f64 = mass[from..from + usize::from(node.children)].iter().sum();
                mass[start_of_nodes + i] += below;
            }
        }
        Self { nodes, spellings, words, mass, probability }
    }

    /// Letters of a word.
    pub(super) fn spelling(&self, word: u16) -> &[u8] {
        &self.spellings[usize::from(word)]
    }

    /// Passes the letters that may follow `node` to `visit`, each with the node it leads to and `share` × its probability,
    /// then the end of the word (no node), until `visit` says that it has enough.
    #[inline]
    pub(super) fn options(
        &self,
        context: u16,
        node: u16,
        share: f64,
        mut visit: impl FnMut(Option<u8>, f64) -> bool,
    ) -> bool {
        let at = self.nodes[usize::from(node)];
        let start = usize::from(context) * self.nodes.len();
        let scale = share / self.mass[start + usize::from(node)];
        let first = usize::from(at.first_child);
        let children = first..first + usize::from(at.children);
        let mass = &self.mass[start + children.start..start + children.end];
        for (child, mass) in self.nodes[children].iter().zip(mass) {
            if visit(Some(child.letter), mass * scale) {
                return true;
            }
        }
        match at.word {
            Some(word) => {
                visit(None, self.probability[usize::from(context) * self.words + usize::from(word)] * scale)
            }
            None => false,
        }
    }

    /// The node that a letter leads to.
    #[inline]
    pub(super) fn child(&self, node: u16, letter: u8) -> Option<u16> {
        let at = self.nodes[usize::from(node)];
        (at.first_child..at.first_child + at.children)
            .find(|child| self.nodes[usize::from(*child)].letter == letter)
    }
}

/// Fisher and Yates.
fn shuffle(order: &mut [usize], random: &mut impl Rng) {
    for i in (1..order.len()).rev() {
        order.swap(i, random.random_range(0..=i as u64) as usize);
    }
}

/// Distinct spellings; those of early words are short.
fn spellings(words: usize, random: &mut impl Rng) -> Vec<Vec<u8>> {
    let mut known = BTreeSet::new();
    (0..words)
        .map(|rank| {
            let shortest = match rank {
                0..24 => 1,
                24..300 => 2,
                _ => 3,
            };
            let mut tries = 0;
            loop {
                let length = shortest + u64::from(random.random_bool(0.5)) + tries / 32;
                // Early letters are more frequent than late ones: the smaller of two uniform draws.
                let word: Vec<u8> = (0..length)
                    .map(|_| random.random_range(0..LETTERS).min(random.random_range(0..LETTERS)) as u8)
                    .collect();
                if known.insert(word.clone()) {
                    return word;
                }
                tries += 1;
            }
        })
        .collect()
}

/// The tree of spellings, parents before children and siblings side by side, and the node where each word ends.
fn tree(spellings: &[Vec<u8>]) -> (Vec<Node>, Vec<usize>) {
    let mut nodes = vec![Node { first_child: 0, children: 0, letter: 0, word: None }];
    let mut ends = vec![0; spellings.len()];
    let mut level: Vec<(usize, Vec<usize>)> = vec![(0, (0..spellings.len()).collect())];
    for length in 0.. {
        let mut next = Vec::new();
        for (node, words) in level {
            let mut groups: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
            for word in words {
                match spellings[word].get(length) {
                    Some(letter) => groups.entry(*letter).or_default().push(word),
                    None => {
                        nodes[node].word = Some(word as u16);
                        ends[word] = node;
                    }
                }
            }
            nodes[node].first_child = nodes.len() as u16;
            nodes[node].children = groups.len() as u16;
            for (letter, words) in groups {
                next.push((nodes.len(), words));
                nodes.push(Node { first_child: 0, children: 0, letter, word: None });
            }
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    (nodes, ends)
}

//! Records of a file that grows, held thinned: what stands once stays, and of rows of the same names the first, the last, and an even choice of blocks.

use super::{BLOCK, FIRST, HELD, LAST, holds};
use lehr_io::MapOverrides;
use lehr_io::import::framed::{Broken, FramedTail, Record};
use std::collections::{BTreeMap, VecDeque};

/// Kinds of rows that are thinned apart; of more than that, the further ones are thinned together.
const KINDS: usize = 64;

/// Bytes that holding a record takes besides its own: its place, and the frame around it in the file that is read.
const BESIDES: usize = 64;

/// The records of one file.
#[derive(Debug)]
pub(super) struct Records {
    tail: FramedTail,
    /// Records so far.
    seen: u64,
    kept: BTreeMap<u64, Kept>,
    kinds: BTreeMap<u64, Kind>,
    bytes: usize,
    /// Bytes from which on the records are thinned.
    most: usize,
    /// Whether the file has a fault behind what was read.
    broken: bool,
}

#[derive(Debug)]
struct Kept {
    /// Kind, and number within it.
    row: Option<(u64, u64)>,
    bytes: Box<[u8]>,
}

/// Rows of the same names.
#[derive(Debug, Default)]
struct Kind {
    seen: u64,
    stride: u64,
    bytes: usize,
    last: VecDeque<(u64, Vec<u8>)>,
}

impl Records {
    /// The records of a file at its beginning, if its first bytes are those of one.
    pub(super) fn of(name: &str, head: &[u8], map: &MapOverrides) -> Option<Self> {
        let tail = FramedTail::of(name, head, map)?;
        let (kept, kinds) = (BTreeMap::new(), BTreeMap::new());
        Some(Self { tail, seen: 0, kept, kinds, bytes: 0, most: HELD, broken: false })
    }

    /// The place of the first byte that is wanted next.
    pub(super) fn at(&self) -> u64 {
        self.tail.at()
    }

    /// Takes bytes that begin at [`Self::at`]: how many of them are done with.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut found = Vec::new();
        let taken = self.tail.take(bytes, &mut |record| found.push(record));
        found.into_iter().for_each(|record| self.push(record));
        self.broken = taken.is_err();
        taken
    }

    /// What is held, as a file of the same format; `None` where the file has a fault, which the reader of the whole file tells.
    pub(super) fn file(&self) -> Option<Vec<u8>> {
        if self.broken {
            return None;
        }
        let mut all: BTreeMap<u64, &[u8]> = self.kept.iter().map(|(n, kept)| (*n, &kept.bytes[..])).collect();
        for kind in self.kinds.values() {
            all.extend(kind.last.iter().map(|(n, bytes)| (*n, &bytes[..])));
        }
        Some(self.tail.join(all.into_values()))
    }

    fn push(&mut self, Record { kind, bytes }: Record) {
        let number = self.seen;
        self.seen += 1;
        let Some(mut kind) = kind else {
            self.bytes += bytes.len() + BESIDES;
            self.kept.insert(number, Kept { row: None, bytes: bytes.into() });
            return;
        };
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind) {
            kind = 0;
        }
        let of_kind = self.kinds.entry(kind).or_default();
        let row = of_kind.seen;
        of_kind.seen += 1;
        if holds(row, of_kind.stride) {
            of_kind.bytes += bytes.len() + BESIDES;
            self.bytes += bytes.len() + BESIDES;
            self.kept.insert(number, Kept { row: Some((kind, row)), bytes: bytes.clone().into() });
        }
        if of_kind.last.len() >= LAST {
            of_kind.last.pop_front();
        }
        of_kind.last.push_back((number, bytes));
        if self.bytes > self.most {
            self.thin();
        }
    }

    /// Halves the kind that takes the most, until what is held is small enough or nothing more can go.
    fn thin(&mut self) {
        while self.bytes > HELD {
            let long = self.kinds.iter_mut().filter(|(_, kind)| kind.seen > FIRST + kind.stride * BLOCK);
            let Some((&name, kind)) = long.max_by_key(|(_, kind)| kind.bytes) else { break };
            kind.stride = kind.stride.max(1) * 2;
            let stride = kind.stride;
            let mut gone = 0;
            self.kept.retain(|_, kept| {
                let stays = kept.row.is_none_or(|(of, row)| of != name || holds(row, stride));
                gone += if stays { 0 } else { kept.bytes.len() + BESIDES };
                stays
            });
            kind.bytes -= gone;
            self.bytes -= gone;
        }
        // Where even the first and the last are too large, there is no use in trying at every record.
        self.most = HELD.max(self.bytes + self.bytes / 2);
    }
}

//! Lines out of a large buffer, without a copy of each.

use super::LONGEST_LINE;
use std::io::{self, Cursor, Read};

/// Reads lines; knows whether quotes or lone carriage returns make a line something else than a row.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// The part of the buffer that is still to come.
    start: usize,
    end: usize,
    /// Number of the next line, from 1.
    number: u64,
    ended: bool,
    /// Whether a quote or carriage return was read so far: then each line is looked at.
    special: bool,
}

/// One line.
pub(super) struct Line<'a> {
    /// Without its end.
    pub(super) bytes: &'a [u8],
    /// From 1.
    pub(super) number: u64,
    /// Whether it has an end.
    pub(super) complete: bool,
}

/// What comes next.
pub(super) enum Next<'a> {
    Line(Line<'a>),
    /// A line with quotes or carriage returns inside; it is still to come.
    Special,
    End,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; 1 << 18], start: 0, end: 0, number: 1, ended: false, special: false }
    }

    /// The next line that is not empty.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        loop {
            let mut looked = 0;
            let length = loop {
                let held = &self.buffer[self.start..self.end];
                if let Some(at) = memchr::memchr(b'\n', &held[looked..]) {
                    break Some(looked + at);
                }
                looked = held.len();
                if self.ended {
                    break None;
                }
                if looked > LONGEST_LINE {
                    return Err(super::too_long());
                }
                self.fill()?;
            };
            let complete = length.is_some();
            let (from, to) = (self.start, length.map_or(self.end, |length| self.start + length));
            if from == to && !complete {
                return Ok(Next::End);
            }
            let mut line = &self.buffer[from..to];
            if self.special {
                line = line.strip_suffix(b"\r").unwrap_or(line);
                if memchr::memchr2(b'"', b'\r', line).is_some() {
                    return Ok(Next::Special);
                }
            }
            let shown = line.len();
            self.start = to + usize::from(complete);
            self.number += 1;
            if shown > 0 {
                let bytes = &self.buffer[from..from + shown];
                return Ok(Next::Line(Line { bytes, number: self.number - 1, complete }));
            }
        }
    }

    /// Lines that were read so far.
    pub(super) fn done(&self) -> u64 {
        self.number - 1
    }

    /// What is still to come, as bytes.
    pub(super) fn rest(self) -> impl Read {
        let Self { reader, mut buffer, start, end, .. } = self;
        buffer.truncate(end);
        let mut held = Cursor::new(buffer);
        held.set_position(start as u64);
        held.chain(reader)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let read = self.reader.read(&mut self.buffer[self.end..])?;
        self.ended = read == 0;
        self.special =
            self.special || memchr::memchr2(b'"', b'\r', &self.buffer[self.end..self.end + read]).is_some();
        self.end += read;
        Ok(())
    }
}

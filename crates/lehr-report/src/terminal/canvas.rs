//! A grid of character cells, each with 2 × 4 braille dots.

use crate::style::Ink;
use crate::text::to_ascii;
use unicode_width::UnicodeWidthChar;

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// A character; '\0' where dots decide, '\u{1}' where the cell belongs to the wide character at its left.
    text: char,
    dots: u8,
    ink: Ink,
    /// How important the dots' ink is: the line of the forecast wins over the band.
    rank: u8,
}

const EMPTY: Cell = Cell { text: '\0', dots: 0, ink: Ink::Measured, rank: 0 };

/// Bits of the braille dots by row and column.
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// A drawing of characters.
#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    pub width: usize,
    pub height: usize,
    cells: Vec<Cell>,
}

/// The sign of a line of this ink where there are no braille dots.
pub(crate) fn ascii_sign(ink: Ink) -> char {
    match ink {
        Ink::Main => '*',
        Ink::Faint => '.',
        Ink::Rival(i) => ['+', 'x', '=', '%', '@'][i % 5],
        _ => '-',
    }
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, cells: vec![EMPTY; width * height] }
    }

    /// Joins canvases of the same height, `gap` columns apart.
    pub(crate) fn beside(parts: &[Self], gap: usize) -> Self {
        let width = parts.iter().map(|part| part.width).sum::<usize>() + gap * parts.len().saturating_sub(1);
        let height = parts.iter().map(|part| part.height).max().unwrap_or(0);
        let mut joined = Self::new(width, height);
        let mut left = 0;
        for part in parts {
            for y in 0..part.height {
                for x in 0..part.width {
                    joined.cells[y * width + left + x] = part.cells[y * part.width + x];
                }
            }
            left += part.width + gap;
        }
        joined
    }

    /// Sets one braille dot; `x` counts half cells, `y` quarter cells.
    pub(crate) fn dot(&mut self, x: i64, y: i64, ink: Ink, rank: u8) {
        if x < 0 || y < 0 || x as usize >= self.width * 2 || y as usize >= self.height * 4 {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        let cell = &mut self.cells[y / 4 * self.width + x / 2];
        if cell.text != '\0' {
            return;
        }
        // Spans, bands and faint lines (ranks 0, 1, 2) give way: a line must stay a line.
        if rank > cell.rank && cell.rank <= 2 {
            cell.dots = 0;
        } else if rank <= 2 && cell.rank > 2 {
            return;
        }
        cell.dots |= BITS[y % 4][x % 2];
        if rank >= cell.rank {
            cell.rank = rank;
            cell.ink = ink;
        }
    }

    /// Writes one character into a cell, over its dots.
    pub(crate) fn put(&mut self, x: usize, y: usize, c: char, ink: Ink) {
        if x < self.width && y < self.height {
            self.cells[y * self.width + x] = Cell { text: c, dots: 0, ink, rank: 9 };
        }
    }

    /// Whether nothing was drawn into the cell.
    pub(crate) fn is_free(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.height && {
            let cell = self.cells[y * self.width + x];
            cell.text == '\0' && cell.dots == 0
        }
    }

    /// Whether the cell is free or holds only the sparse dots of a span.
    pub(crate) fn is_background(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.height && {
            let cell = self.cells[y * self.width + x];
            cell.text == '\0' && (cell.dots == 0 || cell.rank == 0)
        }
    }

    /// Writes a text from `x` on; what does not fit is cut.
    pub(crate) fn text(&mut self, x: usize, y: usize, text: &str, ink: Ink) {
        let mut at = x;
        for c in text.chars() {
            let wide = c.width().unwrap_or(0);
            if wide == 0 || at + wide > self.width {
                continue;
            }
            self.put(at, y, c, ink);
            if wide == 2 {
                self.put(at + 1, y, '\u{1}', ink);
            }
            at += wide;
        }
    }

    /// Appends the lines, without trailing spaces.
    pub(crate) fn write(&self, out: &mut String, colour: bool, ascii: bool) {
        for y in 0..self.height {
            let row = &self.cells[y * self.width..(y + 1) * self.width];
            let end = row
                .iter()
                .rposition(|cell| !matches!((cell.text, cell.dots), ('\0' | ' ', 0)))
                .map_or(0, |i| i + 1);
            let mut code = "";
            for cell in &row[..end] {
                let c = match (cell.text, cell.dots) {
                    ('\u{1}', _) => continue,
                    ('\0', 0) => ' ',
                    ('\0', dots) if ascii => {
                        if cell.rank <= 1 {
                            if dots == 0 {
                                ' '
                            } else if cell.rank == 1 {
                                ':'
                            } else {
                                '.'
                            }
                        } else {
                            ascii_sign(cell.ink)
                        }
                    }
                    ('\0', dots) => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '),
                    (text, _) => text,
                };
                if colour && c != ' ' && cell.ink.ansi() != code {
                    if !code.is_empty() {
                        out.push_str("\u{1b}[0m");
                    }
                    code = cell.ink.ansi();
                    if !code.is_empty() {
                        out.push_str(&format!("\u{1b}[{code}m"));
                    }
                }
                if ascii && !c.is_ascii() { out.push_str(&to_ascii(&c.to_string())) } else { out.push(c) }
            }
            if !code.is_empty() {
                out.push_str("\u{1b}[0m");
            }
            out.push('\n');
        }
    }
}

//! Draws a figure as SVG.

mod layout;
mod panel;

use crate::figure::Figure;
use crate::labels::Rect;
use crate::style::{Ink, PictureStyle, Theme, background};
use crate::text::{escape, wrap};
use layout::Layout;
use std::fmt::Write;

/// The fonts an SVG asks for, in order. The PNG always has the first.
const FONTS: &str = "'DejaVu Sans Condensed', 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif";

pub(crate) const TITLE: f64 = 15.0;
pub(crate) const SUBTITLE: f64 = 12.0;
pub(crate) const LABEL: f64 = 11.5;
pub(crate) const TICK: f64 = 11.0;
pub(crate) const CAPTION: f64 = 11.0;
/// Titles of small panels.
pub(crate) const PANEL: f64 = 9.5;
pub(crate) const MARGIN: f64 = 16.0;
/// Line height as a multiple of the font size.
pub(crate) const LEADING: f64 = 1.32;

/// Draws the figure.
pub(crate) fn draw(figure: &Figure, style: &PictureStyle) -> String {
    draw_with_frames(figure, style).0
}

/// Draws the figure; also says where the panels are, row by row.
pub(crate) fn draw_with_frames(figure: &Figure, style: &PictureStyle) -> (String, Vec<Vec<Rect>>) {
    let style = style.at_least_readable();
    let mut pen = Pen { out: String::new(), theme: style.theme };
    let (width, height) = (style.width, style.height);
    let _ = write!(
        pen.out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
         aria-label=\"{label}\" font-family=\"{FONTS}\">\n{title}<desc>{description}</desc>\n",
        w = number(width),
        h = number(height),
        label = escape(&figure.title),
        // A browser shows a title as a hint over the whole drawing: in a page values are shown there.
        title = if style.theme == Theme::Page {
            String::new()
        } else {
            format!("<title>{}</title>\n", escape(&figure.title))
        },
        description = escape(&figure.description),
    );
    if style.theme != Theme::Page {
        let (w, h) = (number(width), number(height));
        let _ =
            writeln!(pen.out, "<rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>", background(style.theme));
    }
    let room = width - 2.0 * MARGIN;
    // A page writes title, subtitle and caption itself.
    let page = style.theme == Theme::Page;
    let mut y = if page { 0.0 } else { MARGIN - 2.0 };
    for line in wrap(if page { "" } else { &figure.title }, TITLE, true, room) {
        y += TITLE * LEADING;
        pen.text(MARGIN, y - 4.0, &line, TITLE, Ink::Text, Anchor::Start, true, "title");
    }
    if let Some(subtitle) = figure.subtitle.as_ref().filter(|_| !page) {
        for line in wrap(subtitle, SUBTITLE, false, room) {
            y += SUBTITLE * LEADING;
            pen.text(MARGIN, y - 3.0, &line, SUBTITLE, Ink::Muted, Anchor::Start, false, "subtitle");
        }
    }
    let caption =
        figure.caption.as_ref().filter(|_| !page).map_or(Vec::new(), |text| wrap(text, CAPTION, false, room));
    let bottom = height - MARGIN + 4.0 - caption.len() as f64 * CAPTION * LEADING;
    for (i, line) in caption.iter().enumerate() {
        let line_y = bottom + (i as f64 + 0.85) * CAPTION * LEADING;
        pen.text(MARGIN, line_y, line, CAPTION, Ink::Muted, Anchor::Start, false, "caption");
    }
    let gap = if caption.is_empty() { 2.0 } else { 7.0 };
    let layout = Layout::new(figure, width, y + 8.0, bottom - gap);
    for (row, frames) in figure.rows.iter().zip(&layout.rows) {
        for (panel, frame) in row.panels.iter().zip(frames) {
            panel::draw(&mut pen, panel, frame, width);
        }
    }
    pen.out.push_str("</svg>\n");
    let frames = layout.rows.iter().map(|row| row.iter().map(|frame| frame.inner).collect()).collect();
    (pen.out, frames)
}

/// Which end of a text stands at its x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Writes SVG elements.
pub(crate) struct Pen {
    out: String,
    pub theme: Theme,
}

impl Pen {
    pub(crate) fn raw(&mut self, element: &str) {
        self.out.push_str(element);
        self.out.push('\n');
    }

    #[expect(clippy::too_many_arguments, reason = "the attributes of one text element")]
    pub(crate) fn text(
        &mut self,
        x: f64,
        y: f64,
        text: &str,
        size: f64,
        ink: Ink,
        anchor: Anchor,
        bold: bool,
        class: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        // A halo in the colour of the background keeps labels readable where they cross a line.
        let halo = if class == "label" {
            format!(
                " stroke=\"{}\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
                background(self.theme)
            )
        } else {
            String::new()
        };
        let _ = writeln!(
            self.out,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{anchor}{weight}{halo}>{}</text>",
            number(x),
            number(y),
            number(size),
            ink.text(self.theme),
            escape(text),
        );
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let _ = writeln!(
            self.out,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" stroke-width=\"{}\"{dash}/>",
            number(from.0),
            number(from.1),
            number(to.0),
            number(to.1),
            ink.mark(self.theme),
            number(width),
        );
    }
}

/// A coordinate with at most two decimals.
pub(crate) fn number(value: f64) -> String {
    let mut out = String::with_capacity(8);
    push_number(&mut out, value);
    out
}

/// Appends a coordinate with at most two decimals. A drawing has ten thousand of them: whole hundredths are quicker written
/// than exact decimals rounded.
fn push_number(out: &mut String, value: f64) {
    let hundredths = (value * 100.0).round_ties_even();
    // Writing to a string cannot fail.
    if hundredths.abs() >= 1e15 || hundredths.is_nan() {
        let _ = write!(out, "{value:.0}");
        return;
    }
    let hundredths = hundredths as i64;
    if hundredths < 0 {
        out.push('-');
    }
    let (whole, rest) = (hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100);
    let mut digits = [0; 20];
    let (mut at, mut left) = (digits.len(), whole);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|&digit| char::from(digit)));
    if rest > 0 {
        out.push('.');
        out.push(char::from(b'0' + (rest / 10) as u8));
        if rest % 10 > 0 {
            out.push(char::from(b'0' + (rest % 10) as u8));
        }
    }
}

/// The coordinates of a path.
pub(crate) fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(14 * points.len());
    for &(x, y) in points {
        if !out.is_empty() {
            out.push(' ');
        }
        push_number(&mut out, x);
        out.push(',');
        push_number(&mut out, y);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{number, path};
    use proptest::prelude::*;

    #[test]
    fn a_coordinate_has_two_decimals_at_most() {
        let cases = [
            (0.0, "0"),
            (-0.001, "0"),
            (-1.5, "-1.5"),
            (12.345_6, "12.35"),
            (100.0, "100"),
            (-0.04, "-0.04"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(1e18), "1000000000000000000");
        assert_eq!(path(&[(1.0, 2.25), (3.005, -4.0)]), "1,2.25 3,-4");
    }

    proptest! {
        #[test]
        fn a_coordinate_reads_as_its_exact_decimals_rounded(value in -2000.0_f64..2000.0) {
            let exact = format!("{value:.2}");
            let exact = exact.trim_end_matches('0').trim_end_matches('.');
            prop_assert_eq!(number(value), if exact == "-0" { "0" } else { exact });
        }
    }
}

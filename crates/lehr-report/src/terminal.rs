//! Draws a figure with characters: braille dots where the terminal has Unicode, plain signs where it has not.

mod canvas;
mod panel;

use crate::figure::{Figure, Panel, Row, Sign};
use crate::style::{Ink, TerminalStyle};
use crate::text::{clean, to_ascii, wrap_columns};
use canvas::Canvas;
use unicode_width::UnicodeWidthStr;

/// Draws the figure; every line ends with `\n` and is no wider than the terminal.
pub(crate) fn draw(figure: &Figure, style: &TerminalStyle) -> String {
    let style = TerminalStyle { width: style.width.max(40), height: style.height.max(14), ..*style };
    let text = |text: &str| if style.ascii { to_ascii(&clean(text)) } else { clean(text) };
    let mut head = Vec::new();
    for line in wrap_columns(&text(&figure.title), style.width) {
        head.push(vec![(line, Ink::Text)]);
    }
    if let Some(subtitle) = &figure.subtitle {
        for line in wrap_columns(&text(subtitle), style.width) {
            head.push(vec![(line, Ink::Muted)]);
        }
    }
    head.extend(legend(figure, &style, &text));
    let caption =
        figure.caption.as_ref().map_or(Vec::new(), |caption| wrap_columns(&text(caption), style.width));
    let room = style.height.saturating_sub(head.len() + caption.len()).max(8);
    let (rows, left_out) = regroup(figure, &style, room);
    let mut body: Vec<Canvas> = Vec::new();
    let fixed: usize = rows.iter().map(row_overhead).sum();
    let weights: f64 = rows.iter().map(|row| row.weight).sum();
    let free = room.saturating_sub(fixed + usize::from(left_out > 0)).max(3 * rows.len());
    let mut weight_above = 0.0;
    for row in &rows {
        let line = |weight: f64| (free as f64 * weight / weights + 1e-9).floor() as usize;
        let height = (line(weight_above + row.weight) - line(weight_above)).max(3);
        weight_above += row.weight;
        let n = row.columns.max(1);
        let columns = (style.width - (n - 1)) / n;
        let names = row.panels.iter().map(|panel| panel.y.names.len()).max().unwrap_or(0);
        let height = if names > 0 { height.min(2 * names + 1).max(names) } else { height };
        let blocks: Vec<Canvas> = row
            .panels
            .iter()
            .enumerate()
            .map(|(i, panel)| {
                // Panels above each other share their margins: the same x must stand in the same column.
                let column = rows.iter().filter(|other| other.columns == row.columns);
                let margins = column
                    .filter_map(|other| other.panels.get(i))
                    .map(|panel| panel::margins(panel, columns, style.ascii))
                    .fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
                panel::draw(panel, columns, height, margins, (row_head(row), row_foot(row)), style.ascii)
            })
            .collect();
        body.push(Canvas::beside(&blocks, 1));
    }
    let mut out = String::new();
    for line in head {
        push_spans(&mut out, &line, style.colour);
    }
    for canvas in body {
        canvas.write(&mut out, style.colour, style.ascii);
    }
    if left_out > 0 {
        let note = format!("({left_out} more panels have no room here: enlarge the terminal or draw an SVG)");
        for line in wrap_columns(&note, style.width) {
            push_spans(&mut out, &[(line, Ink::Muted)], style.colour);
        }
    }
    for line in caption {
        push_spans(&mut out, &[(line, Ink::Muted)], style.colour);
    }
    out
}

fn legend(figure: &Figure, style: &TerminalStyle, text: &dyn Fn(&str) -> String) -> Vec<Vec<(String, Ink)>> {
    let mut lines: Vec<Vec<(String, Ink)>> = Vec::new();
    let mut used = 0;
    for (sign, ink, name) in &figure.legend {
        let mark = match (sign, style.ascii) {
            (Sign::Points, true) => "o".to_owned(),
            (Sign::Points, false) => "•".to_owned(),
            (Sign::Band, true) => ":".to_owned(),
            (Sign::Band, false) => "⢕".to_owned(),
            (Sign::Line, true) => canvas::ascii_sign(*ink).to_string(),
            (Sign::Line, false) if *ink == Ink::Faint => "⠒".to_owned(),
            (Sign::Line, false) if matches!(ink, Ink::Rival(_)) => "╌".to_owned(),
            (Sign::Line, false) => "━".to_owned(),
        };
        let name = text(name);
        let wide = name.width() + 4;
        if lines.is_empty() || used + wide > style.width {
            lines.push(Vec::new());
            used = 0;
        }
        used += wide;
        if let Some(line) = lines.last_mut() {
            line.push((mark, *ink));
            let name: String =
                wrap_columns(&name, style.width.saturating_sub(4)).into_iter().next().unwrap_or_default();
            line.push((format!(" {name}  "), Ink::Measured));
        }
    }
    lines
}

fn push_spans(out: &mut String, spans: &[(String, Ink)], colour: bool) {
    let mut line = String::new();
    for (i, (text, ink)) in spans.iter().enumerate() {
        let text = if i + 1 == spans.len() { text.trim_end() } else { text };
        let code = ink.ansi();
        if colour && !code.is_empty() {
            line += &format!("\u{1b}[{code}m{text}\u{1b}[0m");
        } else {
            line += text;
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn row_head(row: &Row) -> usize {
    row.panels
        .iter()
        .map(|panel| usize::from(panel.title.is_some()) + usize::from(!panel.y.title.is_empty()))
        .max()
        .unwrap_or(0)
}

fn row_foot(row: &Row) -> usize {
    row.panels
        .iter()
        .map(|panel| if panel.x.shown { 2 + usize::from(!panel.x.title.is_empty()) } else { 1 })
        .max()
        .unwrap_or(1)
}

fn row_overhead(row: &Row) -> usize {
    row_head(row) + row_foot(row)
}

/// Least columns and lines of a panel that still shows something.
const LEAST: (usize, usize) = (30, 8);

/// Rearranges panels so that each has room; returns how many had to be left out.
fn regroup(figure: &Figure, style: &TerminalStyle, room: usize) -> (Vec<Row>, usize) {
    let columns = (style.width / LEAST.0).max(1);
    let widest = figure.rows.iter().map(|row| row.panels.len()).max().unwrap_or(0);
    if !figure.panels_by_importance && widest <= columns {
        return (figure.rows.clone(), 0);
    }
    let panels: Vec<&Panel> = figure.rows.iter().flat_map(|row| &row.panels).collect();
    let columns = columns.min(panels.len()).max(1);
    let most_rows = if figure.panels_by_importance { (room / LEAST.1).max(1) } else { panels.len() };
    let shown = panels.len().min(columns * most_rows);
    let shared = figure.panels_by_importance;
    let rows = panels[..shown]
        .chunks(columns)
        .enumerate()
        .map(|(r, chunk)| {
            let panels = chunk
                .iter()
                .enumerate()
                .map(|(c, panel)| {
                    let mut panel = (*panel).clone();
                    if shared {
                        panel.x.shown = (r + 1) * columns + c >= shown;
                        panel.y.shown = c == 0;
                    }
                    panel
                })
                .collect();
            Row { weight: 1.0, columns, panels }
        })
        .collect();
    (rows, panels.len() - shown)
}

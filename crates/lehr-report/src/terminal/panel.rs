//! Draws one panel with characters.

use super::canvas::Canvas;
use crate::figure::{Label, Mark, Panel, Place, value_at};
use crate::geometry::{clip, decimate};
use crate::labels::{Placer, Rect, spread};
use crate::style::Ink;
use crate::text::{clean, shorten_apart, to_ascii};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A cell's size in the px of the label placement: cells are about twice as high as wide.
const CELL: (f64, f64) = (6.0, 12.0);

/// The mapping from data to half and quarter cells of the plot.
struct View<'a> {
    panel: &'a Panel,
    /// Plot area in cells.
    left: usize,
    top: usize,
    columns: usize,
    lines: usize,
    ascii: bool,
}

impl View<'_> {
    fn x(&self, value: f64) -> Option<f64> {
        self.panel.x.place(value).map(|share| share * (self.columns as f64 * 2.0 - 1.0))
    }

    fn y(&self, value: f64) -> Option<f64> {
        self.panel.y.place(value).map(|share| (1.0 - share) * (self.lines as f64 * 4.0 - 1.0))
    }

    fn rect(&self) -> Rect {
        Rect { x0: 0.0, y0: 0.0, x1: self.columns as f64 * 2.0 - 1.0, y1: self.lines as f64 * 4.0 - 1.0 }
    }

    fn points(&self, xs: &[f64], ys: &[f64]) -> Vec<(f64, f64)> {
        xs.iter().zip(ys).filter_map(|(&x, &y)| Some((self.x(x)?, self.y(y)?))).collect()
    }

    /// The cell of a position in dots, in the whole canvas.
    fn cell(&self, x: f64, y: f64) -> (usize, usize) {
        let column = (x / 2.0).floor().clamp(0.0, self.columns as f64 - 1.0) as usize;
        let line = (y / 4.0).floor().clamp(0.0, self.lines as f64 - 1.0) as usize;
        (self.left + column, self.top + line)
    }

    fn text(&self, text: &str) -> String {
        if self.ascii { to_ascii(&clean(text)) } else { clean(text) }
    }

    fn dot(&self, canvas: &mut Canvas, x: f64, y: f64, ink: Ink, rank: u8) {
        let (x, y) = (x.round() as i64, y.round() as i64);
        canvas.dot(x + self.left as i64 * 2, y + self.top as i64 * 4, ink, rank);
    }
}

/// Columns that the values at the left and the labels at the right of a panel take.
pub(crate) fn margins(panel: &Panel, width: usize, ascii: bool) -> (usize, usize) {
    let write = |text: &str| if ascii { to_ascii(&clean(text)) } else { clean(text) };
    let values = if panel.y.shown {
        let (_, labels) = panel.y.ticks(8);
        labels.iter().map(|label| write(label).width().min(width / 3)).max().unwrap_or(0) + 2
    } else {
        1
    };
    let ends = panel.labels.iter().filter(|label| label.place == Place::End);
    let most = ends.flat_map(|label| label.lines.iter().map(|line| write(line).width())).max();
    let ends = if width < 60 { 0 } else { most.map_or(0, |most| most.min(width * 3 / 10) + 2) };
    (values, ends)
}

/// Draws a panel into `width` columns with a plot of `lines` lines, `head` lines above and `foot` below it.
pub(crate) fn draw(
    panel: &Panel,
    width: usize,
    lines: usize,
    (left, end_width): (usize, usize),
    (head, foot): (usize, usize),
    ascii: bool,
) -> Canvas {
    let mut canvas = Canvas::new(width, head + lines + foot);
    let (y_ticks, y_labels) = panel.y.ticks((lines / 3).clamp(3, 8));
    let columns = width.saturating_sub(left + end_width).max(8).min(width.saturating_sub(left));
    let view = View { panel, left, top: head, columns, lines, ascii };
    let write = |text: &str| view.text(text);
    let fit = |text: &str, most: usize| fit(text, most, ascii);
    let y_labels: Vec<String> = y_labels.iter().map(|label| write(label)).collect();
    let y_labels = shorten_apart(&y_labels, (width / 3) as f64, if ascii { '~' } else { '…' }, &|text| {
        text.width() as f64
    });
    let ends: Vec<&Label> = panel.labels.iter().filter(|label| label.place == Place::End).collect();
    if let Some(title) = &panel.title {
        canvas.text(left, head - 1, &fit(&write(title), width - left), Ink::Text);
    }
    if !panel.y.title.is_empty() {
        canvas.text(0, 0, &fit(&write(&panel.y.title), width), Ink::Muted);
    }
    axes(&mut canvas, &view, &y_ticks.values, &y_labels);
    marks(&mut canvas, &view);
    labels(&mut canvas, &view);
    if end_width > 0 {
        end_labels(&mut canvas, &view, &ends, end_width - 2);
    }
    canvas
}

/// Cuts a text to a number of columns.
fn fit(text: &str, most: usize, ascii: bool) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > most {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push(if ascii { '~' } else { '…' });
    out
}

fn axes(canvas: &mut Canvas, view: &View, y_values: &[f64], y_labels: &[String]) {
    let (bar, dash, corner, up, right) =
        if view.ascii { ('|', '-', '+', '+', '+') } else { ('│', '─', '└', '┴', '┤') };
    let axis = view.left - 1;
    let bottom = view.top + view.lines;
    for line in view.top..bottom {
        canvas.put(axis, line, bar, Ink::Muted);
    }
    for column in 0..view.columns {
        canvas.put(view.left + column, bottom, dash, Ink::Muted);
    }
    canvas.put(axis, bottom, corner, Ink::Muted);
    if view.panel.y.shown {
        let mut last = usize::MAX;
        for (&value, label) in y_values.iter().zip(y_labels) {
            let Some(y) = view.y(value) else { continue };
            let (_, line) = view.cell(0.0, y);
            if line == last {
                continue;
            }
            last = line;
            canvas.put(axis, line, right, Ink::Muted);
            canvas.text(axis.saturating_sub(label.width() + 1), line, label, Ink::Muted);
        }
    }
    let (ticks, labels) = view.panel.x.ticks((view.columns / 9).clamp(2, 9));
    let mut free = 0;
    for (&value, label) in ticks.values.iter().zip(&labels) {
        let Some(x) = view.x(value) else { continue };
        let (column, _) = view.cell(x, 0.0);
        canvas.put(column, bottom, up, Ink::Muted);
        if view.panel.x.shown {
            let label = view.text(label);
            let wide = label.width();
            let start = column.saturating_sub(wide / 2).min(canvas.width.saturating_sub(wide));
            if start >= free {
                canvas.text(start, bottom + 1, &label, Ink::Muted);
                free = start + wide + 1;
            }
        }
    }
    if view.panel.x.shown && !view.panel.x.title.is_empty() {
        let title = fit(&view.text(&view.panel.x.title), view.columns, view.ascii);
        let start = view.left + (view.columns.saturating_sub(title.width())) / 2;
        canvas.text(start, bottom + 2, &title, Ink::Muted);
    }
}

fn marks(canvas: &mut Canvas, view: &View) {
    let rect = view.rect();
    for mark in &view.panel.marks {
        match mark {
            Mark::Span { from, to, ink } => {
                let (Some(from), Some(to)) = (view.x(*from), view.x(*to)) else { continue };
                let (from, to) = (from.max(0.0).round() as i64, to.min(rect.x1).round() as i64);
                for x in from..=to {
                    for y in 0..=rect.y1 as i64 {
                        if x % 4 == 0 && y % 4 == 2 {
                            view.dot(canvas, x as f64, y as f64, *ink, 0);
                        }
                    }
                }
            }
            Mark::Band { x, lo, hi, ink } => band(canvas, view, x, lo, hi, *ink),
            Mark::Line { x, y, ink, dashed, .. } => {
                let rank = match ink {
                    Ink::Main => 4,
                    Ink::Faint => 2,
                    _ => 3,
                };
                for part in clip(&decimate(&view.points(x, y), 0.5), &rect) {
                    polyline(canvas, view, &part, *ink, rank, *dashed);
                }
            }
            Mark::Bar { from, to, ink, .. } => {
                let place = |(x, y)| Some((view.x(x)?.clamp(0.0, rect.x1), view.y(y)?.clamp(0.0, rect.y1)));
                if let (Some(a), Some(b)) = (place(*from), place(*to)) {
                    polyline(canvas, view, &[a, b], *ink, 3, false);
                }
            }
            Mark::Points { .. } | Mark::VRule { .. } | Mark::HRule { .. } => {}
        }
    }
    for mark in &view.panel.marks {
        match mark {
            Mark::VRule { x, ink, .. } => {
                let Some(x) = view.x(*x).filter(|x| *x >= 0.0 && *x <= rect.x1) else { continue };
                let (column, _) = view.cell(x, 0.0);
                for line in view.top..view.top + view.lines {
                    if canvas.is_background(column, line) {
                        canvas.put(column, line, if view.ascii { '|' } else { '┊' }, *ink);
                    }
                }
            }
            Mark::HRule { y, ink, .. } => {
                let Some(y) = view.y(*y).filter(|y| *y >= 0.0 && *y <= rect.y1) else { continue };
                let (_, line) = view.cell(0.0, y);
                for column in view.left..view.left + view.columns {
                    if canvas.is_free(column, line) {
                        canvas.put(column, line, if view.ascii { '-' } else { '╌' }, *ink);
                    }
                }
            }
            _ => {}
        }
    }
    for mark in &view.panel.marks {
        let Mark::Points { x, y, ink, solid, .. } = mark else { continue };
        let points: Vec<(f64, f64)> =
            view.points(x, y).into_iter().filter(|point| rect.contains(*point)).collect();
        let mut free = 0.0;
        for (i, &(x, y)) in points.iter().enumerate() {
            // The line below must stay visible between the points of a run.
            if *solid || x >= free || i == 0 {
                let (column, line) = view.cell(x, y);
                let sign = match (view.ascii, solid) {
                    (true, true) => '#',
                    (true, false) => 'o',
                    (false, true) => '●',
                    (false, false) => '•',
                };
                canvas.put(column, line, sign, *ink);
                free = x + 6.0;
            }
        }
    }
}

fn band(canvas: &mut Canvas, view: &View, x: &[f64], lo: &[f64], hi: &[f64], ink: Ink) {
    let rect = view.rect();
    let xs: Vec<f64> = x.iter().filter_map(|&x| view.x(x)).collect();
    let skipped = x.len() - xs.len();
    let at = |ys: &[f64], column: f64| {
        value_at(&xs, ys.get(skipped..).unwrap_or(&[]), column).and_then(|y| view.y(y))
    };
    for column in 0..=rect.x1 as i64 {
        let (Some(low), Some(high)) = (at(lo, column as f64), at(hi, column as f64)) else { continue };
        let (from, to) = (high.max(0.0).round() as i64, low.min(rect.y1).round() as i64);
        for y in from..=to {
            if (column + y) % 2 == 0 {
                view.dot(canvas, column as f64, y as f64, ink, 1);
            }
        }
    }
}

fn polyline(canvas: &mut Canvas, view: &View, points: &[(f64, f64)], ink: Ink, rank: u8, dashed: bool) {
    let mut travelled = 0.0;
    if let [(x, y)] = points {
        view.dot(canvas, *x, *y, ink, rank);
    }
    for pair in points.windows(2) {
        let length = (pair[1].0 - pair[0].0).abs().max((pair[1].1 - pair[0].1).abs());
        let n = length.ceil().max(1.0) as usize;
        for k in 0..=n {
            let share = k as f64 / n as f64;
            let drawn = match ink {
                // Many faint lines must not fill the plot.
                Ink::Faint => k % 2 == 0 && (travelled + share * length) % 4.0 < 2.0,
                _ => !dashed || (travelled + share * length) % 6.0 < 4.0,
            };
            if drawn {
                let x = pair[0].0 + share * (pair[1].0 - pair[0].0);
                let y = pair[0].1 + share * (pair[1].1 - pair[0].1);
                view.dot(canvas, x, y, ink, rank);
            }
        }
        travelled += length;
    }
}

fn labels(canvas: &mut Canvas, view: &View) {
    let bounds = Rect::at(0.0, 0.0, view.columns as f64 * CELL.0, view.lines as f64 * CELL.1);
    let mut dots = Vec::new();
    for line in 0..view.lines {
        for column in 0..view.columns {
            if !canvas.is_background(view.left + column, view.top + line) {
                dots.push(((column as f64 + 0.5) * CELL.0, (line as f64 + 0.5) * CELL.1));
            }
        }
    }
    let mut placer = Placer { bounds, taken: Vec::new(), dots, snap: CELL };
    for place in [Place::Bottom, Place::Top, Place::Near] {
        for label in view.panel.labels.iter().filter(|label| label.place == place) {
            let (Some(x), Some(y)) = (view.x(label.x), view.y(label.y)) else { continue };
            let lines: Vec<String> =
                label.lines.iter().map(|line| fit(&view.text(line), view.columns - 2, view.ascii)).collect();
            let wide = lines.iter().map(|line| line.width()).max().unwrap_or(0);
            let size = (wide as f64 * CELL.0, lines.len() as f64 * CELL.1);
            let (px, py) = (x / 2.0 * CELL.0, y / 4.0 * CELL.1);
            let rect = match place {
                Place::Top => placer.top(px, size, 2.0 * CELL.0),
                Place::Bottom => {
                    let column = (px / CELL.0 - wide as f64 / 2.0).round();
                    let rect = Rect::at(column * CELL.0, bounds.y1 - size.1, size.0, size.1);
                    let free = rect.inside(&bounds) && placer.taken.iter().all(|other| !rect.overlaps(other));
                    let covered = placer.dots.iter().any(|dot| rect.contains(*dot));
                    if free && !covered {
                        placer.taken.push(rect);
                    }
                    (free && !covered).then_some(rect)
                }
                Place::Near | Place::End => placer.near((px, py), size),
            };
            let Some(rect) = rect else { continue };
            let (column, row) = ((rect.x0 / CELL.0).round() as usize, (rect.y0 / CELL.1).round() as usize);
            for (i, line) in lines.iter().enumerate() {
                canvas.text(view.left + column, view.top + row + i, line, label.ink);
            }
        }
    }
}

fn end_labels(canvas: &mut Canvas, view: &View, ends: &[&Label], room: usize) {
    let mut kept: Vec<(&Label, f64)> = Vec::new();
    let mut total = 0;
    for label in ends {
        let Some(y) = view.y(label.y) else { continue };
        if total + label.lines.len() <= view.lines {
            total += label.lines.len();
            kept.push((label, (y / 4.0).clamp(0.0, view.lines as f64)));
        }
    }
    let wanted: Vec<f64> = kept.iter().map(|(_, y)| *y).collect();
    let heights: Vec<f64> = kept.iter().map(|(label, _)| label.lines.len() as f64).collect();
    let centres = spread(&wanted, &heights, 0.0, view.lines as f64);
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|&a, &b| centres[a].total_cmp(&centres[b]));
    let mut free = 0;
    for (rank, &i) in order.iter().enumerate() {
        let below: usize = order[rank..].iter().map(|&k| kept[k].0.lines.len()).sum();
        let wanted = (centres[i] - heights[i] / 2.0).round().max(0.0) as usize;
        let line = wanted.max(free).min(view.lines - below);
        for (k, text) in kept[i].0.lines.iter().enumerate() {
            let text = fit(&view.text(text), room, view.ascii);
            let ink = if k == 0 { kept[i].0.ink } else { Ink::Muted };
            canvas.text(view.left + view.columns + 2, view.top + line + k, &text, ink);
        }
        free = line + kept[i].0.lines.len();
    }
}

//! Draws one panel: grid, marks, axes, labels.

use super::layout::{Frame, y_labels};
use super::{Anchor, LABEL, LEADING, PANEL, Pen, TICK, number, path};
use crate::figure::{Form, Label, Mark, Panel, Place};
use crate::geometry::{clip, decimate};
use crate::labels::{Placer, Rect, spread};
use crate::style::{Ink, Theme, background};
use crate::text::{shorten, width};
use crate::ticks::{Ticks, tick_labels};

pub(crate) fn draw(pen: &mut Pen, panel: &Panel, frame: &Frame, picture_width: f64) {
    let view = View { panel, rect: frame.inner };
    spans(pen, &view);
    y_axis(pen, &view, frame);
    let mut placer = Placer {
        bounds: Rect {
            x0: view.rect.x0 + 2.0,
            y0: view.rect.y0 + 1.0,
            x1: view.rect.x1 - 1.0,
            y1: view.rect.y1 - 2.0,
        },
        taken: Vec::new(),
        dots: Vec::new(),
        snap: (0.0, 0.0),
    };
    let page = pen.theme == Theme::Page;
    for (i, mark) in panel.marks.iter().enumerate() {
        if let Some(k) = panel.series.iter().position(|series| series.marks.start == i).filter(|_| page) {
            pen.raw(&format!("<g data-series=\"{k}\">"));
        }
        draw_mark(pen, &view, mark, &mut placer);
        if page && panel.series.iter().any(|series| series.marks.end == i + 1 && series.marks.start <= i) {
            pen.raw("</g>");
        }
    }
    x_axis(pen, &view, picture_width);
    titles(pen, &view, frame);
    labels(pen, &view, frame, &mut placer);
}

/// The mapping from data to px.
struct View<'a> {
    panel: &'a Panel,
    rect: Rect,
}

impl View<'_> {
    fn x(&self, value: f64) -> Option<f64> {
        self.panel.x.place(value).map(|share| self.rect.x0 + share * (self.rect.x1 - self.rect.x0))
    }

    fn y(&self, value: f64) -> Option<f64> {
        self.panel.y.place(value).map(|share| self.rect.y1 - share * (self.rect.y1 - self.rect.y0))
    }

    fn points(&self, xs: &[f64], ys: &[f64]) -> Vec<(f64, f64)> {
        xs.iter().zip(ys).filter_map(|(&x, &y)| Some((self.x(x)?, self.y(y)?))).collect()
    }

    fn clamped(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x.clamp(self.rect.x0, self.rect.x1), y.clamp(self.rect.y0, self.rect.y1))
    }
}

fn spans(pen: &mut Pen, view: &View) {
    for mark in &view.panel.marks {
        let Mark::Span { from, to, ink } = mark else { continue };
        let (Some(from), Some(to)) = (view.x(*from), view.x(*to)) else { continue };
        let (from, to) = (from.max(view.rect.x0), to.min(view.rect.x1));
        if to > from {
            pen.raw(&format!(
                "<rect class=\"span\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" fill-opacity=\"0.12\"/>",
                number(from),
                number(view.rect.y0),
                number(to - from),
                number(view.rect.y1 - view.rect.y0),
                ink.mark(pen.theme),
            ));
        }
    }
}

fn y_axis(pen: &mut Pen, view: &View, frame: &Frame) {
    let height = view.rect.y1 - view.rect.y0;
    // About every 34 px, but at least three unless they would touch.
    let most = ((height / 34.0) as usize).clamp(3, 8).min((height / 16.0) as usize).max(2);
    let (ticks, labels) = view.panel.y.ticks(most);
    let named = !view.panel.y.names.is_empty();
    let labels = y_labels(view.panel, labels, frame.name_width);
    for (&value, label) in ticks.values.iter().zip(&labels) {
        let Some(y) = view.y(value) else { continue };
        pen.line((view.rect.x0, y), (view.rect.x1, y), Ink::Grid, if named { 0.5 } else { 0.8 }, "");
        if view.panel.y.shown {
            let ink = if named { Ink::Text } else { Ink::Muted };
            pen.text(view.rect.x0 - 6.0, y + TICK * 0.36, label, TICK, ink, Anchor::End, false, "tick");
        }
    }
}

/// The densest ticks whose labels keep apart.
fn x_ticks(view: &View) -> (Ticks, Vec<String>) {
    let room = view.rect.x1 - view.rect.x0;
    let mut most = ((room / 46.0) as usize).clamp(2, 9);
    loop {
        let (ticks, labels) = view.panel.x.ticks(most);
        let ends: Vec<(f64, f64)> = ticks
            .values
            .iter()
            .zip(&labels)
            .filter_map(|(&value, label)| view.x(value).map(|x| (x, width(label, TICK, false) / 2.0)))
            .collect();
        if most <= 2 || ends.windows(2).all(|pair| pair[0].0 + pair[0].1 + 9.0 <= pair[1].0 - pair[1].1) {
            if most <= 2 && ends.len() >= 2 && ends[0].0 + ends[0].1 + 5.0 > ends[1].0 - ends[1].1 {
                let first = Ticks { values: vec![ticks.values[0]], step: ticks.step };
                let labels = tick_labels(&first, view.panel.x.format);
                return (first, labels);
            }
            return (ticks, labels);
        }
        most -= 1;
    }
}

fn x_axis(pen: &mut Pen, view: &View, picture_width: f64) {
    pen.line((view.rect.x0, view.rect.y1), (view.rect.x1, view.rect.y1), Ink::Muted, 1.0, "");
    let (ticks, labels) = x_ticks(view);
    for (&value, label) in ticks.values.iter().zip(&labels) {
        let Some(x) = view.x(value) else { continue };
        pen.line((x, view.rect.y1), (x, view.rect.y1 + 4.0), Ink::Muted, 1.0, "");
        if view.panel.x.shown {
            let half = width(label, TICK, false) / 2.0;
            let x = x.clamp(half + 2.0, picture_width - half - 2.0);
            pen.text(x, view.rect.y1 + 5.0 + TICK, label, TICK, Ink::Muted, Anchor::Middle, false, "tick");
        }
    }
}

fn titles(pen: &mut Pen, view: &View, frame: &Frame) {
    let mut y = view.rect.y0;
    if let Some(title) = &view.panel.title {
        let text = shorten(title, PANEL, false, view.rect.x1 - view.rect.x0 + 8.0);
        pen.text(view.rect.x0, y - 5.0, &text, PANEL, Ink::Text, Anchor::Start, false, "panel-title");
        y -= PANEL * LEADING;
    }
    let axis = &view.panel.y.title;
    if !axis.is_empty() {
        let text = shorten(axis, TICK, false, view.rect.x1 - frame.left);
        pen.text(frame.left, y - 11.0, &text, TICK, Ink::Text, Anchor::Start, false, "axis-title");
    }
    if view.panel.x.shown && !view.panel.x.title.is_empty() {
        let room = view.rect.x1 - view.rect.x0;
        let text = shorten(&view.panel.x.title, TICK, false, room.max(60.0));
        let y = view.rect.y1 + 7.0 + TICK * (1.0 + LEADING);
        pen.text(
            (view.rect.x0 + view.rect.x1) / 2.0,
            y,
            &text,
            TICK,
            Ink::Text,
            Anchor::Middle,
            false,
            "axis-title",
        );
    }
}

fn draw_mark(pen: &mut Pen, view: &View, mark: &Mark, placer: &mut Placer) {
    match mark {
        Mark::Span { .. } => {}
        Mark::Band { x, lo, hi, ink } => band(pen, view, x, lo, hi, *ink),
        Mark::Line { x, y, ink, width, dashed } => {
            let dash = if *dashed { " stroke-dasharray=\"6 3.5\"" } else { "" };
            for part in clip(&decimate(&view.points(x, y), 0.5), &view.rect) {
                sample(&part, &mut placer.dots);
                pen.raw(&format!(
                    "<polyline class=\"line\" points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
                     stroke-linejoin=\"round\" stroke-linecap=\"round\"{dash}/>",
                    path(&part),
                    ink.mark(pen.theme),
                    number(*width),
                ));
            }
        }
        Mark::Points { x, y, ink, form: Form::Circle, radius, solid: false } if pen.theme == Theme::Page => {
            dots(pen, &view.points(x, y), view, *ink, *radius, placer);
        }
        Mark::Points { x, y, ink, form, radius, solid } => {
            for point in view.points(x, y).into_iter().filter(|point| view.rect.contains(*point)) {
                placer.dots.push(point);
                draw_point(pen, point, *ink, *form, *radius, *solid);
            }
        }
        Mark::Bar { from, to, ink, width } => {
            let place = |(x, y)| Some(view.clamped((view.x(x)?, view.y(y)?)));
            let (Some(a), Some(b)) = (place(*from), place(*to)) else { return };
            if a.1 == b.1 {
                // An interval along the axis is too thin to be recognised under a label.
                placer.taken.push(Rect { x0: a.0 - 3.0, y0: a.1 - 5.0, x1: b.0 + 3.0, y1: a.1 + 5.0 });
            }
            sample(&[a, b], &mut placer.dots);
            pen.line(a, b, *ink, *width, "");
            let cap = if a.0 == b.0 { (width * 1.2 + 1.5, 0.0) } else { (0.0, width * 1.2 + 1.5) };
            for end in [a, b] {
                pen.line((end.0 - cap.0, end.1 - cap.1), (end.0 + cap.0, end.1 + cap.1), *ink, *width, "");
            }
        }
        Mark::VRule { x, ink, dashed } => {
            let Some(x) = view.x(*x).filter(|x| *x >= view.rect.x0 && *x <= view.rect.x1) else { return };
            sample(&[(x, view.rect.y0), (x, view.rect.y1)], &mut placer.dots);
            pen.line((x, view.rect.y0), (x, view.rect.y1), *ink, 1.0, if *dashed { "3 3" } else { "" });
        }
        Mark::HRule { y, ink, dashed } => {
            let Some(y) = view.y(*y).filter(|y| *y >= view.rect.y0 && *y <= view.rect.y1) else { return };
            sample(&[(view.rect.x0, y), (view.rect.x1, y)], &mut placer.dots);
            pen.line((view.rect.x0, y), (view.rect.x1, y), *ink, 1.0, if *dashed { "3 3" } else { "" });
        }
    }
}

/// Many points as one path, each a line without length with round ends: a page holds thousands.
fn dots(pen: &mut Pen, points: &[(f64, f64)], view: &View, ink: Ink, radius: f64, placer: &mut Placer) {
    let mut path = String::new();
    for &point in points.iter().filter(|point| view.rect.contains(**point)) {
        placer.dots.push(point);
        path += &format!("M{:.1} {:.1}h0", point.0, point.1);
    }
    if !path.is_empty() {
        pen.raw(&format!(
            "<path d=\"{path}\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"0.6\" stroke-linecap=\"round\" fill=\"none\"/>",
            ink.mark(pen.theme),
            number(2.0 * radius),
        ));
    }
}

fn band(pen: &mut Pen, view: &View, x: &[f64], lo: &[f64], hi: &[f64], ink: Ink) {
    let edge = |ys: &[f64]| -> Vec<(f64, f64)> {
        decimate(&view.points(x, ys), 1.0).into_iter().map(|point| view.clamped(point)).collect()
    };
    let mut outline = edge(hi);
    outline.extend(edge(lo).into_iter().rev());
    if outline.len() >= 3 {
        pen.raw(&format!(
            "<polygon class=\"band\" points=\"{}\" fill=\"{}\" fill-opacity=\"0.2\"/>",
            path(&outline),
            ink.mark(pen.theme)
        ));
    }
}

fn draw_point(pen: &mut Pen, (x, y): (f64, f64), ink: Ink, form: Form, r: f64, solid: bool) {
    let colour = ink.mark(pen.theme);
    let paint = if solid {
        format!("fill=\"{colour}\" stroke=\"{}\" stroke-width=\"1\"", background(pen.theme))
    } else {
        format!("fill=\"{colour}\" fill-opacity=\"0.5\"")
    };
    let element = match form {
        Form::Circle => {
            format!("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {paint}/>", number(x), number(y), number(r))
        }
        Form::Square => {
            let s = r * 1.75;
            format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {paint}/>",
                number(x - s / 2.0),
                number(y - s / 2.0),
                number(s),
                number(s)
            )
        }
        Form::Triangle => {
            let s = r * 1.25;
            let corners = [(x, y - s), (x + s, y + s * 0.8), (x - s, y + s * 0.8)];
            format!("<polygon points=\"{}\" {paint}/>", path(&corners))
        }
        Form::Diamond => {
            let s = r * 1.3;
            let corners = [(x, y - s), (x + s, y), (x, y + s), (x - s, y)];
            format!("<polygon points=\"{}\" {paint}/>", path(&corners))
        }
    };
    pen.raw(&element);
}

/// Points along a polyline, a few px apart, that labels should leave visible.
fn sample(points: &[(f64, f64)], dots: &mut Vec<(f64, f64)>) {
    for pair in points.windows(2) {
        let length = (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1);
        let n = (length / 4.0).ceil().clamp(1.0, 400.0);
        dots.extend((0..n as usize).map(|k| {
            let share = k as f64 / n;
            (pair[0].0 + share * (pair[1].0 - pair[0].0), pair[0].1 + share * (pair[1].1 - pair[0].1))
        }));
    }
}

const LINE: f64 = LABEL * LEADING;

fn labels(pen: &mut Pen, view: &View, frame: &Frame, placer: &mut Placer) {
    for place in [Place::Bottom, Place::Top, Place::Near] {
        for label in view.panel.labels.iter().filter(|label| label.place == place) {
            free_label(pen, view, label, placer);
        }
    }
    end_labels(pen, view, frame);
}

fn free_label(pen: &mut Pen, view: &View, label: &Label, placer: &mut Placer) {
    let (Some(x), Some(y)) = (view.x(label.x), view.y(label.y)) else { return };
    let room = view.rect.x1 - view.rect.x0 - 6.0;
    let lines: Vec<String> = label.lines.iter().map(|line| shorten(line, LABEL, label.bold, room)).collect();
    let wide = lines.iter().map(|line| width(line, LABEL, label.bold)).fold(0.0, f64::max) + 2.0;
    let size = (wide, lines.len() as f64 * LINE);
    let rect = match label.place {
        Place::Top => placer.top(x, size, 5.0),
        Place::Bottom => {
            let rect = Rect::at(x - wide / 2.0, view.rect.y1 - size.1 - 3.0, size.0, size.1);
            let free = rect.inside(&placer.bounds)
                && placer.taken.iter().all(|other| !rect.overlaps(other))
                && !placer.dots.iter().any(|dot| rect.contains(*dot));
            if free {
                placer.taken.push(rect);
            }
            free.then_some(rect)
        }
        Place::Near | Place::End => placer.near((x, y), size),
    };
    let Some(rect) = rect else { return };
    if label.place == Place::Near {
        let nearest = (x.clamp(rect.x0, rect.x1), y.clamp(rect.y0, rect.y1));
        let distance = (nearest.0 - x).hypot(nearest.1 - y);
        if distance > 14.0 {
            let start = 4.0 / distance;
            let from = (x + (nearest.0 - x) * start, y + (nearest.1 - y) * start);
            pen.line(from, nearest, Ink::Muted, 0.7, "");
        }
    }
    for (i, line) in lines.iter().enumerate() {
        let line_y = rect.y0 + (i as f64 + 0.78) * LINE;
        pen.text(rect.x0 + 1.0, line_y, line, LABEL, label.ink, Anchor::Start, label.bold && i == 0, "label");
    }
}

fn end_labels(pen: &mut Pen, view: &View, frame: &Frame) {
    let (lo, hi) = (view.rect.y0 - 4.0, view.rect.y1 + 4.0);
    let mut kept: Vec<(&Label, f64)> = Vec::new();
    let mut total = 0.0;
    for label in view.panel.labels.iter().filter(|label| label.place == Place::End) {
        let Some(y) = view.y(label.y) else { continue };
        let height = label.lines.len() as f64 * LINE + 3.0;
        if total + height <= hi - lo {
            total += height;
            kept.push((label, y.clamp(view.rect.y0, view.rect.y1)));
        }
    }
    let wanted: Vec<f64> = kept.iter().map(|(_, y)| *y).collect();
    let heights: Vec<f64> = kept.iter().map(|(label, _)| label.lines.len() as f64 * LINE + 3.0).collect();
    let centres = spread(&wanted, &heights, lo, hi);
    for (((label, y), centre), height) in kept.iter().zip(&centres).zip(&heights) {
        let x = view.rect.x1;
        if (centre - y).abs() > 2.0 {
            pen.line((x + 2.0, *y), (x + 10.0, *centre), label.ink, 0.8, "");
        } else {
            pen.line((x + 4.0, *y), (x + 10.0, *y), label.ink, 0.8, "");
        }
        let top = centre - (height - 3.0) / 2.0;
        for (i, line) in label.lines.iter().enumerate() {
            let bold = label.bold && i == 0;
            let ink = if i == 0 { label.ink } else { Ink::Muted };
            let text = shorten(line, LABEL, bold, frame.end_width);
            pen.text(
                x + 13.0,
                top + (i as f64 + 0.78) * LINE,
                &text,
                LABEL,
                ink,
                Anchor::Start,
                bold,
                "end-label",
            );
        }
    }
}

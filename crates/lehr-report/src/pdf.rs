//! Turns an SVG into a PDF of one page: lines and areas stay vectors, text becomes outlines of the embedded font, so
//! that it looks the same everywhere and journals find no font missing.

use crate::error::PictureError;
use crate::outline::tree;
use flate2::{Compression, write::ZlibEncoder};
use resvg::tiny_skia::{Path, PathSegment, Transform};
use resvg::usvg::{FillRule, Group, LineCap, LineJoin, Node, Paint, PaintOrder, Stroke};
use std::fmt::Write as _;
use std::io::Write as _;

/// PDF counts in points of 1/72 inch, SVG in pixels of 1/96.
const POINTS: f32 = 0.75;

/// Draws an SVG into a PDF; `title` goes into the document's information.
pub(crate) fn document(svg: &str, title: &str) -> Result<Vec<u8>, PictureError> {
    let tree = tree(svg)?;
    let (width, height) = (tree.size().width() * POINTS, tree.size().height() * POINTS);
    let mut page = Page { out: String::new(), opacities: Vec::new() };
    // The page's origin is at its lower left corner.
    page.group(tree.root(), Transform::from_row(POINTS, 0.0, 0.0, -POINTS, 0.0, height))?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(page.out.as_bytes()).map_err(|error| PictureError::Drawing(error.to_string()))?;
    let content = packed.finish().map_err(|error| PictureError::Drawing(error.to_string()))?;
    let mut states = String::new();
    for (i, opacity) in page.opacities.iter().enumerate() {
        let _ = write!(states, "/G{i} << /ca {0} /CA {0} >> ", number(*opacity));
    }
    let mut stream = format!("<< /Length {} /Filter /FlateDecode >>\nstream\n", content.len()).into_bytes();
    stream.extend_from_slice(&content);
    stream.extend_from_slice(b"\nendstream");
    Ok(file(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {} {}] /Contents 4 0 R /Resources << /ExtGState << {states}>> >> >>",
            number(width),
            number(height)
        )
        .into_bytes(),
        stream,
        format!("<< /Title <{}> /Producer (lehr) >>", utf16(title)).into_bytes(),
    ]))
}

/// The objects 1, 2, … with the table of where they stand; the last is the document's information.
fn file(objects: &[Vec<u8>]) -> Vec<u8> {
    // The second line tells programs that move files that this one is binary.
    let mut bytes = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (i, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", bytes.len());
        bytes.extend_from_slice(format!("{} 0 obj\n", i + 1).as_bytes());
        bytes.extend_from_slice(object);
        bytes.extend_from_slice(b"\nendobj\n");
    }
    let start = bytes.len();
    let n = objects.len();
    let trailer = format!(
        "{table}trailer\n<< /Size {} /Root 1 0 R /Info {n} 0 R >>\nstartxref\n{start}\n%%EOF\n",
        n + 1
    );
    bytes.extend_from_slice(trailer.as_bytes());
    bytes
}

/// A text as PDF's hexadecimal UTF-16 with its mark.
fn utf16(text: &str) -> String {
    text.encode_utf16().fold("FEFF".to_owned(), |mut hex, unit| {
        let _ = write!(hex, "{unit:04X}");
        hex
    })
}

/// A number without an exponent, which PDF does not know.
fn number(value: f32) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The page's drawing operators.
struct Page {
    out: String,
    /// Opacities in use, one graphics state each.
    opacities: Vec<f32>,
}

impl Page {
    fn group(&mut self, group: &Group, above: Transform) -> Result<(), PictureError> {
        if group.opacity().get() != 1.0
            || group.clip_path().is_some()
            || group.mask().is_some()
            || !group.filters().is_empty()
        {
            return Err(PictureError::Drawing(
                "a PDF takes no groups with an opacity, a clip, a mask or a filter".to_owned(),
            ));
        }
        let transform = above.pre_concat(group.transform());
        for node in group.children() {
            match node {
                Node::Group(inner) => self.group(inner, transform)?,
                Node::Text(text) => self.group(text.flattened(), transform)?,
                Node::Image(_) => {
                    return Err(PictureError::Drawing("a PDF takes no pixels".to_owned()));
                }
                Node::Path(path) if path.is_visible() => {
                    let fill = path.fill().map(|fill| (fill.paint(), fill.opacity().get(), fill.rule()));
                    let mut parts = [fill.map(Part::Fill), path.stroke().map(Part::Stroke)];
                    if path.paint_order() == PaintOrder::StrokeAndFill {
                        parts.reverse();
                    }
                    for part in parts.into_iter().flatten() {
                        self.part(path.data(), transform, &part)?;
                    }
                }
                Node::Path(_) => {}
            }
        }
        Ok(())
    }

    fn part(&mut self, path: &Path, t: Transform, part: &Part<'_>) -> Result<(), PictureError> {
        let (paint, opacity) = match part {
            Part::Fill((paint, opacity, _)) => (*paint, *opacity),
            Part::Stroke(stroke) => (stroke.paint(), stroke.opacity().get()),
        };
        let Paint::Color(colour) = paint else {
            return Err(PictureError::Drawing("a PDF takes plain colours only".to_owned()));
        };
        let state = match self.opacities.iter().position(|known| *known == opacity) {
            Some(state) => state,
            None => {
                self.opacities.push(opacity);
                self.opacities.len() - 1
            }
        };
        let matrix = [t.sx, t.ky, t.kx, t.sy, t.tx, t.ty].map(|value| format!("{value:.6}")).join(" ");
        let rgb = [colour.red, colour.green, colour.blue].map(|c| number(f32::from(c) / 255.0)).join(" ");
        let _ = write!(self.out, "q /G{state} gs {matrix} cm {rgb} ");
        match part {
            Part::Fill((_, _, rule)) => {
                self.out.push_str("rg\n");
                self.trace(path);
                self.out.push_str(if *rule == FillRule::EvenOdd { "f*" } else { "f" });
            }
            Part::Stroke(stroke) => {
                self.out.push_str("RG ");
                self.pen(stroke);
                self.trace(path);
                self.out.push('S');
            }
        }
        self.out.push_str(" Q\n");
        Ok(())
    }

    fn pen(&mut self, stroke: &Stroke) {
        let cap = match stroke.linecap() {
            LineCap::Butt => 0,
            LineCap::Round => 1,
            LineCap::Square => 2,
        };
        let join = match stroke.linejoin() {
            LineJoin::Miter | LineJoin::MiterClip => 0,
            LineJoin::Round => 1,
            LineJoin::Bevel => 2,
        };
        let dashes: Vec<String> =
            stroke.dasharray().unwrap_or_default().iter().map(|dash| number(*dash)).collect();
        let _ = writeln!(
            self.out,
            "{} w {cap} J {join} j {} M [{}] {} d",
            number(stroke.width().get()),
            number(stroke.miterlimit().get()),
            dashes.join(" "),
            number(stroke.dashoffset())
        );
    }

    fn trace(&mut self, path: &Path) {
        let mut at = (0.0, 0.0);
        for segment in path.segments() {
            let mut write = |points: &[(f32, f32)], operator: char| {
                for (x, y) in points {
                    let _ = write!(self.out, "{} {} ", number(*x), number(*y));
                }
                self.out.push(operator);
                self.out.push('\n');
            };
            match segment {
                PathSegment::MoveTo(p) => {
                    at = (p.x, p.y);
                    write(&[at], 'm');
                }
                PathSegment::LineTo(p) => {
                    at = (p.x, p.y);
                    write(&[at], 'l');
                }
                PathSegment::QuadTo(c, p) => {
                    // A parabola as the cubic that equals it.
                    let third = |from: f32, to: f32| from + (to - from) * 2.0 / 3.0;
                    let first = (third(at.0, c.x), third(at.1, c.y));
                    let second = (third(p.x, c.x), third(p.y, c.y));
                    at = (p.x, p.y);
                    write(&[first, second, at], 'c');
                }
                PathSegment::CubicTo(a, b, p) => {
                    at = (p.x, p.y);
                    write(&[(a.x, a.y), (b.x, b.y), at], 'c');
                }
                PathSegment::Close => write(&[], 'h'),
            }
        }
    }
}

/// What is done with a path.
enum Part<'a> {
    Fill((&'a Paint, f32, FillRule)),
    Stroke(&'a Stroke),
}

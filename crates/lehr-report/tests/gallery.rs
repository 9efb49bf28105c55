//! Every figure of the gallery looks as it did: its PNG against a reference in `tests/gallery`.
//!
//! A reference is the figure with every 4 × 4 px averaged: a PNG of 3–12 kB (46 kB for seventy panels) that a person can open. Averaging is
//! what makes the comparison tolerant: what moves by a seventh of a pixel, or is smoothed in another way, changes at most two blocks of a
//! figure by 29–36 of 255 levels and all others by less, while a curve that moves by two pixels, or a missing tick label of one digit,
//! changes three or more by at least 32, or one by 66. Whole pictures would be ten times as large and differ in thousands of pixels after any
//! change of the renderer; a coarser mean would not see a missing digit, which is 5 px wide.
//!
//! `LEHR_WRITE_REFERENCE=1 cargo test --workspace --test gallery` writes the references anew; look at them before they are committed.

#![expect(clippy::unwrap_used, reason = "a test: a broken expectation must stop it")]

#[path = "support/samples.rs"]
mod samples;

use lehr_report::{ForecastPicture, Picture, PictureStyle};
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8, Transform};
use resvg::usvg::{Options, Tree};
use roxmltree::{Document, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Pixels along the side of a block.
const BLOCK: u32 = 4;
/// Levels (of 255) by which a block may differ in a colour.
const LEVELS: u8 = 30;
/// Blocks that may differ by more, and by how much.
const BLOCKS: usize = 2;
const MOST: u8 = 45;
/// Bytes of a reference; the figure of seventy panels is the largest.
const LARGEST: usize = 50_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery")
}

/// The means of all blocks of `side` pixels; the last ones of a row and column may be smaller.
fn reduced(pixels: &Pixmap, side: u32) -> Pixmap {
    let (width, height) = (pixels.width().div_ceil(side), pixels.height().div_ceil(side));
    let mut small = Pixmap::new(width, height).unwrap();
    for (i, block) in small.pixels_mut().iter_mut().enumerate() {
        let (left, top) = (i as u32 % width * side, i as u32 / width * side);
        let (right, bottom) = ((left + side).min(pixels.width()), (top + side).min(pixels.height()));
        let (mut sum, mut count) = ([0_u32; 4], 0);
        for pixel in (top..bottom).flat_map(|y| (left..right).map(move |x| pixels.pixel(x, y).unwrap())) {
            let channels = [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()];
            sum.iter_mut().zip(channels).for_each(|(sum, channel)| *sum += u32::from(channel));
            count += 1;
        }
        let [r, g, b, a] = sum.map(|sum| ((sum + count / 2) / count) as u8);
        *block = PremultipliedColorU8::from_rgba(r, g, b, a).unwrap();
    }
    small
}

/// The blocks that differ by more than [`LEVELS`]: the middle of each in px of the figure, and the difference.
fn differences(reference: &Pixmap, drawn: &Pixmap) -> Vec<(u32, u32, u8)> {
    let worst = |a: PremultipliedColorU8, b: PremultipliedColorU8| {
        let pairs =
            [(a.red(), b.red()), (a.green(), b.green()), (a.blue(), b.blue()), (a.alpha(), b.alpha())];
        pairs.into_iter().map(|(a, b)| a.abs_diff(b)).max().unwrap_or_default()
    };
    let blocks = reference.pixels().iter().zip(drawn.pixels()).map(|(a, b)| worst(*a, *b));
    let at = |i: usize| {
        let (x, y) = (i as u32 % reference.width(), i as u32 / reference.width());
        (x * BLOCK + BLOCK / 2, y * BLOCK + BLOCK / 2)
    };
    blocks.enumerate().filter(|(_, by)| *by > LEVELS).map(|(i, by)| (at(i).0, at(i).1, by)).collect()
}

/// What is wrong with a figure, if anything.
fn fault(reference: &Pixmap, drawn: &Pixmap) -> Option<String> {
    let size = |of: &Pixmap| (of.width(), of.height());
    if size(reference) != size(drawn) {
        return Some(format!("{:?} blocks instead of {:?}", size(drawn), size(reference)));
    }
    let found = differences(reference, drawn);
    let (x, y, by) = found.iter().max_by_key(|(.., by)| *by).copied()?;
    let n = found.len();
    (n > BLOCKS || by > MOST).then(|| {
        format!(
            "{n} blocks of {BLOCK} px differ by more than {LEVELS} of 255, most at ({x}, {y}) px, by {by}"
        )
    })
}

/// A figure as the project's own renderer draws it, reduced.
fn drawn(picture: &dyn Picture, style: &PictureStyle) -> Pixmap {
    reduced(&Pixmap::decode_png(&picture.png(style, 1.0).unwrap()).unwrap(), BLOCK)
}

#[test]
fn every_figure_of_the_gallery_looks_as_its_reference() {
    let write = std::env::var_os("LEHR_WRITE_REFERENCE").is_some();
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    for (name, picture, style) in samples::all() {
        let path = folder().join(format!("{name}.png"));
        names.insert(path.clone());
        let drawn = drawn(picture.as_ref(), &style);
        if write {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, drawn.encode_png().unwrap()).unwrap();
        }
        let Ok(bytes) = std::fs::read(&path) else {
            faults.push(format!("{name}: there is no reference {}", path.display()));
            continue;
        };
        if bytes.len() > LARGEST {
            faults.push(format!("{name}: a reference of {} bytes, more than {LARGEST}", bytes.len()));
        }
        if let Some(fault) = fault(&Pixmap::decode_png(&bytes).unwrap(), &drawn) {
            // The figure, whole, to be looked at.
            let seen = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gallery-{name}.png"));
            std::fs::write(&seen, picture.png(&style, 1.0).unwrap()).unwrap();
            faults.push(format!("{name}: {fault}; drawn now: {}", seen.display()));
        }
    }
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !names.contains(&path) {
            faults.push(format!("{}: no figure of the gallery has this name", path.display()));
        }
    }
    let again =
        "meant so? LEHR_WRITE_REFERENCE=1 cargo test --workspace --test gallery, and look at the references";
    assert!(faults.is_empty(), "{}\n{again}", faults.join("\n"));
}

/// An SVG drawn with `finer` × `finer` pixels for each of the figure, reduced as the references are.
fn rendered(svg: &str, finer: u32) -> Pixmap {
    static FONTS: LazyLock<Options<'static>> = LazyLock::new(|| {
        let mut options = Options { font_family: "DejaVu Sans Condensed".into(), ..Options::default() };
        options.fontdb_mut().load_font_data(dejavu::sans_condensed::regular().to_vec());
        options.fontdb_mut().load_font_data(dejavu::sans_condensed::bold().to_vec());
        options
    });
    let tree = Tree::from_str(svg, &FONTS).unwrap();
    let side = |length: f32| length.round() as u32 * finer;
    let mut pixels = Pixmap::new(side(tree.size().width()), side(tree.size().height())).unwrap();
    resvg::render(&tree, Transform::from_scale(finer as f32, finer as f32), &mut pixels.as_mut());
    reduced(&pixels, BLOCK * finer)
}

/// The SVG with a part of it replaced.
fn with(svg: &str, part: Range<usize>, by: &str) -> String {
    [&svg[..part.start], by, &svg[part.end..]].concat()
}

/// All of the drawing, or a part, moved.
fn moved(part: &str, x: f64, y: f64) -> String {
    format!("<g transform=\"translate({x} {y})\">{part}</g>")
}

/// The SVG with everything in it moved.
fn shifted(svg: &str, x: f64, y: f64) -> String {
    let document = Document::parse(svg).unwrap();
    let first = document.root_element().first_element_child().unwrap().range().start;
    let last = document.root_element().last_element_child().unwrap().range().end;
    // The paper stays.
    let paper = document.root_element().children().find(|node| node.has_tag_name("rect")).unwrap().range();
    assert!(first <= paper.start);
    with(svg, paper.end..last, &moved(&svg[paper.end..last], x, y))
}

#[test]
fn what_nobody_sees_passes() {
    for (name, picture, style) in samples::all() {
        let svg = picture.svg(&style);
        let reference = rendered(&svg, 1);
        let passes =
            |what: &str, drawn: &Pixmap| assert_eq!(fault(&reference, drawn), None, "{name}: {what}");
        passes("drawn by the program", &drawn(picture.as_ref(), &style));
        passes("smoothed in another way", &rendered(&svg, 3));
        for (x, y) in [(0.15, 0.0), (0.0, 0.15), (-0.15, 0.1)] {
            passes(&format!("moved by {x}, {y} px"), &rendered(&shifted(&svg, x, y), 1));
        }
    }
}

#[test]
fn a_missing_label_and_a_moved_curve_are_seen_in_every_figure() {
    for (name, picture, style) in samples::all() {
        let svg = picture.svg(&style);
        let reference = rendered(&svg, 1);
        let document = Document::parse(&svg).unwrap();
        let seen = |what: &str, part: Range<usize>, by: &str| {
            let changed = rendered(&with(&svg, part, by), 1);
            assert!(fault(&reference, &changed).is_some(), "{name}: {what} is not seen");
        };
        // Of each class the shortest: no label is harder to miss.
        let mut labels: BTreeMap<&str, Node> = BTreeMap::new();
        for node in document.descendants().filter(|node| node.has_tag_name("text")) {
            let class = node.attribute("class").unwrap();
            let length = |node: &Node| node.text().unwrap_or_default().chars().count();
            if labels.get(class).is_none_or(|other| length(&node) < length(other)) {
                labels.insert(class, node);
            }
        }
        assert!(labels.len() > 3, "{name}: {labels:?}");
        for (class, label) in labels {
            seen(&format!("no {class} `{}`", label.text().unwrap_or_default()), label.range(), "");
        }
        // The thin grey ones are many, and only lie behind what a figure is about; one point is no curve.
        let is_curve = |node: &Node| {
            let number = |name: &str| node.attribute(name).and_then(|text| text.parse::<f64>().ok());
            let points = node.attribute("points").unwrap_or_default().split_whitespace().count();
            node.attribute("class") == Some("line")
                && points > 1
                && number("stroke-width").is_some_and(|w| w > 1.0)
        };
        for (i, line) in document.descendants().filter(is_curve).take(6).enumerate() {
            seen(&format!("curve {i}, 2 px lower"), line.range(), &moved(&svg[line.range()], 0.0, 2.0));
        }
    }
}

#[test]
fn a_figure_with_other_numbers_fails_against_the_committed_reference() {
    let bytes = std::fs::read(folder().join("forecast.png")).unwrap();
    let reference = Pixmap::decode_png(&bytes).unwrap();
    let fault = |picture: &ForecastPicture| fault(&reference, &drawn(picture, &PictureStyle::default()));
    let usual = samples::forecast();
    assert_eq!(fault(&usual), None);
    // Half a hundredth of the loss, of one curve of five.
    let mut lower = usual.clone();
    lower.rivals[0].loss.iter_mut().for_each(|loss| *loss *= 0.995);
    let mut nameless = usual.clone();
    nameless.rivals[1].name.clear();
    let mut untitled = usual.clone();
    untitled.title = untitled.title.replace("2.53", "2.58");
    for (what, picture) in [("a lower curve", &lower), ("no name", &nameless), ("another title", &untitled)] {
        let found = fault(picture);
        assert!(
            found.as_ref().is_some_and(|fault| fault.contains("blocks of 4 px differ")),
            "{what}: {found:?}"
        );
    }
    let small = PictureStyle { width: 700.0, ..PictureStyle::default() };
    let found = self::fault(&reference, &drawn(&usual, &small));
    assert!(found.as_ref().is_some_and(|fault| fault.contains("blocks instead of")), "{found:?}");
}

//! What holds for every picture, whatever its numbers.

#[path = "support/samples.rs"]
mod samples;

use lehr_report::{ForecastPicture, Picture, PictureError, PictureStyle, TerminalStyle, write_picture};
use resvg::tiny_skia::Pixmap;
use resvg::usvg::{Node, Options, Rect, Tree};
use roxmltree::Document;
use unicode_width::UnicodeWidthStr;

/// An SVG as a browser with the embedded font would lay it out.
fn laid_out(svg: &str) -> Tree {
    let mut options = Options { font_family: "DejaVu Sans Condensed".into(), ..Options::default() };
    options.fontdb_mut().load_font_data(dejavu::sans_condensed::regular().to_vec());
    options.fontdb_mut().load_font_data(dejavu::sans_condensed::bold().to_vec());
    Tree::from_str(svg, &options).unwrap_or_else(|error| panic!("not an SVG: {error}"))
}

fn texts(node: &resvg::usvg::Group, found: &mut Vec<(String, Rect)>) {
    for child in node.children() {
        match child {
            Node::Group(group) => texts(group, found),
            Node::Text(text) => {
                let words = text.chunks().iter().map(|chunk| chunk.text()).collect();
                found.push((words, text.abs_bounding_box()));
            }
            _ => {}
        }
    }
}

#[test]
fn every_svg_is_xml_with_a_title_a_description_and_axis_titles() {
    for (name, picture, style) in samples::all() {
        let svg = picture.svg(&style);
        let document = Document::parse(&svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        let tag = |tag: &str| {
            document.descendants().find(|node| node.has_tag_name(tag)).and_then(|node| node.text())
        };
        assert!(tag("title").is_some_and(|text| !text.is_empty()), "{name} has no title");
        assert!(tag("desc").is_some_and(|text| text.len() > 20), "{name} has no description");
        let axis_titles: Vec<&str> = document
            .descendants()
            .filter(|node| node.attribute("class") == Some("axis-title"))
            .filter_map(|node| node.text())
            .collect();
        assert!(!axis_titles.is_empty(), "{name} has no axis titles");
        let units = [
            "nats per token",
            "learning rate",
            "updates",
            "tokens",
            "ratio",
            "mnat",
            "of the loss",
            "FLOPs",
            "hours",
        ];
        for title in &axis_titles {
            assert!(
                units.iter().any(|unit| title.contains(unit)),
                "{name}: axis title `{title}` tells no unit"
            );
        }
    }
}

#[test]
fn every_mark_lies_within_the_picture() {
    for (name, picture, style) in samples::all() {
        let svg = picture.svg(&style);
        let document = Document::parse(&svg).unwrap();
        let check = |what: &str, x: f64, y: f64| {
            assert!(
                x >= -0.01 && x <= style.width + 0.01 && y >= -0.01 && y <= style.height + 0.01,
                "{name}: {what} at {x}, {y} lies outside of {} × {}",
                style.width,
                style.height
            );
        };
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            let number = |attribute: &str| node.attribute(attribute).map(|text| text.parse::<f64>().unwrap());
            for (x, y) in [("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")] {
                if let (Some(x), Some(y)) = (number(x), number(y)) {
                    check(node.tag_name().name(), x, y);
                }
            }
            for pair in node.attribute("points").unwrap_or("").split_whitespace() {
                let (x, y) = pair.split_once(',').unwrap();
                check("a polyline", x.parse().unwrap(), y.parse().unwrap());
            }
        }
    }
}

#[test]
fn no_two_texts_overlap_and_none_is_cut_off() {
    for (name, picture, style) in samples::all() {
        let tree = laid_out(&picture.svg(&style));
        let mut found = Vec::new();
        texts(tree.root(), &mut found);
        assert!(found.len() > 5, "{name} has almost no text");
        for (i, (text, a)) in found.iter().enumerate() {
            let (right, bottom) = (a.x() + a.width(), a.y() + a.height());
            assert!(
                a.x() >= 0.0 && a.y() >= 0.0 && right <= style.width as f32 && bottom <= style.height as f32,
                "{name}: `{text}` is cut off: {a:?}"
            );
            for (other, b) in &found[..i] {
                // Boxes are those of whole lines, ascenders and descenders included; an overlap in height of less
                // than two px cannot be seen.
                let wide = right.min(b.x() + b.width()) - a.x().max(b.x());
                let high = bottom.min(b.y() + b.height()) - a.y().max(b.y());
                assert!(wide <= 0.5 || high <= 2.0, "{name}: `{text}` covers `{other}`: {a:?} {b:?}");
            }
        }
    }
}

#[test]
fn a_png_has_the_wanted_size_and_shows_text_without_any_installed_font() {
    let style = PictureStyle { width: 500.0, height: 300.0, ..PictureStyle::default() };
    for scale in [1.0, 2.0] {
        let png = samples::comparison().png(&style, scale).unwrap();
        let pixels = Pixmap::decode_png(&png).unwrap();
        assert_eq!((pixels.width(), pixels.height()), ((500.0 * scale) as u32, (300.0 * scale) as u32));
        // The title is the only dark ink in its strip; a missing font would leave it blank.
        let strip = (14.0 * scale) as u32..(34.0 * scale) as u32;
        let dark = strip
            .flat_map(|y| (0..pixels.width()).map(move |x| (x, y)))
            .filter(|&(x, y)| pixels.pixel(x, y).is_some_and(|pixel| pixel.red() < 90))
            .count();
        assert!(dark as f64 > 600.0 * scale * scale, "only {dark} dark px in the title");
    }
}

#[test]
fn a_png_of_an_absurd_size_is_refused() {
    let picture = samples::comparison();
    for scale in [0.0, -1.0, f64::NAN, 1e-6, 1e3] {
        let error = picture.png(&PictureStyle::default(), scale).unwrap_err();
        assert!(matches!(error, PictureError::Size { .. }), "{error}");
    }
}

/// The operators of a PDF's page.
fn page(pdf: &[u8]) -> String {
    let find = |word: &[u8]| pdf.windows(word.len()).position(|w| w == word).expect("a stream");
    let (from, to) = (find(b"stream\n") + 7, find(b"\nendstream"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::ZlibDecoder::new(&pdf[from..to]), &mut text).unwrap();
    text
}

#[test]
fn a_pdf_has_a_table_that_leads_to_its_objects_and_every_path_of_the_svg() {
    for (name, picture, style) in samples::all() {
        let pdf = picture.pdf(&style).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = String::from_utf8_lossy(&pdf);
        let start: usize =
            text.rsplit("startxref\n").next().unwrap().lines().next().unwrap().parse().unwrap();
        let table = std::str::from_utf8(&pdf[start..]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entries: Vec<&str> = table.lines().filter(|line| line.ends_with(" 00000 n ")).collect();
        assert_eq!(entries.len(), 5, "{name}: {table}");
        for (i, entry) in entries.iter().enumerate() {
            assert_eq!(entry.len(), 19, "{name}: {entry}");
            let at: usize = entry[..10].parse().unwrap();
            let object = format!("{} 0 obj\n", i + 1);
            assert!(pdf[at..].starts_with(object.as_bytes()), "{name}: object {} is not at {at}", i + 1);
        }
        let tree = laid_out(&picture.svg(&style));
        let (width, height) = (tree.size().width() * 0.75, tree.size().height() * 0.75);
        assert!(text.contains(&format!("/MediaBox [0 0 {width} {height}]")), "{name}");
        let page = page(&pdf);
        let painted = page.lines().filter(|line| matches!(*line, "S Q" | "f Q" | "f* Q")).count();
        let mut wanted = 0;
        parts(tree.root(), &mut wanted);
        assert_eq!(painted, wanted, "{name}: fills and strokes");
        assert!(wanted > 20, "{name}");
        assert_eq!(page.matches("q /G").count(), painted, "{name}: every state is restored");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{name}");
    }
}

/// Fills and strokes that a picture consists of.
fn parts(group: &resvg::usvg::Group, count: &mut usize) {
    for node in group.children() {
        match node {
            Node::Group(inner) => parts(inner, count),
            Node::Text(text) => parts(text.flattened(), count),
            Node::Path(path) => {
                *count += usize::from(path.fill().is_some()) + usize::from(path.stroke().is_some());
            }
            Node::Image(_) => panic!("a picture holds pixels"),
        }
    }
}

#[test]
fn names_that_differ_in_the_middle_are_told_apart_in_every_drawing() {
    let entry = |beta: &str| lehr_report::ComparisonEntry {
        name: format!(
            "noise-relaxation fitted on the runs that anneal with power {beta}, scored on all the others that there are"
        ),
        value: 1.0,
        interval: None,
        note: None,
    };
    let picture = lehr_report::ComparisonPicture {
        entries: ["0.5", "1.0", "2.0"].map(entry).to_vec(),
        ..samples::comparison()
    };
    let svg = picture.svg(&PictureStyle::default());
    let document = Document::parse(&svg).unwrap();
    let names: Vec<&str> = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("tick"))
        .filter_map(|node| node.text())
        .filter(|text| text.starts_with("noise"))
        .collect();
    assert_eq!(names.len(), 3, "{svg}");
    for (name, beta) in names.iter().zip(["0.5", "1.0", "2.0"]) {
        assert!(name.contains(beta), "{names:?}");
    }
    for ascii in [false, true] {
        let drawing = picture.terminal(&TerminalStyle { ascii, ..TerminalStyle::default() });
        for beta in ["0.5", "1.0", "2.0"] {
            let drawn =
                drawing.lines().filter(|line| line.starts_with("noise") && line.contains(beta)).count();
            assert!(drawn >= 1, "{beta} is missing in\n{drawing}");
        }
    }
    // Names keep away from the picture's edge by the tenth that a wider font would take.
    for (text, place) in found(&svg).iter().filter(|(text, _)| text.starts_with("noise")) {
        assert!(place.left() >= 16.0 + 0.09 * place.width(), "{text} begins at {}", place.left());
    }
}

fn found(svg: &str) -> Vec<(String, Rect)> {
    let mut all = Vec::new();
    texts(laid_out(svg).root(), &mut all);
    all
}

#[test]
fn the_name_of_the_file_decides_the_format() {
    let picture = samples::comparison();
    let write = |name: &str| write_picture(&picture, name, &PictureStyle::default());
    assert!(write("a/b.svg").unwrap().starts_with(b"<svg"));
    assert!(write("a.b/c.PNG").unwrap().starts_with(b"\x89PNG"));
    assert!(write("plot.txt").unwrap().starts_with(b"The noise-relaxation law"));
    assert!(write("plot.pdf").unwrap().starts_with(b"%PDF-1.4"));
    for name in ["plot", "plot.jpeg", "dir.svg/plot", ".svg/", ""] {
        let error = write(name).unwrap_err();
        assert_eq!(error, PictureError::UnknownFormat { name: name.into() });
    }
    insta::assert_snapshot!(write("plot.jpeg").unwrap_err(), @"cannot tell the format of a picture from `plot.jpeg`: the name must end in .svg, .png, .pdf or .txt");
}

#[test]
fn a_drawing_fits_every_terminal() {
    for (width, height) in [(40, 14), (60, 20), (80, 24), (96, 30), (200, 60)] {
        for (name, picture, _) in samples::all() {
            for ascii in [false, true] {
                let style = TerminalStyle { width, height, colour: false, ascii };
                let text = picture.terminal(&style);
                for line in text.lines() {
                    assert!(line.width() <= width, "{name} at {width}: {} columns: {line}", line.width());
                    assert!(!ascii || line.is_ascii(), "{name}: not ASCII: {line}");
                    assert!(!line.contains('\u{1b}'));
                }
                if height >= 30 && name != "forecast-awkward" {
                    assert!(text.lines().count() <= height, "{name}: {} lines\n{text}", text.lines().count());
                }
            }
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    for (name, picture, _) in samples::all() {
        let plain = picture.terminal(&TerminalStyle::default());
        let coloured = picture.terminal(&TerminalStyle { colour: true, ..TerminalStyle::default() });
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            stripped += before;
            rest = after.split_once('m').unwrap().1;
        }
        stripped += rest;
        assert_eq!(stripped, plain, "{name}");
        assert_ne!(coloured, plain, "{name} has no colours");
    }
}

#[test]
fn the_panels_of_a_forecast_share_their_columns() {
    let text = samples::forecast().terminal(&TerminalStyle { ascii: true, ..TerminalStyle::default() });
    let axes: Vec<&str> = text.lines().filter(|line| line.contains("+-----")).collect();
    assert_eq!(axes.len(), 2, "{text}");
    assert_eq!(axes[0], axes[1], "{text}");
}

#[test]
fn one_spike_does_not_squeeze_a_forecast() {
    let mut picture: ForecastPicture = samples::forecast();
    let usual = picture.svg(&PictureStyle::default());
    let last = picture.measured[0].loss.len() - 9;
    picture.measured[0].loss[last] = 11.0;
    let spiked = picture.svg(&PictureStyle::default());
    let ticks = |svg: &str| -> Vec<String> {
        let document = Document::parse(svg).unwrap();
        let ticks = document.descendants().filter(|node| node.attribute("class") == Some("tick"));
        ticks.filter_map(|node| node.text().map(str::to_owned)).collect()
    };
    assert_eq!(ticks(&usual), ticks(&spiked));
}

#[test]
fn terminal_drawings_look_like_this() {
    let style = TerminalStyle { width: 88, height: 26, colour: false, ascii: false };
    insta::assert_snapshot!("forecast", samples::forecast().terminal(&style));
    insta::assert_snapshot!("recommendation", samples::recommendation().terminal(&style));
    insta::assert_snapshot!("comparison", samples::comparison().terminal(&style));
    insta::assert_snapshot!("transfer", samples::transfer().terminal(&style));
    insta::assert_snapshot!(
        "forecast-ascii",
        samples::forecast().terminal(&TerminalStyle { ascii: true, ..style })
    );
}

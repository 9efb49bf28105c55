//! Widths of text, wrapping, and text that is safe in XML and in a terminal.
//!
//! Widths are those of DejaVu Sans Condensed, the font of the PNGs. The fonts that an SVG falls back to (Arial,
//! Helvetica) are about as wide, so what does not collide in one does not collide in the other.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Advance widths of the characters from space to tilde, in thousandths of the font size.
const REGULAR: [u16; 95] = [
    286, 360, 414, 754, 572, 855, 702, 247, 351, 351, 450, 754, 286, 325, 286, 303, 572, 572, 572, 572, 572,
    572, 572, 572, 572, 572, 303, 303, 754, 754, 754, 478, 900, 615, 617, 628, 693, 568, 518, 697, 677, 265,
    265, 590, 501, 776, 673, 708, 542, 708, 625, 571, 549, 659, 615, 890, 616, 549, 616, 351, 303, 351, 754,
    450, 450, 551, 571, 495, 571, 554, 316, 571, 570, 250, 250, 521, 250, 876, 570, 550, 571, 571, 370, 469,
    353, 570, 532, 736, 532, 532, 472, 572, 303, 572, 754,
];
const BOLD: [u16; 95] = [
    313, 410, 469, 754, 626, 901, 785, 275, 411, 411, 470, 754, 342, 374, 342, 329, 626, 626, 626, 626, 626,
    626, 626, 626, 626, 626, 360, 360, 754, 754, 754, 522, 900, 696, 686, 660, 747, 615, 615, 738, 753, 334,
    334, 697, 573, 896, 753, 765, 659, 765, 693, 648, 614, 730, 696, 993, 694, 651, 652, 411, 329, 411, 754,
    450, 450, 607, 644, 533, 644, 610, 391, 644, 641, 308, 308, 598, 308, 938, 641, 618, 644, 644, 444, 536,
    430, 641, 586, 831, 580, 586, 523, 641, 329, 641, 754,
];

/// Width of a text in px.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let table = if bold { &BOLD } else { &REGULAR };
    let advance = |c: char| -> f64 {
        match c {
            ' '..='~' => f64::from(table[c as usize - 32]),
            '−' | '±' | '×' | '≤' | '≥' | '≈' | '→' => 754.0,
            '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' => 394.0,
            '⁻' => 475.0,
            '·' => 342.0,
            '…' | '—' => 900.0,
            '–' => 450.0,
            '\u{202f}' | '\u{2009}' => 180.0,
            'α'..='ω' => 660.0,
            c if c.width() == Some(2) => 1000.0,
            c if c.width() == Some(0) => 0.0,
            _ => 720.0,
        }
    };
    text.chars().map(advance).sum::<f64>() * size / 1000.0
}

/// Shortens a text in the middle so that it fits: names of runs differ at both ends.
pub(crate) fn shorten(text: &str, size: f64, bold: bool, most: f64) -> String {
    shorten_by(text, most, '…', &|text| width(text, size, bold))
}

/// [`shorten`] by any measure; `mark` stands for what is left out.
fn shorten_by(text: &str, most: f64, mark: char, measure: &dyn Fn(&str) -> f64) -> String {
    if measure(text) <= most {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    for keep in (1..chars.len()).rev() {
        let head: String = chars[..keep.div_ceil(2)].iter().collect();
        let tail: String = chars[chars.len() - keep / 2..].iter().collect();
        let short = format!("{}{mark}{}", head.trim_end(), tail.trim_start());
        if measure(&short) <= most {
            return short;
        }
    }
    mark.to_string()
}

/// Shortens the names on an axis so that each fits and no two that differ read the same: where the middle is what tells
/// names apart, it stays and the ends go.
pub(crate) fn shorten_apart(
    names: &[String],
    most: f64,
    mark: char,
    measure: &dyn Fn(&str) -> f64,
) -> Vec<String> {
    let mut short: Vec<String> = names.iter().map(|name| shorten_by(name, most, mark, measure)).collect();
    for i in 0..names.len() {
        let alike: Vec<usize> = (0..names.len()).filter(|&j| short[j] == short[i]).collect();
        if alike.iter().any(|&j| names[j] != names[i]) {
            let group: Vec<Vec<char>> = alike.iter().map(|&j| names[j].chars().collect()).collect();
            for (&j, text) in alike.iter().zip(cores(&group, most, mark, measure)) {
                short[j] = text;
            }
        }
    }
    // What no shortening tells apart is numbered.
    for i in 0..names.len() {
        if (0..i).any(|j| short[j] == short[i] && names[j] != names[i]) {
            let number = format!("{} ", i + 1);
            let room = most - measure(&number);
            short[i] = number + &shorten_by(&names[i], room, mark, measure);
        }
    }
    short
}

/// Each name as what it does not share with the others of its group, with as much of its ends as fits.
fn cores(group: &[Vec<char>], most: f64, mark: char, measure: &dyn Fn(&str) -> f64) -> Vec<String> {
    let shortest = group.iter().map(Vec::len).min().unwrap_or(0);
    let shared = |at: &dyn Fn(&[char], usize) -> char, most: usize| {
        (0..most).take_while(|&k| group.iter().all(|name| at(name, k) == at(&group[0], k))).count()
    };
    let before = shared(&|name, k| name[k], shortest);
    let after = shared(&|name, k| name[name.len() - 1 - k], shortest - before);
    let text = |name: &[char], head: usize, tail: usize| {
        let part = |from: usize, to: usize| name[from..to].iter().collect::<String>();
        let n = name.len();
        let left = if head < before { format!("{}{mark}", part(0, head)) } else { part(0, before) };
        let right = if tail < after { format!("{mark}{}", part(n - tail, n)) } else { part(n - after, n) };
        format!("{left}{}{right}", part(before, n - after))
    };
    for keep in (0..before + after).rev() {
        let head = keep.div_ceil(2).min(before).max(keep.saturating_sub(after));
        let texts: Vec<String> = group.iter().map(|name| text(name, head, keep - head)).collect();
        if texts.iter().all(|text| measure(text) <= most) {
            return texts;
        }
    }
    group.iter().map(|name| shorten_by(&text(name, 0, 0), most, mark, measure)).collect()
}

/// Breaks a text into lines no wider than `most`; a word that is wider alone is broken, too.
pub(crate) fn wrap(text: &str, size: f64, bold: bool, most: f64) -> Vec<String> {
    wrap_by(text, most, |text| width(text, size, bold))
}

/// As [`wrap`] for the columns of a terminal.
pub(crate) fn wrap_columns(text: &str, most: usize) -> Vec<String> {
    wrap_by(text, most as f64, |text| text.width() as f64)
}

fn wrap_by(text: &str, most: f64, measure: impl Fn(&str) -> f64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if measure(&joined) <= most {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            let mut longer = line.clone();
            longer.push(c);
            if measure(&longer) > most && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Replaces control characters, which neither XML nor a terminal can show, and those that reorder text, by spaces.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control()
                || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// A text for XML.
pub(crate) fn escape(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A text in ASCII: what has a plain spelling gets it, the rest becomes a question mark.
pub(crate) fn to_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut raised = false;
    for c in text.chars() {
        let digit = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|d| d == c);
        if (digit.is_some() || c == '⁻') && !raised {
            // 10⁻⁴ reads 1e-4, x² reads x^2.
            if out.ends_with("*10") || out == "10" || out.ends_with(" 10") || out.ends_with("(10") {
                let times = out.ends_with("*10");
                out.truncate(out.len() - if times { 3 } else { 2 });
                out.push_str(if times { "e" } else { "1e" });
            } else {
                out.push('^');
            }
        }
        raised = digit.is_some() || c == '⁻';
        match c {
            _ if digit.is_some() => out.push_str(&digit.unwrap_or(0).to_string()),
            '⁻' | '−' | '–' | '—' => out.push('-'),
            '±' => out.push_str("+/-"),
            '×' => out.push('x'),
            '·' => out.push('*'),
            '…' => out.push_str("..."),
            '≤' => out.push_str("<="),
            '≥' => out.push_str(">="),
            '≈' => out.push('~'),
            '→' => out.push_str("->"),
            'η' => out.push_str("eta"),
            'α' => out.push_str("alpha"),
            'β' => out.push_str("beta"),
            '√' => out.push_str("sqrt "),
            '\u{202f}' | '\u{2009}' | '\u{a0}' => out.push(' '),
            '’' | '‘' => out.push('\''),
            '“' | '”' => out.push('"'),
            c if c.is_ascii() => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_have_an_ascii_spelling() {
        assert_eq!(to_ascii("3·10⁻⁴"), "3e-4");
        assert_eq!(to_ascii("10⁻³"), "1e-3");
        assert_eq!(to_ascii("rate (10⁻³)"), "rate (1e-3)");
        assert_eq!(to_ascii("2.71 ± 0.01 … x²"), "2.71 +/- 0.01 ... x^2");
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        let short = shorten("wsd-linear-lr0.001-T25000-r0.2-seed-17", 11.0, false, 90.0);
        assert!(short.starts_with("wsd") && short.ends_with("17") && short.contains('…'), "{short}");
        assert!(width(&short, 11.0, false) <= 90.0);
    }

    #[test]
    fn names_that_differ_in_the_middle_stay_apart() {
        let names: Vec<String> = ["0.5", "1.0", "2.0"]
            .iter()
            .map(|beta| {
                format!(
                    "noise-relaxation fitted on runs annealed with power {beta} and scored on all the others"
                )
            })
            .collect();
        let measure = |text: &str| width(text, 11.0, false);
        let middle: Vec<String> = names.iter().map(|name| shorten(name, 11.0, false, 150.0)).collect();
        assert_eq!(middle[0], middle[1], "the plain way makes them equal");
        let apart = shorten_apart(&names, 150.0, '…', &measure);
        for (text, beta) in apart.iter().zip(["0.5", "1.0", "2.0"]) {
            assert!(text.starts_with("noise") && text.contains(beta) && text.ends_with("others"), "{text}");
            assert!(measure(text) <= 150.0, "{text}");
        }
        // Equal names stay equal, and short ones as they are.
        let same = ["a".to_owned(), "a".to_owned(), "b".to_owned()];
        assert_eq!(shorten_apart(&same, 150.0, '…', &measure), same);
    }

    proptest::proptest! {
        #[test]
        fn no_two_names_read_the_same(
            names in proptest::collection::vec("[ab-]{0,24}", 1..12), most in 40.0f64..200.0
        ) {
            let measure = |text: &str| width(text, 11.0, false);
            let short = shorten_apart(&names, most, '…', &measure);
            for (i, a) in short.iter().enumerate() {
                proptest::prop_assert!(measure(a) <= most, "{a} of {}", names[i]);
                for (j, b) in short[..i].iter().enumerate() {
                    proptest::prop_assert!(names[i] == names[j] || a != b, "{} and {} read {a}", names[i], names[j]);
                }
            }
        }
    }

    #[test]
    fn control_characters_never_reach_a_terminal_or_xml() {
        assert_eq!(escape("a\u{1b}[31m<b>&\n"), "a [31m&lt;b&gt;&amp; ");
    }

    #[test]
    fn wrapping_breaks_even_one_endless_word() {
        let lines = wrap(&"x".repeat(100), 10.0, false, 60.0);
        assert!(lines.len() > 5 && lines.iter().all(|line| width(line, 10.0, false) <= 60.0));
    }
}

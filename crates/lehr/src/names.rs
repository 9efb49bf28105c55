//! Patterns that name runs: one grammar wherever runs are chosen.

/// Whether a pattern names a run: its whole name, or what follows the last `/` of it.
///
/// `*` takes any text, `?` any character, `[ab]` or `[a-z]` one of these, `[!ab]` none of them. A name fits itself, whatever
/// stands in it.
///
/// # Examples
/// ```
/// use lehr::names_run;
/// assert!(names_run("cosine_*", "25M/cosine_24000"));
/// assert!(names_run("25M/*", "25M/cosine_24000"));
/// assert!(names_run("r0.[24]", "r0.2") && !names_run("r0.[24]", "r0.8"));
/// assert!(!names_run("cosine", "25M/cosine_24000"));
/// ```
#[must_use]
pub fn names_run(pattern: &str, id: &str) -> bool {
    let last = id.rsplit('/').next().unwrap_or(id);
    if pattern == id || pattern == last {
        return true;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    fits(&pattern, id) || fits(&pattern, last)
}

/// Whether a text is a pattern rather than a plain name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A pattern that fits a name, whatever stands in it: what has a meaning in patterns, and a `!` at the beginning where it would leave the run
/// out, stand for any one character.
///
/// # Examples
/// ```
/// use lehr::{names_run, pattern_of};
/// assert_eq!(pattern_of("!a[1]*"), "?a?1??");
/// assert!(names_run(&pattern_of("!a[1]*"), "!a[1]*"));
/// ```
#[must_use]
pub fn pattern_of(name: &str) -> String {
    let name = name.replace(['*', '[', ']'], "?");
    name.strip_prefix('!').map_or_else(|| name.clone(), |rest| format!("?{rest}"))
}

/// Linear-time match: on a mismatch the last `*` takes one character more.
fn fits(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(next) = takes(pattern, p, text[t]) {
            p = next;
            t += 1;
        } else {
            let Some((at, from)) = star else { return false };
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Where a pattern goes on after a character that it takes there; `None` where it takes another.
fn takes(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let own = *pattern.get(at)?;
    if own == '['
        && let Some(length) = pattern[at + 1..].iter().position(|&c| c == ']').filter(|&length| length > 0)
    {
        let (but, chosen) = match &pattern[at + 1..=at + length] {
            ['!', rest @ ..] if !rest.is_empty() => (true, rest),
            all => (false, all),
        };
        return (among(chosen, c) != but).then_some(at + length + 2);
    }
    // A bracket that is never closed, or closed at once, is a bracket.
    (own == '?' || own == c).then_some(at + 1)
}

/// Whether a character is one of these, of which `a-z` is a range.
fn among(mut chosen: &[char], c: char) -> bool {
    loop {
        let (found, rest) = match chosen {
            [low, '-', high, rest @ ..] => ((*low..=*high).contains(&c), rest),
            [one, rest @ ..] => (*one == c, rest),
            [] => return false,
        };
        if found {
            return true;
        }
        chosen = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bracket_takes_one_of_its_characters_and_a_name_fits_itself() {
        for (pattern, id, wanted) in [
            ("r0.[146]-*", "r0.4-linear", true),
            ("r0.[146]-*", "r0.2-linear", false),
            ("*[a-c]1", "run-b1", true),
            ("*[a-c]1", "run-d1", false),
            ("r[!0-4]", "r7", true),
            ("r[!0-4]", "r3", false),
            ("run[1]", "run[1]", true),
            ("run[1]", "run1", true),
            ("run[", "run[", true),
            ("x*[]", "xy[]", true),
            ("*[2]*", "a-1-b-2-c", true),
            ("?é*", "été", false),
            ("?t?", "été", true),
            ("a*c", "abbc", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("", "", true),
            ("*", "anything/at/all", true),
        ] {
            assert_eq!(names_run(pattern, id), wanted, "{pattern} {id}");
        }
    }
}

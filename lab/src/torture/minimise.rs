//! Makes a case small while it still breaks its rule.

use super::case::CommandCase;
use std::io;

/// Attempts that a case is worth.
const ATTEMPTS: usize = 120;

/// Leaves out pieces of a list, larger ones first, while `still` says that the rest will do.
pub fn shorter<T: Clone>(
    items: &[T],
    attempts: &mut usize,
    still: &mut dyn FnMut(&[T]) -> io::Result<bool>,
) -> io::Result<Vec<T>> {
    let mut items = items.to_vec();
    let mut piece = items.len() / 2;
    while piece > 0 {
        let mut from = 0;
        while from < items.len() && *attempts > 0 {
            let to = (from + piece).min(items.len());
            let rest = [&items[..from], &items[to..]].concat();
            *attempts -= 1;
            if still(&rest)? {
                items = rest;
            } else {
                from = to;
            }
        }
        piece /= 2;
    }
    Ok(items)
}

/// A smaller case that breaks the same rule.
pub fn minimised(
    case: &CommandCase,
    still: &mut dyn FnMut(&CommandCase) -> io::Result<bool>,
) -> io::Result<CommandCase> {
    let mut best = case.clone();
    // Options from the end, each with its value; the verb and what it is given stay.
    let mut at = best.words.len();
    while at > 2 {
        at -= 1;
        if !best.words[at].starts_with("--") {
            continue;
        }
        let to =
            if best.words.get(at + 1).is_some_and(|next| !next.starts_with("--")) { at + 2 } else { at + 1 };
        let words = [&best.words[..at], &best.words[to..]].concat();
        let smaller = CommandCase { words, ..best.clone() };
        if still(&smaller)? {
            best = smaller;
        }
    }
    let mut attempts = ATTEMPTS;
    let lines: Vec<&[u8]> = case.bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let with = |best: &CommandCase, lines: &[&[u8]]| CommandCase { bytes: lines.concat(), ..best.clone() };
    let kept = shorter(&lines, &mut attempts, &mut |lines| still(&with(&best, lines)))?;
    Ok(with(&best, &kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_left() {
        let case = CommandCase {
            words: ["fit", "{file}", "--a", "1", "--bad", "2", "--c"].map(str::to_owned).into(),
            name: "x.csv".to_owned(),
            bytes: (0..64).map(|i| format!("{i}\n")).collect::<String>().into_bytes(),
        };
        let small = minimised(&case, &mut |case| {
            let text = String::from_utf8_lossy(&case.bytes).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            Ok(case.words.iter().any(|word| word == "--bad") && lines.contains(&"7") && lines.contains(&"50"))
        });
        let small = small.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(small.words, ["fit", "{file}", "--bad", "2"]);
        assert_eq!(small.bytes, b"7\n50\n");
    }
}

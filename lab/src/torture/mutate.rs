//! Small harm to files.

use super::dice::Dice;
use super::options::NUMBERS;

/// One number of a text replaced by another; `None` where there is none.
pub fn number(dice: &mut Dice, bytes: &[u8]) -> Option<Vec<u8>> {
    let of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+');
    let mut numbers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + bytes[at..].iter().take_while(|byte| of_number(byte)).count().max(1);
        if bytes[at].is_ascii_digit() {
            numbers.push((at, end));
            at = end;
        } else {
            at += 1;
        }
    }
    if numbers.is_empty() {
        return None;
    }
    let (from, to) = numbers[dice.below(numbers.len())];
    let new = dice.pick(&NUMBERS);
    Some([&bytes[..from], new.as_bytes(), &bytes[to..]].concat())
}

/// Lines of a text with one left out, twice, moved or emptied.
fn lines(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.is_empty() {
        return bytes.to_vec();
    }
    let (i, j) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(5) {
        0 => drop(lines.remove(i)),
        1 => lines.insert(j, lines[i]),
        2 => lines.swap(i, j),
        3 => lines.truncate(i),
        _ => lines[i] = b"\n",
    }
    lines.concat()
}

/// The bytes with one to four small harms.
pub fn mutated(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + dice.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = dice.below(bytes.len());
        match dice.below(12) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.next() as u8,
            2 => bytes.truncate(at),
            3 => {
                let to = (at + 1 + dice.below(64)).min(bytes.len());
                drop(bytes.drain(at..to));
            }
            4 => {
                let to = (at + 1 + dice.below(64)).min(bytes.len());
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let word =
                    dice.pick(&["\"", ",", "\n", "\r", "{", "}", "\0", "\u{feff}", "null", "1e999", "-"]);
                bytes.splice(at..at, word.bytes());
            }
            6 | 7 => bytes = lines(dice, &bytes),
            _ => bytes = number(dice, &bytes).unwrap_or(bytes),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_the_same_for_the_same_seed_and_does_happen() {
        let text = b"step,lr,loss\n10,1e-3,2.5\n20,1e-3,2.4\n";
        let all: Vec<Vec<u8>> = (0..200).map(|i| mutated(&mut Dice::new(7, i), text)).collect();
        assert_eq!(all, (0..200).map(|i| mutated(&mut Dice::new(7, i), text)).collect::<Vec<_>>());
        let changed = all.iter().filter(|bytes| bytes.as_slice() != text).count();
        assert!(changed > 150, "{changed}");
    }

    #[test]
    fn a_number_is_replaced_whole() {
        let text = b"a=1.5e-3,b";
        for i in 0..50 {
            let new =
                String::from_utf8(number(&mut Dice::new(1, i), text).unwrap_or_default()).unwrap_or_default();
            let inside = new.strip_prefix("a=").and_then(|rest| rest.strip_suffix(",b"));
            assert!(inside.is_some_and(|inside| NUMBERS.contains(&inside)), "{new}");
        }
    }
}

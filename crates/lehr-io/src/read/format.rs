//! What a file is, by its first bytes.

use crate::error::ReadError;
use crate::source::Source;
use crate::table;

/// Archives that are not expanded.
fn archive(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'P', b'K', 3, 4, ..] => "a zip archive (unpack it first)",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            "an xz file (xz -d first; gzip and Zstandard are expanded while reading)"
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            "a bzip2 file (bzip2 -d first; gzip and Zstandard are expanded while reading)"
        }
        _ if head.get(257..262) == Some(b"ustar") => "a tar archive (unpack it first)",
        _ => return None,
    })
}

/// The first line with a Python dict of losses, as trainers print them between progress bars.
///
/// The prefix of a logger may stand before it.
fn printed_dict(head: &[u8]) -> Option<String> {
    let dict = head.split(|&byte| byte == b'\n' || byte == b'\r').find_map(|line| {
        let dict = &line[memchr::memmem::find(line, b"{'")?..];
        // A line of JSON or of a table may hold such a text in a cell.
        let is_json = line.trim_ascii_start().starts_with(b"{\"");
        let has = |name: &&str| memchr::memmem::find(dict, name.as_bytes()).is_some();
        (!is_json && ["'loss':", "'eval_loss':", "'learning_rate':"].iter().any(has)).then_some(dict)
    })?;
    Some(String::from_utf8_lossy(dict).into_owned())
}

/// What the file is, by its first bytes.
pub(super) fn format_of(source: &Source) -> Result<table::Format, ReadError> {
    let file = source.name();
    let head = source.head(table::HEAD).map_err(ReadError::io(file))?;
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty { file: file.to_owned() });
    }
    if let Some(line) = printed_dict(&head) {
        let without = if ["'step':", "'global_step':"].iter().any(|name| line.contains(name)) {
            ""
        } else {
            " without steps"
        };
        return Err(ReadError::Refused {
            file: file.to_owned(),
            why: format!(
                "dicts of Python, printed by a trainer{without}: found {}; expected JSON or a table",
                table::shortened(&line)
            ),
            hint: "read trainer_state.json of the output directory (its newest checkpoint has one), or the run's tracker, which hold the step of each row; a script of your own can print json.dumps(…) of its rows".to_owned(),
        });
    }
    // A document found beside logs (settings, summaries) is not one of them; JSON lines are named so.
    let is_document = source.found() && source.plain_name().to_lowercase().ends_with(".json");
    table::sniff(&head).filter(|_| !is_document).ok_or_else(|| ReadError::Unrecognised {
        file: file.to_owned(),
        found: if let Some(archive) = archive(&head) {
            archive.to_owned()
        } else if head.contains(&0) || std::str::from_utf8(&head).is_err_and(|error| error.error_len().is_some()) {
            format!("binary data ({:02x?} …)", &head[..head.len().min(4)])
        } else {
            let text = String::from_utf8_lossy(&head);
            format!("the text {}", table::shortened(text.trim().lines().next().unwrap_or_default()))
        },
        expected: "CSV, TSV, JSON lines or Parquet with columns for step, loss and learning rate, or a log of a known trainer",
    })
}

//! Pictures, as the verbs that train use them.

use crate::failure::Failure;
use crate::output::{say, write_file};
use lehr_report::{PictureStyle, write_picture};
use std::path::Path;

pub use lehr_app::pictures::{Picture, transfer};

/// Writes a picture in the format that the file's name asks for.
pub fn write(path: &Path, picture: &Picture) -> Result<(), Failure> {
    let bytes = write_picture(picture.as_ref(), &path.to_string_lossy(), &PictureStyle::default())
        .map_err(Failure::usage)?;
    write_file(path, &bytes)?;
    say(format_args!("wrote {}", path.display()));
    Ok(())
}

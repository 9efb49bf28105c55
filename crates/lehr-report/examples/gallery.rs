//! Draws every sample picture into a folder, as SVG, PNG, PDF and text: `cargo run -p lehr-report --example gallery -- out`.

#[path = "../tests/support/samples.rs"]
mod samples;

use lehr_report::{TerminalStyle, write_picture};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "out".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, picture, style) in samples::all() {
        for extension in ["svg", "png", "pdf"] {
            let file = format!("{name}.{extension}");
            std::fs::write(folder.join(&file), write_picture(picture.as_ref(), &file, &style)?)?;
        }
        let plain = picture.terminal(&TerminalStyle::default());
        let ascii = picture.terminal(&TerminalStyle { ascii: true, ..TerminalStyle::default() });
        std::fs::write(folder.join(format!("{name}.txt")), format!("{plain}\n{ascii}"))?;
    }
    Ok(())
}

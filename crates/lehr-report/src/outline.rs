//! Parses an SVG with a font that the program carries, so that no machine draws other text or none.

use crate::error::PictureError;
use resvg::usvg::{Options, Tree, fontdb};
use std::sync::{Arc, LazyLock};

/// The family of the embedded font.
const FAMILY: &str = "DejaVu Sans Condensed";

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans_condensed::regular().to_vec());
    fonts.load_font_data(dejavu::sans_condensed::bold().to_vec());
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// Parses an SVG as the writers of PNG and PDF see it: text has become outlines.
pub(crate) fn tree(svg: &str) -> Result<Tree, PictureError> {
    let options =
        Options { fontdb: Arc::clone(&FONTS), font_family: FAMILY.to_owned(), ..Options::default() };
    Tree::from_str(svg, &options).map_err(|error| PictureError::Drawing(error.to_string()))
}

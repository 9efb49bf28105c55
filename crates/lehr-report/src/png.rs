//! Turns an SVG into a PNG with a font that the program carries, so that no machine draws other text or none.

use crate::picture::PictureError;
use resvg::tiny_skia::{Pixmap, Transform};
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

/// Most pixels of a PNG: 64 Mpx are 256 MB while drawing.
const MOST_PIXELS: f64 = 64.0 * 1024.0 * 1024.0;

/// Parses an SVG as the PNG writer sees it.
pub(crate) fn tree(svg: &str) -> Result<Tree, PictureError> {
    let options =
        Options { fontdb: Arc::clone(&FONTS), font_family: FAMILY.to_owned(), ..Options::default() };
    Tree::from_str(svg, &options).map_err(|error| PictureError::Drawing(error.to_string()))
}

/// Draws an SVG into a PNG, `scale` px per unit of the SVG.
pub(crate) fn rasterise(svg: &str, scale: f64) -> Result<Vec<u8>, PictureError> {
    let tree = tree(svg)?;
    let (width, height) = (f64::from(tree.size().width()) * scale, f64::from(tree.size().height()) * scale);
    if !(scale > 0.0 && width >= 1.0 && height >= 1.0 && width * height <= MOST_PIXELS) {
        return Err(PictureError::Size { width, height });
    }
    let mut pixels = Pixmap::new(width.round() as u32, height.round() as u32)
        .ok_or(PictureError::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(scale as f32, scale as f32), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PictureError::Drawing(error.to_string()))
}

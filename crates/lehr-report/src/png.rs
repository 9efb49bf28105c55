//! Turns an SVG into a PNG.

use crate::error::PictureError;
use crate::outline::tree;
use resvg::tiny_skia::{Pixmap, Transform};

/// Most pixels of a PNG: 64 Mpx are 256 MB while drawing.
const MOST_PIXELS: f64 = 64.0 * 1024.0 * 1024.0;

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

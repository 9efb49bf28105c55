//! What all pictures can do, and the formats they are written in.

mod comparison;
mod fit;
mod forecast;
mod plan;
mod recommendation;
mod training;
mod transfer;

pub use comparison::{ComparisonEntry, ComparisonPicture};
pub use fit::{FitPicture, FitView, RunFit};
pub use forecast::{ForecastPicture, Horizontal, Phase, Rival};
pub use plan::{Outlook, PlanPicture};
pub use recommendation::{MeasuredLoss, RecommendationPicture, Rule};
pub use training::TrainingPicture;
pub use transfer::{Optimum, TransferPanel, TransferPicture};

use crate::error::PictureError;
use crate::figure::Figure;
use crate::page::PageFigure;
use crate::style::{PictureStyle, TerminalStyle};
#[cfg(feature = "png")]
use crate::{pdf, png};
use crate::{svg, terminal};

/// A format of picture files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Scalable vector graphics, with real text.
    Svg,
    /// Pixels; the text is drawn with an embedded font.
    Png,
    /// One page of vectors; the text is drawn with an embedded font, as outlines.
    Pdf,
    /// The drawing for a terminal, without colours.
    Text,
}

impl PictureFormat {
    /// Returns the format that the extension of a file name asks for.
    ///
    /// # Errors
    /// [`PictureError::UnknownFormat`] for any other extension than `svg`, `png`, `pdf` and `txt`, or none.
    ///
    /// # Examples
    /// ```
    /// use lehr_report::PictureFormat;
    /// assert_eq!(PictureFormat::from_name("out/forecast.SVG"), Ok(PictureFormat::Svg));
    /// assert!(PictureFormat::from_name("forecast.jpeg").is_err());
    /// ```
    pub fn from_name(name: &str) -> Result<Self, PictureError> {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        match file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some("pdf") => Ok(Self::Pdf),
            Some("txt") => Ok(Self::Text),
            _ => Err(PictureError::UnknownFormat { name: name.to_owned() }),
        }
    }

    /// Whether this build draws the format.
    ///
    /// # Errors
    /// [`PictureError::Missing`] for PNG and PDF without the feature `png`.
    pub fn available(self) -> Result<Self, PictureError> {
        match self {
            Self::Png if !HAS_PNG => Err(PictureError::Missing { format: "PNG" }),
            Self::Pdf if !HAS_PNG => Err(PictureError::Missing { format: "PDF" }),
            _ => Ok(self),
        }
    }
}

/// Whether this build draws PNG and PDF (feature `png`).
pub const HAS_PNG: bool = cfg!(feature = "png");

/// Something that can be drawn.
pub trait Picture {
    /// The figure to draw.
    #[doc(hidden)]
    fn figure(&self) -> FigureBox;

    /// The drawing for a terminal, lines separated by `\n`.
    fn terminal(&self, style: &TerminalStyle) -> String {
        terminal::draw(&self.figure().0, style)
    }

    /// The picture as SVG.
    fn svg(&self, style: &PictureStyle) -> String {
        svg::draw(&self.figure().0, style)
    }

    /// The picture for a page: SVG without title and caption, in inks that the page's style sheet sets, with its numbers.
    fn page(&self, width: f64, height: f64) -> PageFigure {
        let style = PictureStyle { width, height, theme: crate::style::Theme::Page };
        crate::page::page(&self.figure().0, &style)
    }

    /// The picture as PNG with `scale` pixels per unit of the style's size; 2 suits most papers.
    ///
    /// # Errors
    /// [`PictureError::Size`] where the scale gives no or too many pixels; [`PictureError::Missing`] without the feature `png`.
    #[cfg_attr(not(feature = "png"), expect(unused_variables, reason = "nothing can be drawn"))]
    fn png(&self, style: &PictureStyle, scale: f64) -> Result<Vec<u8>, PictureError> {
        #[cfg(feature = "png")]
        return png::rasterise(&self.svg(style), scale);
        #[cfg(not(feature = "png"))]
        Err(PictureError::Missing { format: "PNG" })
    }

    /// The picture as a PDF of one page, as large as the style says (96 px are an inch).
    ///
    /// # Errors
    /// [`PictureError::Drawing`] where the picture holds what a PDF cannot; [`PictureError::Missing`] without the feature `png`.
    #[cfg_attr(not(feature = "png"), expect(unused_variables, reason = "nothing can be drawn"))]
    fn pdf(&self, style: &PictureStyle) -> Result<Vec<u8>, PictureError> {
        #[cfg(feature = "png")]
        return pdf::document(&self.svg(style), &self.figure().0.title);
        #[cfg(not(feature = "png"))]
        Err(PictureError::Missing { format: "PDF" })
    }
}

/// A figure, opaque outside of this crate.
#[doc(hidden)]
#[derive(Debug)]
pub struct FigureBox(pub(crate) Figure);

/// Returns the bytes of a picture file whose format the file's name tells; opens no file.
///
/// # Errors
/// [`PictureError::UnknownFormat`] for a name that ends in neither `.svg`, `.png`, `.pdf` nor `.txt`; else as [`Picture::png`]
/// and [`Picture::pdf`].
pub fn write_picture(
    picture: &dyn Picture,
    name: &str,
    style: &PictureStyle,
) -> Result<Vec<u8>, PictureError> {
    Ok(match PictureFormat::from_name(name)? {
        PictureFormat::Svg => picture.svg(style).into_bytes(),
        PictureFormat::Png => picture.png(style, 2.0)?,
        PictureFormat::Pdf => picture.pdf(style)?,
        PictureFormat::Text => picture.terminal(&TerminalStyle::default()).into_bytes(),
    })
}

/// A loss as written in labels.
fn loss_text(loss: f64) -> String {
    format!("{loss:.3}")
}

/// A loss with its interval: `2.731 ± 0.006`, or the two ends where they are not symmetric.
fn interval_text(value: f64, lower: f64, upper: f64) -> String {
    let (below, above) = (value - lower, upper - value);
    if below < 0.0 || above < 0.0 || (below - above).abs() > 0.2 * (below + above) / 2.0 {
        return format!("{} ({} – {})", loss_text(value), loss_text(lower), loss_text(upper));
    }
    let half = (below + above) / 2.0;
    if half < 0.001 {
        format!("{value:.4} ± {half:.4}")
    } else {
        format!("{} ± {}", loss_text(value), loss_text(half))
    }
}

/// A share as written in labels: `90 %`.
fn percent(share: f64) -> String {
    format!("{}\u{202f}%", crate::ticks::si(share * 100.0, 1))
}

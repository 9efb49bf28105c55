//! How a picture looks: size, theme, colours.

/// Light or dark background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark ink on white: for papers.
    #[default]
    Light,
    /// Light ink on near-black: for slides and dark pages.
    Dark,
    /// No background and inks that a page's style sheet sets (`--ink-main` and the like), for pages that are light or dark
    /// as their reader wants; not for PNG and PDF.
    Page,
}

/// Size and theme of an SVG or PNG.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureStyle {
    /// Width in px; at least 240.
    pub width: f64,
    /// Height in px; at least 180.
    pub height: f64,
    /// Background and inks.
    pub theme: Theme,
}

impl Default for PictureStyle {
    fn default() -> Self {
        Self { width: 760.0, height: 540.0, theme: Theme::Light }
    }
}

impl PictureStyle {
    /// The style with its size raised to the least that axes and labels need.
    pub(crate) fn at_least_readable(self) -> Self {
        Self { width: self.width.max(240.0), height: self.height.max(180.0), ..self }
    }
}

/// Size and abilities of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalStyle {
    /// Columns; at least 40 are used.
    pub width: usize,
    /// Lines; at least 14 are used.
    pub height: usize,
    /// Whether ANSI colours may be written.
    pub colour: bool,
    /// Whether only ASCII may be written.
    pub ascii: bool,
}

impl Default for TerminalStyle {
    fn default() -> Self {
        Self { width: 96, height: 30, colour: false, ascii: false }
    }
}

/// What a mark means; the theme turns it into a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Titles and the most important labels.
    Text,
    /// Ticks, captions, secondary labels.
    Muted,
    /// Grid lines.
    Grid,
    /// The forecast, the recommended value, the best law.
    Main,
    /// Measurements.
    Measured,
    /// Measurements of many runs at once.
    Faint,
    /// A rival schedule, by index.
    Rival(usize),
    /// The plateau.
    Good,
    /// The annealing phase.
    Phase,
}

/// Okabe–Ito hues; the inks for text are darkened (light theme) or lightened (dark theme) to stay readable.
const RIVALS: [[&str; 4]; 5] = [
    // light mark, light text, dark mark, dark text
    ["#d55e00", "#b34f00", "#f08a3c", "#f08a3c"],
    ["#009e73", "#007a59", "#2cc295", "#2cc295"],
    ["#cc79a7", "#a3487c", "#dd9cc0", "#dd9cc0"],
    ["#e69f00", "#946600", "#f0b52e", "#f0b52e"],
    ["#56b4e9", "#2777a8", "#a5d8f5", "#a5d8f5"],
];

impl Ink {
    /// The colour of lines and areas.
    pub(crate) fn mark(self, theme: Theme) -> &'static str {
        self.pick(theme, false)
    }

    /// The colour of text.
    pub(crate) fn text(self, theme: Theme) -> &'static str {
        self.pick(theme, true)
    }

    fn pick(self, theme: Theme, text: bool) -> &'static str {
        if theme == Theme::Page {
            return self.variable(text);
        }
        let dark = theme == Theme::Dark;
        let choose = |light, other| if dark { other } else { light };
        match self {
            Self::Text => choose("#1a1a1a", "#ececec"),
            Self::Muted => choose("#595959", "#a9adb3"),
            Self::Grid => choose("#e4e4e4", "#2d3138"),
            Self::Main => match (dark, text) {
                (false, false) => "#0072b2",
                (false, true) => "#005f95",
                (true, _) => "#5cb8ee",
            },
            Self::Measured => choose("#4a4a4a", "#c4c7cc"),
            Self::Faint => choose("#a6a6a6", "#6b7078"),
            Self::Rival(i) => RIVALS[i % RIVALS.len()][usize::from(dark) * 2 + usize::from(text)],
            Self::Good => match (dark, text) {
                (false, false) => "#009e73",
                (false, true) => "#007a59",
                (true, _) => "#2cc295",
            },
            Self::Phase => match (dark, text) {
                (false, false) => "#e69f00",
                (false, true) => "#855c00",
                (true, _) => "#f0b52e",
            },
        }
    }

    /// The ink as a variable of a style sheet, with the light theme's colour where it is not set.
    fn variable(self, text: bool) -> &'static str {
        const OTHERS: [[&str; 2]; 5] = [
            ["var(--ink-rival-0,#d55e00)", "var(--ink-rival-0-text,#b34f00)"],
            ["var(--ink-rival-1,#009e73)", "var(--ink-rival-1-text,#007a59)"],
            ["var(--ink-rival-2,#cc79a7)", "var(--ink-rival-2-text,#a3487c)"],
            ["var(--ink-rival-3,#e69f00)", "var(--ink-rival-3-text,#946600)"],
            ["var(--ink-rival-4,#56b4e9)", "var(--ink-rival-4-text,#2777a8)"],
        ];
        match (self, text) {
            (Self::Text, _) => "var(--ink-text,#1a1a1a)",
            (Self::Muted, _) => "var(--ink-muted,#595959)",
            (Self::Grid, _) => "var(--ink-grid,#e4e4e4)",
            (Self::Main, false) => "var(--ink-main,#0072b2)",
            (Self::Main, true) => "var(--ink-main-text,#005f95)",
            (Self::Measured, _) => "var(--ink-measured,#4a4a4a)",
            (Self::Faint, _) => "var(--ink-faint,#a6a6a6)",
            (Self::Rival(i), text) => OTHERS[i % OTHERS.len()][usize::from(text)],
            (Self::Good, false) => "var(--ink-good,#009e73)",
            (Self::Good, true) => "var(--ink-good-text,#007a59)",
            (Self::Phase, false) => "var(--ink-phase,#e69f00)",
            (Self::Phase, true) => "var(--ink-phase-text,#855c00)",
        }
    }

    /// The SGR code of the ink in a terminal; empty for the terminal's own colour.
    pub(crate) fn ansi(self) -> &'static str {
        match self {
            Self::Text => "1",
            Self::Measured => "",
            Self::Muted | Self::Grid | Self::Faint => "2",
            Self::Main => "36",
            Self::Good => "32",
            Self::Phase => "33",
            Self::Rival(i) => ["31", "32", "35", "33", "34"][i % 5],
        }
    }
}

/// The background of a theme.
pub(crate) fn background(theme: Theme) -> &'static str {
    match theme {
        Theme::Light => "#ffffff",
        Theme::Dark => "#14171c",
        Theme::Page => "var(--paper,#ffffff)",
    }
}

//! The page and its files: all of them are in the program.

use crate::report::html::{FIGURES, STYLE};

/// Path, type and text of every file.
pub(super) const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("../assets/explorer.html")),
    ("/page.css", "text/css; charset=utf-8", STYLE),
    ("/explorer.css", "text/css; charset=utf-8", include_str!("../assets/explorer.css")),
    ("/figures.js", "text/javascript; charset=utf-8", FIGURES),
    ("/explorer.js", "text/javascript; charset=utf-8", include_str!("../assets/explorer.js")),
    ("/favicon.svg", "image/svg+xml", include_str!("../assets/favicon.svg")),
];

/// The headers of every answer.
pub(super) const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
];

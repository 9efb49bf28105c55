//! Every document that `--json` prints: those of the answers, and those of the command itself.

use lehr_app::documents::{ALL, DocumentKind};

/// The kinds, the command's own first.
#[must_use]
pub fn all() -> Vec<DocumentKind> {
    let own = [
        DocumentKind::of::<crate::failure::ErrorAnswer>(),
        DocumentKind::of::<crate::verb::quickstart::QuickstartAnswer>(),
    ];
    own.iter().chain(ALL).copied().collect()
}

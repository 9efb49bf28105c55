//! Panics of code from outside the project, turned into errors where it reads strangers' bytes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`caught`].
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The code from outside panicked, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its reader gave up: {0}")]
pub struct Panicked(pub String);

/// Runs `work`, which calls a reader from outside the project on bytes that anybody may have written; a panic there is an error, and
/// nothing is printed of it.
///
/// For readers that promise errors and still panic on some damaged input. Whatever `work` was working on is not to be used again after
/// an error. The project's own code has no need of it: it does not panic.
///
/// # Errors
/// [`Panicked`] with the message of the panic.
///
/// # Examples
/// ```
/// use lehr::guard::caught;
/// assert_eq!(caught(|| 1 + 1).unwrap(), 2);
/// let words: [&str; 0] = [];
/// assert!(caught(|| words[std::hint::black_box(3)]).is_err());
/// ```
pub fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Panicked> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others: Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send> = take_hook();
        set_hook(Box::new(move |panic| {
            if !INSIDE.get() {
                others(panic);
            }
        }));
    });
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(before);
    result.map_err(|payload| {
        let words = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        Panicked(words.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words_and_the_next_call_works() {
        let empty: Option<u8> = std::hint::black_box(None);
        assert_eq!(caught(|| empty.expect("a byte")), Err(Panicked("a byte".to_owned())));
        assert_eq!(caught(|| 2), Ok(2));
        assert!(!INSIDE.get());
    }
}

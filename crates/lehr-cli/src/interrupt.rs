//! Ctrl-C: what is half written is removed, and a verb may ask to end by itself. SIGTERM, where a verb asks for it.

use lehr_app::out_file::remove_unfinished;
#[cfg(feature = "train")]
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a process that the user ended.
const INTERRUPTED: i32 = 130;

/// Set where a verb ends by itself.
static ASKED: OnceLock<&'static AtomicBool> = OnceLock::new();

/// Catches Ctrl-C for the rest of the process.
pub fn watch() {
    let handler = || match ASKED.get() {
        // Whoever asks twice does not want to wait.
        Some(flag) if !flag.swap(true, Ordering::SeqCst) => {}
        _ => {
            remove_unfinished();
            std::process::exit(INTERRUPTED);
        }
    };
    // Without a handler, Ctrl-C ends the process as it always does.
    drop(ctrlc::set_handler(handler));
}

/// From now on Ctrl-C sets the flag that is returned; a second one ends the process.
pub fn ask_first() -> &'static AtomicBool {
    static FLAG: AtomicBool = AtomicBool::new(false);
    ASKED.get_or_init(|| &FLAG)
}

/// From now on SIGTERM, and SIGUSR1 where there is one, set the flag that is returned: the signals with which a cluster tells a job to
/// end. The first process of a container would not hear them otherwise.
#[cfg(feature = "train")]
pub fn told_to_end() -> std::io::Result<Arc<AtomicBool>> {
    use signal_hook::consts;
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(consts::SIGTERM, Arc::clone(&flag))?;
    #[cfg(unix)]
    signal_hook::flag::register(consts::SIGUSR1, Arc::clone(&flag))?;
    Ok(flag)
}

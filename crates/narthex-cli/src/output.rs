//! Standard output, which may be a pipe that nobody reads any more.

use std::io::Write;

/// Prints a text and a line end, at once. A reader that has gone (`| head`) is no error.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

//! Standard output and error, which may be pipes that nobody reads any more, and terminals that obey what they are shown.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use anyhow::Context;
use narthex_proto::terminal::is_invisible;
use serde::Serialize;

/// Prints a text for people and a line end, at once. A reader that has gone (`| head`) is no error.
pub(crate) fn print(text: &str) {
    write(std::io::stdout().lock(), &lines(text));
}

/// Prints JSON for programs.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("the answer cannot be told as JSON")?;
    write(std::io::stdout().lock(), &escaped(&text));
    Ok(())
}

/// Prints a text that a program will read, byte for byte unless a terminal would obey it.
pub(crate) fn print_exactly(text: &str) {
    let out = std::io::stdout().lock();
    match out.is_terminal() {
        true => write(out, &lines(text)),
        false => write(out, text),
    }
}

/// Tells an error.
pub(crate) fn complain(text: &str) {
    write(std::io::stderr().lock(), &lines(text));
}

/// `text` without what would move a terminal's cursor, line ends included.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same, for a text that may have lines.
fn lines(text: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join("\n")
}

/// JSON whose strings have no character that a terminal would obey; they mean the same.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Inside strings it is escaped already.
            '\n' => escaped.push(c),
            c if is_invisible(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            c => escaped.push(c),
        }
    }
    escaped
}

fn write(mut to: impl Write, text: &str) {
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_nothing_that_it_would_obey() {
        assert_eq!(lines("a\x1b[2J\tb\n\u{202e}c\r\u{9b}"), "a\u{fffd}[2J\u{fffd}b\n\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(one_line("a\nb"), "a\u{fffd}b");
        assert_eq!(lines("café"), "café");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "name": "a\u{1b}\u{9b}\u{202e}\u{7f}\nß" });
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.replace('\n', "").chars().any(is_invisible), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}

//! What programs print, line by line, with the name of who printed it before each.

use std::io::{IsTerminal, Write};

use narthex_proto::terminal::is_invisible;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

/// Longer lines are cut into several. A program that prints no line end must not fill the memory.
const LONGEST: usize = 64 * 1024;
/// Colours that are readable on light and dark: cyan, yellow, green, magenta, blue.
const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Out,
    Err,
}

/// How lines are shown: `blog.1 | listening`.
#[derive(Clone, Debug)]
pub(super) struct Label {
    name: String,
    colour: u8,
}

impl Label {
    /// `name` is the program's and the instance's; programs of the same `name` before the dot have the same colour.
    pub(super) fn new(name: &str) -> Self {
        let program = name.rsplit_once('.').map_or(name, |(program, _)| program);
        let sum = program.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Self { name: name.to_owned(), colour: COLOURS[sum % COLOURS.len()] }
    }

    fn shown(&self, colours: bool) -> String {
        match colours {
            true => format!("\x1b[{}m{} |\x1b[0m ", self.colour, self.name),
            false => format!("{} | ", self.name),
        }
    }
}

/// Passes on what comes until it ends.
pub(super) async fn pass_on(from: impl AsyncRead + Unpin, label: Label, to: To) {
    let mut from = BufReader::new(from);
    let terminal = match to {
        To::Out => std::io::stdout().is_terminal(),
        To::Err => std::io::stderr().is_terminal(),
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none();
    let mut line = label.shown(colours).into_bytes();
    let start = line.len();
    while let Ok(true) = read_line(&mut from, &mut line).await {
        if terminal {
            let safe = for_terminal(&String::from_utf8_lossy(&line[start..]));
            line.truncate(start);
            line.extend_from_slice(safe.as_bytes());
        }
        line.push(b'\n');
        // At once, so that lines of several programs do not mix. Nobody may be reading any more.
        let _ = match to {
            To::Out => std::io::stdout().lock().write_all(&line).and_then(|()| std::io::stdout().flush()),
            To::Err => std::io::stderr().lock().write_all(&line),
        };
        line.truncate(start);
    }
}

/// Adds the next line without its end, or as much of it as fits. `false`: there is none.
async fn read_line(from: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    let start = line.len();
    loop {
        let available = from.fill_buf().await?;
        if available.is_empty() {
            return Ok(line.len() > start);
        }
        let room = LONGEST.saturating_sub(line.len() - start);
        let end = available.iter().take(room).position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len().min(room));
        line.extend_from_slice(&available[..taken]);
        from.consume(taken + usize::from(end.is_some()));
        if end.is_some() || line.len() - start >= LONGEST {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(true);
        }
    }
}

/// A line without what a terminal would obey, except tabs and changes of colour.
fn for_terminal(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = colour_change(rest) {
            shown.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let safe = character == '\t' || !is_invisible(character);
        shown.push(if safe { character } else { char::REPLACEMENT_CHARACTER });
        rest = &rest[character.len_utf8()..];
    }
    if shown.contains('\x1b') {
        // What comes next is somebody else's.
        shown.push_str("\x1b[0m");
    }
    shown
}

/// The length of an `ESC [ numbers m` at the beginning.
fn colour_change(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<String> {
        let mut from = BufReader::with_capacity(7, text);
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while read_line(&mut from, &mut line).await.unwrap() {
            lines.push(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
        lines
    }

    #[tokio::test]
    async fn a_line_is_whole_whatever_pieces_it_comes_in_and_the_last_needs_no_end() {
        assert_eq!(lines(b"one\r\n\na longer line\nlast").await, ["one", "", "a longer line", "last"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut() {
        let lengths: Vec<_> = lines(&vec![b'x'; LONGEST * 2 + 1]).await.iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 1]);
    }

    #[test]
    fn a_terminal_is_shown_colours_and_nothing_else_that_it_would_obey() {
        assert_eq!(for_terminal("a\tb\x1b[2Jc\x07"), "a\tb\u{fffd}[2Jc\u{fffd}");
        assert_eq!(for_terminal("\x1b[1;31mred"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(for_terminal("\x1b[1;31"), "\u{fffd}[1;31");
    }

    #[test]
    fn instances_of_a_program_have_its_colour_on_a_terminal_only() {
        let (first, second) = (Label::new("blog.1"), Label::new("blog.2"));
        assert_eq!(first.colour, second.colour);
        assert_eq!(first.shown(false), "blog.1 | ");
        assert!(first.shown(true).starts_with("\x1b["));
    }
}

//! Texts from outside that the host shows to people: what a program calls itself must not move their terminal's cursor.

pub use narthex_proto::terminal::is_invisible;

/// The most that is shown of a program's name.
pub(super) const MOST_OF_NAME: usize = 64;
/// The most that is shown of a URL that is none.
pub(super) const MOST_OF_URL: usize = 2048;

/// `text` as part of one line of at most `most` characters.
pub(super) fn shown(text: &str, most: usize) -> String {
    let clean = |c| if is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut rest = text.chars();
    let mut shown: String = rest.by_ref().take(most).map(clean).collect();
    if rest.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_shown_as_it_is() {
        assert_eq!(shown("café (worker 1)", MOST_OF_NAME), "café (worker 1)");
        assert_eq!(shown(&"x".repeat(MOST_OF_NAME), MOST_OF_NAME), "x".repeat(MOST_OF_NAME));
    }

    #[test]
    fn what_would_move_the_cursor_is_replaced_and_what_is_long_is_cut() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{202e}d", MOST_OF_NAME), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        let cut = shown(&"é".repeat(1 << 20), MOST_OF_NAME);
        assert_eq!(cut.chars().count(), MOST_OF_NAME);
        assert!(cut.ends_with('…'));
    }
}

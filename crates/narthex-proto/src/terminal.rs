//! Texts from outside that are shown to people: none may move their terminal's cursor.

/// Whether `c` says something to the terminal rather than to its reader: controls, line separators, zero-width
/// characters, and those that turn the direction of a line around.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_a_line_around_or_moves_the_cursor_is_invisible_and_letters_are_not() {
        assert!(['\u{1b}', '\n', '\u{9b}', '\u{202e}', '\u{200b}', '\u{feff}'].into_iter().all(is_invisible));
        assert!(!"aß é漢 ".chars().any(is_invisible));
    }
}

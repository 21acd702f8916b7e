//! Tables as netsh lays them out: a title underlined, four spaces a level, `Name : value`.

use std::fmt::Display;

use crate::output::one_line;

/// A table in the making.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    text: String,
    level: usize,
}

impl Listing {
    /// A table with a title.
    pub(crate) fn titled(title: &str) -> Self {
        let mut listing = Self::default();
        listing.line(title);
        listing.line("-".repeat(title.chars().count()));
        listing.blank();
        listing
    }

    /// Adds a line. What it shows may come from anywhere: it stays one line.
    pub(crate) fn line(&mut self, line: impl Display) {
        let indent = self.level * 4;
        let line = one_line(&line.to_string());
        self.text.push_str(&format!("{:indent$}{line}\n", ""));
    }

    /// Adds an empty line.
    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Adds what is a level below the lines so far.
    pub(crate) fn below(&mut self, content: impl FnOnce(&mut Self)) {
        self.level += 1;
        content(self);
        self.level -= 1;
    }

    /// Adds values with their names, the colons below each other.
    pub(crate) fn values(&mut self, values: &[(String, String)]) {
        let width = values.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in values {
            self.line(format_args!("{name:width$} : {value}"));
        }
    }

    /// The whole table without the last line's end.
    pub(crate) fn into_text(self) -> String {
        self.text.trim_end().to_owned()
    }
}

/// As netsh writes it.
#[cfg(unix)]
pub(crate) fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "Yes" } else { "No" }
}

/// What is said of a value beside it.
#[cfg(unix)]
pub(crate) fn remark(is_default: bool) -> &'static str {
    if is_default { " (default)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_a_line() {
        let mut listing = Listing::titled("Title");
        listing.below(|listing| listing.values(&[("a".to_owned(), "1\nb : 2".to_owned()), ("long".to_owned(), "3".to_owned())]));
        assert_eq!(listing.into_text(), "Title\n-----\n\n    a    : 1\u{fffd}b : 2\n    long : 3");
    }
}

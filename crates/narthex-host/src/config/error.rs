//! What is wrong with the configuration file, and where.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a configuration cannot be read or written. `Display` gives file, line, column and what to do.
#[derive(Debug)]
pub struct ConfigError {
    path: Option<PathBuf>,
    place: Option<Place>,
    message: String,
    denied: bool,
}

/// Where in a text, counted from 1 as editors do; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

impl ConfigError {
    /// Something in `text` at `span` is wrong.
    pub(crate) fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let place = span.map(|span| Place::of(text, span.start));
        Self { path: None, place, message: message.into(), denied: false }
    }

    /// The file cannot be used; `what` is "read" or "written".
    pub(crate) fn io(path: &Path, what: &str, error: &io::Error) -> Self {
        let message = format!("cannot be {what}: {error}; check the file and its directory, or name another with {VARIABLE}");
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        Self { path: Some(path.to_owned()), place: None, message, denied }
    }

    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// The line of the file, from 1, if the error has one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.map(|place| place.line)
    }

    /// The column of the line in characters, from 1, if the error has one.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.map(|place| place.column)
    }

    /// Whether the OS refused access to the file.
    #[must_use]
    pub fn is_access_denied(&self) -> bool {
        self.denied
    }
}

const VARIABLE: &str = super::CONFIG_VARIABLE;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str("the configuration")?,
        }
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

//! What the app says no with.

use std::borrow::Cow;

/// Why something that a client wanted was not done. The client gets both.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct Rejection {
    pub(super) code: Cow<'static, str>,
    pub(super) text: Cow<'static, str>,
}

impl Rejection {
    /// A rejection with the code `denied`.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self::coded("denied", text)
    }

    /// A rejection with a code of the app's, which programs read.
    #[must_use]
    pub fn coded(code: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), text: text.into() }
    }

    /// What programs read.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What people read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn malformed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::coded("malformed", text)
    }
}

impl From<&'static str> for Rejection {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Rejection {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Whether something may be done: `true` or `Ok(())` if so.
pub trait Permission {
    /// # Errors
    /// If it may not.
    fn into_result(self) -> Result<(), Rejection>;
}

impl Permission for bool {
    fn into_result(self) -> Result<(), Rejection> {
        if self { Ok(()) } else { Err(Rejection::new("you may not do this")) }
    }
}

impl<E: Into<Rejection>> Permission for Result<(), E> {
    fn into_result(self) -> Result<(), Rejection> {
        self.map_err(Into::into)
    }
}

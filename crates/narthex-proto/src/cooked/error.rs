//! Why a request target is refused.

/// Why a request target is refused. All of them are answered 400; [`CookError::is_url`] tells which reason to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookError {
    /// There is no target.
    #[error("the request target is empty")]
    Empty,
    /// `host:port`, the form of CONNECT; it has no path to route.
    #[error("the request target is a host and port, which only CONNECT uses")]
    AuthorityForm,
    /// Neither a path, nor an http(s) URL, nor `*`.
    #[error("the request target is neither a path nor an http or https URL")]
    NotAPath,
    /// An absolute URL of another scheme.
    #[error("the request target is a URL of another scheme than http and https")]
    OtherScheme,
    /// An absolute URL without a host.
    #[error("the request target is a URL without a host")]
    AuthorityMissing,
    /// An absolute URL with a slash in its query but no path: readers disagree where its host ends.
    #[error("the request target has no path but a slash in its query")]
    QueryWithoutPath,
    /// The target is not valid UTF-8.
    #[error("the request target is not valid UTF-8")]
    NotUtf8,
    /// A byte above 0x7F that is not percent-encoded.
    #[error("the request target has a non-ASCII character that is not percent-encoded")]
    NonAscii,
    /// A space or control character, raw or percent-encoded.
    #[error("the request target has a space or control character")]
    Control,
    /// A raw backslash.
    #[error("the request target has a backslash")]
    Backslash,
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("the request target has a broken percent escape")]
    Escape,
    /// Percent escapes that do not spell UTF-8, or spell it in more bytes than needed.
    #[error("the percent escapes of the request target are not valid UTF-8")]
    EscapedNotUtf8,
    /// `..` segments that lead above the root.
    #[error("the request target leads above the root")]
    AboveRoot,
}

impl CookError {
    /// Whether the fault is in the URL itself (reason token `URL`); otherwise the target has a form that the
    /// request's method does not use.
    pub fn is_url(self) -> bool {
        self != Self::AuthorityForm
    }
}

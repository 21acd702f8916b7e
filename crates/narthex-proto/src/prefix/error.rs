//! Why a text is not a URL prefix, and what to write instead.

/// Why a text is not a URL prefix. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// There is no `scheme://`.
    #[error("a prefix begins with http:// or https://, as in http://+:8888/MyApp/")]
    SchemeMissing,
    /// The scheme is neither `http` nor `https`.
    #[error("the scheme {0:?} cannot be registered: use http or https")]
    SchemeUnknown(String),
    /// The scheme has upper-case letters.
    #[error("write the scheme in lower case: {0}://")]
    SchemeNotLowerCase(String),
    /// There is no host.
    #[error("the host is missing: write + (any host), a name, an IP address, or * (any host nobody else took)")]
    HostMissing,
    /// The host is neither a wildcard, a DNS name nor an IP literal.
    #[error("{0:?} is not a host: write +, *, a DNS name, an IPv4 address or an IPv6 address in brackets")]
    HostInvalid(String),
    /// The host has more than 255 characters.
    #[error("the host has more than 255 characters")]
    HostTooLong,
    /// A label begins with `xn--`.
    #[error("write {0:?} in Unicode, not in punycode")]
    HostPunycode(String),
    /// `*.example.com`.
    #[error("{0:?}: a wildcard stands for the whole host; register each name, or +, or *")]
    HostPartialWildcard(String),
    /// An IPv6 address with a scope (zone) id.
    #[error("leave out the scope id: [{0}] cannot be registered, its address can")]
    HostScopeId(String),
    /// `0.0.0.0` or `[::]`.
    #[error("the unspecified address {0} is not supported as a host: write + or * for every local address")]
    HostUnspecified(String),
    /// An IPv4 address written as IPv6.
    #[error("write the IPv4 address {0} itself, not its IPv6-mapped form")]
    HostMapped(std::net::Ipv4Addr),
    /// There is no `:port`.
    #[error("the port is missing: write it after the host, as in http://+:8888/")]
    PortMissing,
    /// The port is not a decimal number from 1 to 65535 without a leading zero.
    #[error("the port must be a number from 1 to 65535 without a leading zero")]
    PortInvalid,
    /// The prefix does not end in `/`.
    #[error("a prefix ends with a slash: write {0}/")]
    SlashMissing(String),
    /// The path has two slashes in a row.
    #[error("the path has an empty segment: write one slash where there are two or more")]
    PathEmptySegment,
    /// The path has a `.` or `..` segment.
    #[error("the path has a '.' or '..' segment, which no request ever matches: write the path it stands for")]
    PathDotSegment,
    /// The path has a percent sign.
    #[error("the path of a prefix is written un-escaped: write the character itself instead of a % escape")]
    PathEscaped,
    /// The path has a character that cannot be part of a cooked path.
    #[error("the path must not contain {0:?}")]
    PathCharacter(char),
    /// The path has more than 255 segments, or one of more than 260 characters.
    #[error("the path may have at most 255 segments of at most 260 characters each")]
    PathTooLong,
}

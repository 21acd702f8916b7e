//! The grammar that complete prefixes and specs share; a spec may leave more out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{PrefixError, PrefixHost, Scheme};
use crate::case;

/// The HTTP Server API's `UrlSegmentMaxCount` and `UrlSegmentMaxLength`: no request could be longer, and the
/// routing tree's depth stays bounded.
const MAX_SEGMENTS: usize = 255;
const MAX_SEGMENT_LENGTH: usize = 260;
const MAX_HOST_LENGTH: usize = 255;

/// How much the text must spell out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Everything: the native grammar.
    Complete,
    /// Any case of the scheme; the port and the last slash may be missing, and port 0 is a port.
    Spec,
}

pub(super) struct Parts {
    pub(super) scheme: Scheme,
    pub(super) host: PrefixHost,
    pub(super) port: u16,
    pub(super) path: String,
}

pub(super) fn parse(text: &str, form: Form) -> Result<Parts, PrefixError> {
    let (scheme, rest) = text.split_once("://").ok_or(PrefixError::SchemeMissing)?;
    let scheme = parse_scheme(scheme, form)?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (host, port) = split_port(authority)?;
    let host = parse_host(host)?;
    let port = match port {
        Some(digits) => parse_port(digits, form)?,
        None if form == Form::Spec => scheme.default_port().get(),
        None => return Err(PrefixError::PortMissing),
    };
    let mut path = path.to_owned();
    if !path.ends_with('/') {
        if form == Form::Complete {
            return Err(PrefixError::SlashMissing(text.to_owned()));
        }
        path.push('/');
    }
    check_path(&path)?;
    Ok(Parts { scheme, host, port, path })
}

fn parse_scheme(text: &str, form: Form) -> Result<Scheme, PrefixError> {
    let scheme = if text.eq_ignore_ascii_case("http") {
        Scheme::Http
    } else if text.eq_ignore_ascii_case("https") {
        Scheme::Https
    } else if text.is_empty() {
        return Err(PrefixError::SchemeMissing);
    } else {
        return Err(PrefixError::SchemeUnknown(text.to_owned()));
    };
    if form == Form::Complete && text != scheme.as_str() {
        return Err(PrefixError::SchemeNotLowerCase(scheme.as_str().to_owned()));
    }
    Ok(scheme)
}

/// Splits `host[:port]`; an IPv6 literal keeps its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), PrefixError> {
    let invalid = || PrefixError::HostInvalid(authority.to_owned());
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or_else(invalid)? + 1;
        let (host, rest) = authority.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(invalid()),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(invalid()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn parse_port(digits: &str, form: Form) -> Result<u16, PrefixError> {
    if digits.is_empty() {
        return Err(PrefixError::PortMissing);
    }
    if form == Form::Spec && digits == "0" {
        return Ok(0);
    }
    // `u16::from_str` would also take a plus sign.
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PrefixError::PortInvalid);
    }
    digits.parse().map_err(|_| PrefixError::PortInvalid)
}

fn parse_host(text: &str) -> Result<PrefixHost, PrefixError> {
    match text {
        "" => return Err(PrefixError::HostMissing),
        "+" => return Ok(PrefixHost::Strong),
        "*" => return Ok(PrefixHost::Weak),
        _ => {}
    }
    if text.chars().count() > MAX_HOST_LENGTH {
        return Err(PrefixError::HostTooLong);
    }
    if let Some(literal) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return parse_ipv6(literal);
    }
    if text.starts_with("*.") || text.starts_with("+.") {
        return Err(PrefixError::HostPartialWildcard(text.to_owned()));
    }
    parse_name_or_ipv4(text)
}

fn parse_ipv6(literal: &str) -> Result<PrefixHost, PrefixError> {
    if literal.contains('%') {
        return Err(PrefixError::HostScopeId(literal.to_owned()));
    }
    let address: Ipv6Addr = literal.parse().map_err(|_| PrefixError::HostInvalid(format!("[{literal}]")))?;
    if address.is_unspecified() {
        return Err(PrefixError::HostUnspecified(format!("[{literal}]")));
    }
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Err(PrefixError::HostMapped(mapped));
    }
    Ok(PrefixHost::Ip(IpAddr::V6(address)))
}

fn parse_name_or_ipv4(text: &str) -> Result<PrefixHost, PrefixError> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        if address.is_unspecified() {
            return Err(PrefixError::HostUnspecified(text.to_owned()));
        }
        return Ok(PrefixHost::Ip(IpAddr::V4(address)));
    }
    let folded = case::fold(text);
    let mut last_is_number = false;
    for label in folded.split('.') {
        if label.is_empty() || !label.chars().all(is_name_character) {
            return Err(PrefixError::HostInvalid(text.to_owned()));
        }
        if label.starts_with("xn--") {
            return Err(PrefixError::HostPunycode(text.to_owned()));
        }
        last_is_number = label.bytes().all(|byte| byte.is_ascii_digit());
    }
    // `192` or `1.2.3.256`: browsers read a name that ends in a number as an IPv4 address.
    if last_is_number {
        return Err(PrefixError::HostInvalid(text.to_owned()));
    }
    Ok(PrefixHost::Name(folded.into()))
}

/// Letters, digits, hyphens, and underscores because container networks use them. Non-ASCII text is not judged
/// further: scripts need marks that `char::is_alphanumeric` does not know, and the name need not resolve.
fn is_name_character(character: char) -> bool {
    match character {
        '-' | '_' => true,
        _ if character.is_ascii() => character.is_ascii_alphanumeric(),
        _ => !character.is_control() && !character.is_whitespace(),
    }
}

fn check_path(path: &str) -> Result<(), PrefixError> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let Some(inner) = inner.strip_suffix('/') else {
        return if inner.is_empty() { Ok(()) } else { Err(PrefixError::SlashMissing(path.to_owned())) };
    };
    for (index, segment) in inner.split('/').enumerate() {
        match segment {
            "" => return Err(PrefixError::PathEmptySegment),
            "." | ".." => return Err(PrefixError::PathDotSegment),
            _ => {}
        }
        if index >= MAX_SEGMENTS || segment.chars().count() > MAX_SEGMENT_LENGTH {
            return Err(PrefixError::PathTooLong);
        }
        for character in segment.chars() {
            match character {
                '%' => return Err(PrefixError::PathEscaped),
                '\\' | '?' | '#' => return Err(PrefixError::PathCharacter(character)),
                _ if character.is_control() => return Err(PrefixError::PathCharacter(character)),
                _ => {}
            }
        }
    }
    Ok(())
}

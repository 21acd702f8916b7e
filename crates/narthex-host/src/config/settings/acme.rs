//! How the settings of automatic certificates are read.

use std::path::{Path, PathBuf};

/// What account names and URLs can hold a line of: longer ones are mistakes.
const LONGEST: usize = 1024;

/// The URL of a CA's directory (RFC 8555 section 6.1: always https).
pub(super) fn directory(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://")?;
    let plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    (plain && !rest.starts_with('/') && !rest.is_empty()).then(|| text.to_owned())
}

/// A mail address without `mailto:`, which only the protocol has.
pub(super) fn contact(text: &str) -> Option<String> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let (name, domain) = address.split_once('@')?;
    // RFC 8555 section 7.3: one address, and no header fields after a `?`.
    let plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?'));
    let whole = plain && address.len() <= LONGEST && !name.is_empty() && !domain.is_empty() && !domain.contains('@');
    whole.then(|| address.to_owned())
}

pub(super) fn key_id(text: &str) -> Option<String> {
    let plain = !text.is_empty() && text.len() <= LONGEST && text.chars().all(|c| !c.is_control());
    plain.then(|| text.to_owned())
}

/// An absolute path, or the word for none. `None` if it is neither.
pub(super) fn path(text: &str, none: &str) -> Option<Option<PathBuf>> {
    match text {
        word if word == none => Some(None),
        path if Path::new(path).is_absolute() => Some(Some(PathBuf::from(path))),
        _ => None,
    }
}

pub(super) fn shown(path: Option<&Path>, none: &str) -> String {
    path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_an_https_url() {
        assert!(directory("https://ca.example/dir").is_some());
        for wrong in ["http://ca.example/dir", "ca.example", "https://", "https:///dir", "https://a b/", ""] {
            assert_eq!(directory(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_contact_is_one_mail_address_with_or_without_mailto() {
        assert_eq!(contact("mailto:a@b.example").as_deref(), Some("a@b.example"));
        assert_eq!(contact("a@b.example").as_deref(), Some("a@b.example"));
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a@b?subject=x", "a b@c", "tel:1"] {
            assert_eq!(contact(wrong), None, "{wrong}");
        }
    }
}

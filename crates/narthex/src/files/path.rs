//! From a request's path to a file's below a root. Whatever cannot be a plain name in every step is no file's.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// Where in the root a request's path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Relative, of plain names only.
    pub(super) path: PathBuf,
    /// The request's path ends with a slash, or there is nothing in it.
    pub(super) is_directory: bool,
}

/// Looks where the path of a URI leads. `None`: to nothing that may be served.
///
/// Each segment is decoded once and by itself, so that `%2F` separates nothing and `%252e` is a name with a percent. Segments that
/// are empty, `.` or `..`, or that have a slash, a backslash or a control character in them lead nowhere; so do those that begin
/// with a dot, unless `hidden`. `/.well-known/` is for everybody (RFC 8615).
pub(super) fn place(uri_path: &str, hidden: bool) -> Option<Place> {
    let segments = uri_path.strip_prefix('/').unwrap_or(uri_path);
    let (segments, is_directory) = match segments.strip_suffix('/') {
        Some(segments) => (segments, true),
        None => (segments, segments.is_empty()),
    };
    let mut path = PathBuf::new();
    if segments.is_empty() {
        // `//` has an empty segment; `/` has none.
        return (uri_path.len() <= 1).then_some(Place { path, is_directory });
    }
    for segment in segments.split('/') {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        let well_known = path.as_os_str().is_empty() && name == ".well-known";
        if !is_plain(&name) || name.starts_with('.') && !hidden && !well_known {
            return None;
        }
        path.push(Path::new(&*name));
    }
    Some(Place { path, is_directory })
}

fn is_plain(name: &str) -> bool {
    let separates = |char: char| matches!(char, '/' | '\\') || char.is_control();
    let is_odd = matches!(name, "" | "." | "..") || name.contains(separates);
    let is_odd = is_odd || cfg!(windows) && means_something_to_windows(name);
    !is_odd
}

/// Drives, streams, devices, and names that Windows takes for another one.
fn means_something_to_windows(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let is_numbered = |device: &str| stem.strip_prefix(device).is_some_and(|number| number.chars().count() == 1);
    let is_device =
        matches!(&*stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || is_numbered("COM") || is_numbered("LPT");
    is_device || is_short(&stem) || name.contains([':', '<', '>', '"', '|', '?', '*']) || name.ends_with(['.', ' '])
}

/// `GIT~1`, which Windows may take for `.git`: each long name can have a short one. Real names of that form are rare.
fn is_short(stem: &str) -> bool {
    let Some((begin, number)) = stem.rsplit_once('~') else { return false };
    stem.len() <= 8 && !begin.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(String, bool)> {
        place(path, false).map(|place| (place.path.to_str().unwrap().to_owned(), place.is_directory))
    }

    #[test]
    fn names_are_decoded_once() {
        assert_eq!(found("/a/b%20c/%C3%BC.txt"), Some(("a/b c/ü.txt".into(), false)));
        assert_eq!(found("/%252e%252e"), Some(("%2e%2e".into(), false)));
        assert_eq!(found("/docs/"), Some(("docs".into(), true)));
        assert_eq!(found("/"), Some((String::new(), true)));
        assert_eq!(found(""), Some((String::new(), true)));
        assert_eq!(found("/a..b/...c".trim_end_matches("/...c")), Some(("a..b".into(), false)));
    }

    #[test]
    fn nothing_leads_out_of_the_root_or_to_two_names_for_one_file() {
        for path in [
            "/..",
            "/../x",
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/.",
            "/%2e%2e/x",
            "/.%2e/x",
            "/%2E%2E%2Fx",
            "/a%2fb",
            "/a%2Fb",
            "/..%2fx",
            "/..%5cx",
            "/a\\b",
            "/a%5Cb",
            "/%5c%5cserver%5cshare",
            "//etc/passwd",
            "/a//b",
            "/a//",
            "//",
            "/%00",
            "/a%00.txt",
            "/a%0ab",
            "/a%7f",
            "/%2fetc%2fpasswd",
            "/%ff",
            "/%c0%ae%c0%ae/x",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn hidden_files_are_refused_unless_they_are_wanted_but_for_what_is_well_known() {
        for path in ["/.git/config", "/a/.htaccess", "/%2egit/config", "/a/.well-known/x"] {
            assert_eq!(found(path), None, "{path}");
            assert!(place(path, true).is_some(), "{path}");
        }
        assert_eq!(found("/.well-known/security.txt"), Some((".well-known/security.txt".into(), false)));
        assert_eq!(place("/a/..", true), None);
    }

    #[test]
    fn what_windows_takes_for_something_else_is_known() {
        for name in [
            "con",
            "NUL.txt",
            "aux",
            "COM1",
            "lpt9.log",
            "COM¹",
            "c:",
            "a:stream",
            "a.",
            "a ",
            "x?",
            "nul .txt",
            "GIT~1",
            "secre~12.htm",
        ] {
            assert!(means_something_to_windows(name), "{name}");
        }
        for name in ["console", "com10", "nullable.txt", "a.b", "com", "~1", "a~b", "draft-of-x~1"] {
            assert!(!means_something_to_windows(name), "{name}");
        }
    }
}

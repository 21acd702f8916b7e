//! Which requests need no identity.

use http::{Method, Uri};

/// Methods and paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Anonymous(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    methods: Vec<Method>,
    path: Path,
}

#[derive(Clone, Debug)]
enum Path {
    Exactly(String),
    /// Ends with a slash.
    Below(String),
}

impl Anonymous {
    /// # Panics
    /// If a path is none.
    #[track_caller]
    pub(super) fn add(&mut self, methods: impl IntoIterator<Item = Method>, paths: impl IntoIterator<Item: AsRef<str>>) {
        let methods: Vec<_> = methods.into_iter().collect();
        for path in paths {
            let path = path.as_ref();
            let (text, below) = path.strip_suffix('*').map_or((path, false), |text| (text, true));
            let is_path = text.starts_with('/') && !text.contains('*') && (!below || text.ends_with('/'));
            assert!(is_path, "{path:?} is no path for anonymous requests: write /path for one, or /path/* for all below it");
            let path = if below { Path::Below(text.to_owned()) } else { Path::Exactly(text.to_owned()) };
            self.0.push(Rule { methods: methods.clone(), path });
        }
    }

    pub(super) fn covers(&self, method: &Method, uri: &Uri) -> bool {
        let path = uri.path();
        self.0.iter().any(|rule| {
            // Who answers GET answers HEAD.
            let asks = if method == Method::HEAD { &Method::GET } else { method };
            (rule.methods.contains(method) || rule.methods.contains(asks))
                && match &rule.path {
                    Path::Exactly(exact) => path == exact,
                    Path::Below(above) => path.starts_with(above.as_str()) && is_plain(path),
                }
        })
    }
}

/// Whether nobody could take the path for one that is elsewhere.
fn is_plain(path: &str) -> bool {
    let encodes = |code: &str| path.as_bytes().windows(3).any(|three| three.eq_ignore_ascii_case(code.as_bytes()));
    // Some servers drop what follows a semicolon, and then resolve what is left: `..;` is `..` to them.
    !path.contains("//")
        && !path.contains('\\')
        && !["%2e", "%2f", "%5c", "%3b"].into_iter().any(encodes)
        && !path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(method: Method, path: &'static str) -> bool {
        let mut anonymous = Anonymous::default();
        anonymous.add([Method::GET], ["/", "/public/*"]);
        anonymous.add([Method::POST], ["/register"]);
        anonymous.covers(&method, &Uri::from_static(path))
    }

    #[test]
    fn a_rule_is_for_its_methods_and_paths() {
        for (method, path) in
            [(Method::GET, "/"), (Method::GET, "/?x"), (Method::HEAD, "/public/a/b"), (Method::POST, "/register")]
        {
            assert!(covers(method.clone(), path), "{method} {path}");
        }
        for (method, path) in [
            (Method::POST, "/"),
            (Method::GET, "/register"),
            (Method::GET, "/public"),
            (Method::GET, "/publicity"),
            (Method::GET, "/a/public/b"),
            (Method::OPTIONS, "/register"),
        ] {
            assert!(!covers(method.clone(), path), "{method} {path}");
        }
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_not_below_another() {
        for path in [
            "/public/../admin",
            "/public/%2E%2e/admin",
            "/public//admin",
            "/public/a%2f..",
            "/public/.",
            "/public/a%5Cb",
            "/public/..;/admin",
            "/public/..;x/admin",
            "/public/..%3Bx/admin",
        ] {
            assert!(!covers(Method::GET, path), "{path}");
        }
    }

    #[test]
    #[should_panic(expected = "write /path for one")]
    fn a_pattern_that_would_cover_more_than_it_says_is_refused() {
        Anonymous::default().add([Method::GET], ["/public*"]);
    }
}

//! Names that a Cargo package, its crate and a directory can have.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};

/// Rust's keywords, as far as they are lower case.
const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if \
    impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type typeof unsafe \
    unsized use virtual where while yield ";
/// Names of Rust's own crates, of what the project depends on, of directories that Cargo makes, and of devices on Windows.
const TAKEN: &str = " alloc axum core futures-util narthex proc-macro serde serde-json std test tokio tokio-tungstenite tower \
    tracing-subscriber build deps examples incremental target aux com1 com2 com3 com4 con lpt1 lpt2 lpt3 lpt4 nul prn ";

/// A name in lower case, which is the package's and, with underscores, the crate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProjectName(String);

impl ProjectName {
    /// The last part of a path.
    ///
    /// # Errors
    /// If it can be no name, with one that can.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let last = path.file_name().with_context(|| format!("{} has no name for a project", path.display()))?;
        let text = last.to_string_lossy();
        if is_name(&text) {
            return Ok(Self(text.into_owned()));
        }
        bail!("{text:?} is no name for a project: {}; how about {}?", why(&text), suggestion(&text));
    }

    /// As Rust calls the crate.
    pub(super) fn of_crate(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    text.len() <= 64 && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(allowed) && !is_taken(text)
}

fn is_taken(text: &str) -> bool {
    let word = format!(" {} ", text.replace('_', "-"));
    KEYWORDS.contains(&word) || TAKEN.contains(&word)
}

fn why(text: &str) -> &'static str {
    if is_taken(text) {
        "something else is called so"
    } else {
        "it has to begin with a letter, and have lower-case letters, digits, - and _ only"
    }
}

/// A name that is like this one.
fn suggestion(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(50).collect();
    match name.trim_end_matches('-') {
        "" => "my-app".to_owned(),
        name if !name.starts_with(|first: char| first.is_ascii_lowercase()) => format!("app-{name}"),
        name if is_taken(name) => format!("my-{name}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_cargo_and_rust_take() {
        for good in ["a", "my-app", "my_app2", "web", "x--y", "./deep/down/shop", "shop/"] {
            assert!(ProjectName::of(Path::new(good)).is_ok(), "{good}");
        }
        assert_eq!(ProjectName::of(Path::new("deep/my-app")).unwrap().of_crate(), "my_app");
    }

    #[test]
    fn a_bad_name_comes_with_a_good_one() {
        for (bad, good) in [
            ("My App!", "my-app"),
            ("MyApp", "myapp"),
            ("2fast", "app-2fast"),
            ("_x", "x"),
            ("-x", "x"),
            ("größe", "gr-e"),
            ("猫", "my-app"),
            ("self", "my-self"),
            ("async", "my-async"),
            ("test", "my-test"),
            ("tokio", "my-tokio"),
            ("proc_macro", "my-proc-macro"),
            ("a.b", "a-b"),
            ("\u{1b}[31m", "app-31m"),
        ] {
            let error = ProjectName::of(Path::new(bad)).expect_err(bad).to_string();
            assert!(error.ends_with(&format!("how about {good}?")), "{error}");
            assert!(!error.contains('\u{1b}'), "a terminal would obey it");
            assert!(is_name(good), "{good}");
        }
        let long = "x".repeat(65);
        assert!(is_name(&suggestion(&long)) && ProjectName::of(Path::new(&long)).is_err());
        for nothing in ["", "/", ".."] {
            assert!(ProjectName::of(Path::new(nothing)).is_err(), "{nothing:?}");
        }
    }
}

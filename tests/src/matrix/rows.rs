//! Rows of the matrix that one test looks at: each may fail without keeping the next from being looked at.

use std::fmt::Debug;

/// What has come of the rows so far.
#[derive(Debug, Default)]
#[must_use = "rows that fail are told by `done`"]
pub struct Rows {
    failures: Vec<String>,
    unlisted: Vec<String>,
}

/// What lists the rows, and the tests that look at them.
pub const LIST: &str = include_str!("../../../docs/conformance.md");

impl Rows {
    /// Looks at a row.
    pub fn row(&mut self, id: &str, check: impl FnOnce() -> Result<(), String>) {
        if !LIST.contains(&format!("\n| {id} |")) {
            self.unlisted.push(id.to_owned());
        }
        if let Err(problem) = check() {
            // `cargo xtask conformance` reads these lines.
            self.failures.push(format!("row {id}: {problem}"));
        }
    }

    /// # Panics
    /// When a row fails, or is not listed.
    pub fn done(self) {
        assert!(self.unlisted.is_empty(), "docs/conformance.md does not list {:?}", self.unlisted);
        assert!(self.failures.is_empty(), "{} rows fail:\n{}\n", self.failures.len(), self.failures.join("\n"));
    }
}

/// # Errors
/// When the two differ.
pub fn same<T: PartialEq<U> + Debug, U: Debug>(found: T, wanted: U) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}, wanted {wanted:?}")) }
}

/// # Errors
/// When it does not hold.
pub fn that(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

//! Whose a service is, and what was done with it.

use std::fmt;

/// Whose a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The machine's: it starts with the machine. Root's to install.
    System,
    /// The user's: it starts when the user logs in.
    User,
}

/// What was done, for the one who asked: its text, and the exit code for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    lines: Vec<String>,
    exit_code: u8,
}

impl Outcome {
    pub(super) fn new(lines: Vec<String>) -> Self {
        Self { lines, exit_code: 0 }
    }

    pub(super) fn with_code(lines: Vec<String>, exit_code: u8) -> Self {
        Self { lines, exit_code }
    }

    /// 0, but for `status` 3 if the service does not run, and 4 if it is not installed (as `systemctl status` has it).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

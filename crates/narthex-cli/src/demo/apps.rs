//! The demo's two apps: what tells them apart.

use std::fmt;

use clap::ValueEnum;

/// The name of an app, which is also its place on the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AppName {
    App1,
    App2,
}

impl AppName {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::App1, Self::App2];

    /// As in its prefix.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::App1 => "app1",
            Self::App2 => "app2",
        }
    }

    /// The other one.
    pub(crate) fn sibling(self) -> Self {
        match self {
            Self::App1 => Self::App2,
            Self::App2 => Self::App1,
        }
    }

    /// What it registers.
    pub(crate) fn prefix(self, port: u16) -> String {
        format!("http://+:{port}/{self}/")
    }

    /// The app whose place `path` is in.
    pub(crate) fn owning(path: &str) -> Option<Self> {
        let first = path.strip_prefix('/')?.split('/').next()?;
        Self::ALL.into_iter().find(|app| app.as_str().eq_ignore_ascii_case(first))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_app_that_its_first_segment_names() {
        assert_eq!(AppName::owning("/app1"), Some(AppName::App1));
        assert_eq!(AppName::owning("/APP2/chat"), Some(AppName::App2));
        assert_eq!(AppName::owning("/app12/"), None);
        assert_eq!(AppName::owning("/"), None);
    }
}

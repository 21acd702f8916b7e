//! What was typed: a verb for the service, or the app's own arguments.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Scope;

/// What can be done with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// Makes the program a service that starts with the machine, or when its user logs in.
    Install {
        /// Whose.
        scope: Scope,
        /// Only show what would be written.
        print: bool,
        /// What the program is started with.
        arguments: Vec<OsString>,
    },
    /// Stops the service, and removes what [`Install`](Self::Install) wrote.
    Uninstall {
        /// Whose.
        scope: Scope,
        /// Also remove the files that the service has kept.
        purge: bool,
    },
    /// Starts it now.
    Start(Scope),
    /// Stops it now.
    Stop(Scope),
    /// Looks how it goes.
    Status(Scope),
}

impl Verb {
    /// Whose service is meant.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Install { scope, .. } | Self::Uninstall { scope, .. } => *scope,
            Self::Start(scope) | Self::Stop(scope) | Self::Status(scope) => *scope,
        }
    }

    /// As it is typed.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Install { .. } => "install",
            Self::Uninstall { .. } => "uninstall",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Status(_) => "status",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// The app is to run with these arguments, the program's name first.
    App(Vec<OsString>),
    Verb(Verb),
    Help,
}

/// # Errors
/// What makes no sense after a verb.
pub(super) fn parse(arguments: &[OsString]) -> Result<Typed, String> {
    let mut words = arguments.iter().skip(1);
    let Some(first) = words.next() else { return Ok(Typed::App(arguments.to_vec())) };
    let (mut install, mut start, mut stop, mut status) = (false, false, false, false);
    match first.to_str() {
        Some("run") => return Ok(Typed::App(arguments.iter().take(1).chain(words).cloned().collect())),
        Some("install") => install = true,
        Some("uninstall") => {}
        Some("start") => start = true,
        Some("stop") => stop = true,
        Some("status") => status = true,
        _ => return Ok(Typed::App(arguments.to_vec())),
    }
    let is_uninstall = !(install || start || stop || status);
    let (mut scope, mut print, mut purge, mut own) = (Scope::System, false, false, Vec::new());
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--user") => scope = Scope::User,
            Some("--print") if install => print = true,
            Some("--purge") if is_uninstall => purge = true,
            Some("--") if install => own.extend(words.by_ref().cloned()),
            Some("--help" | "-h") => return Ok(Typed::Help),
            _ => {
                return Err(format!("cannot understand {} after `{}`", word.display(), first.display()));
            }
        }
    }
    Ok(Typed::Verb(match () {
        () if install => Verb::Install { scope, print, arguments: own },
        () if start => Verb::Start(scope),
        () if stop => Verb::Stop(scope),
        () if status => Verb::Status(scope),
        () => Verb::Uninstall { scope, purge },
    }))
}

pub(super) fn help(arguments: &[OsString], name: &str) -> String {
    let program = arguments.first().map(OsString::as_os_str).and_then(|path| Path::new(path).file_name());
    let program = program.unwrap_or(OsStr::new(name)).display();
    format!(
        "usage: {program} install [--user] [--print] [-- ARGUMENTS]   make it a service, started with ARGUMENTS
       {program} uninstall [--user] [--purge]            remove it again; --purge: with its files
       {program} start|stop|status [--user]
       {program} [run] [ARGUMENTS]                       run it in the foreground
--user: a service of this user, which needs no root"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Typed, String> {
        parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn an_apps_own_arguments_are_left_alone() {
        for line in ["app", "app serve --user", "app --install", "app --port 80 install"] {
            assert_eq!(parsed(line), Ok(Typed::App(line.split(' ').map(Into::into).collect())), "{line}");
        }
        assert_eq!(parsed("app run --port 80"), Ok(Typed::App(vec!["app".into(), "--port".into(), "80".into()])));
        assert_eq!(parsed("app run install"), Ok(Typed::App(vec!["app".into(), "install".into()])));
    }

    #[test]
    fn verbs_have_their_options_and_no_others() {
        let (system, user) = (Scope::System, Scope::User);
        for (line, meaning) in [
            ("app install", Verb::Install { scope: system, print: false, arguments: vec![] }),
            (
                "app install --user --print -- --user -- x",
                Verb::Install { scope: user, print: true, arguments: vec!["--user".into(), "--".into(), "x".into()] },
            ),
            ("app uninstall --purge", Verb::Uninstall { scope: system, purge: true }),
            ("app start", Verb::Start(system)),
            ("app stop --user", Verb::Stop(user)),
            ("app status", Verb::Status(system)),
        ] {
            assert_eq!(parsed(line), Ok(Typed::Verb(meaning)), "{line}");
        }
        assert_eq!(parsed("app start --help"), Ok(Typed::Help));
        for line in ["app install now", "app start --purge", "app stop -- x", "app uninstall --print"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}

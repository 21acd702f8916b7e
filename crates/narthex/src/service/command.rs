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
    /// The same, with a page of its own: at this address, if one was typed.
    #[cfg(feature = "ui")]
    WithPage(Vec<OsString>, Option<std::net::SocketAddr>),
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
        Some("run") => return run(arguments.iter().take(1).chain(words).cloned().collect()),
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

/// `--ui` right behind `run` is for the app's page; everything else is the app's own.
#[cfg(feature = "ui")]
fn run(mut arguments: Vec<OsString>) -> Result<Typed, String> {
    let word = arguments.get(1).and_then(|word| word.to_str()).map(str::to_owned);
    let address = match word.as_deref().and_then(|word| word.strip_prefix("--ui")) {
        Some("") => None,
        Some(rest) if rest.starts_with('=') => {
            let typed = rest.trim_start_matches('=');
            let wrong =
                format!("{typed:?} is no address for the app's page: write one of this machine, as in --ui=127.0.0.1:9000");
            let address = typed.parse().ok().filter(|address: &std::net::SocketAddr| address.ip().is_loopback());
            Some(address.ok_or(wrong)?)
        }
        _ => return Ok(Typed::App(arguments)),
    };
    arguments.remove(1);
    Ok(Typed::WithPage(arguments, address))
}

#[cfg(not(feature = "ui"))]
#[expect(clippy::unnecessary_wraps, reason = "with a page, there is an address to be wrong")]
fn run(arguments: Vec<OsString>) -> Result<Typed, String> {
    Ok(Typed::App(arguments))
}

pub(super) fn help(arguments: &[OsString], name: &str) -> String {
    let program = arguments.first().map(OsString::as_os_str).and_then(|path| Path::new(path).file_name());
    let program = program.unwrap_or(OsStr::new(name)).display();
    let page = if cfg!(feature = "ui") {
        format!("       {program} run --ui[=ADDRESS] [ARGUMENTS]           the same, with a page that shows how it goes\n")
    } else {
        String::new()
    };
    format!(
        "usage: {program} install [--user] [--print] [-- ARGUMENTS]   make it a service, started with ARGUMENTS
       {program} uninstall [--user] [--purge]            remove it again; --purge: with its files
       {program} start|stop|status [--user]
       {program} [run] [ARGUMENTS]                       run it in the foreground
{page}--user: a service of this user, which needs no root"
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

    #[cfg(feature = "ui")]
    #[test]
    fn a_page_is_asked_for_right_behind_run_and_on_this_machine_only() {
        let app = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(parsed("app run --ui --port 80"), Ok(Typed::WithPage(app(&["app", "--port", "80"]), None)));
        let address = "127.0.0.1:9000".parse().ok();
        assert_eq!(parsed("app run --ui=127.0.0.1:9000"), Ok(Typed::WithPage(app(&["app"]), address)));
        for line in ["app run --ui=0.0.0.0:9000", "app run --ui=9000", "app run --ui="] {
            assert!(parsed(line).unwrap_err().contains("--ui=127.0.0.1:9000"), "{line}");
        }
        assert_eq!(parsed("app run --uid 7"), Ok(Typed::App(app(&["app", "--uid", "7"]))));
        assert_eq!(parsed("app run --port 80 --ui"), Ok(Typed::App(app(&["app", "--port", "80", "--ui"]))));
        assert_eq!(parsed("app --ui"), Ok(Typed::App(app(&["app", "--ui"]))));
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

//! The host.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use narthex::service::Scope;

use super::SocketArgument;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct HostArguments {
    #[command(subcommand)]
    pub(crate) service: Option<HostService>,
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
    /// The configuration file: reservations, listen addresses, timers and settings [default: the platform's place]
    #[arg(long, value_name = "PATH", env = "NARTHEX_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Let the programs of other users connect; what they may register, the reservations say [default for root]
    #[arg(long)]
    pub(crate) shared: bool,
    /// Worker threads, each with listeners of its own [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Listen only on this address; may be repeated [default: as each prefix says]
    #[arg(long, value_name = "IP")]
    pub(crate) listen: Vec<IpAddr>,
    /// Take over from the host that runs on the socket: no client is refused, its apps register here, and it serves the connections that
    /// it has to their end
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Serve the dashboard here, as one of the host's own registrations: best on a port of its own, since pages of other apps on the
    /// same port are its own origin. Whoever reaches it over loopback may look; to act, and from elsewhere, takes the token, which is in
    /// the link that the host logs
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "http://localhost:8900/")]
    pub(crate) dashboard: Option<String>,
    /// The dashboard's token: at least 16 letters, digits, `-`, `.`, `_` or `~` [default: a new one at each start]
    #[arg(long, value_name = "TOKEN", value_parser = token, env = "NARTHEX_DASHBOARD_TOKEN", hide_env_values = true, requires = "dashboard")]
    pub(crate) dashboard_token: Option<String>,
}

/// The host as a service of systemd or launchd.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum HostService {
    /// Make the host a service that starts with the machine, as a user of its own with no rights but to open low ports
    Install {
        #[command(flatten)]
        whose: Whose,
        /// Only print the files that would be written
        #[arg(long)]
        print: bool,
    },
    /// Stop the service and remove what `install` wrote; configuration and logs stay
    Uninstall {
        #[command(flatten)]
        whose: Whose,
        /// Remove configuration, certificates and logs too
        #[arg(long)]
        purge: bool,
    },
    /// Start the service now, and return when it is ready
    Start(Whose),
    /// Stop the service now, and return when it has
    Stop(Whose),
    /// Say how the service goes: exit code 3 if it does not run, 4 if it is not installed
    Status(Whose),
}

/// Whose service is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Whose {
    /// A service of this user, which starts at the login and needs no root [default: the machine's]
    #[arg(long)]
    pub(crate) user: bool,
}

impl Whose {
    pub(crate) fn scope(self) -> Scope {
        if self.user { Scope::User } else { Scope::System }
    }
}

/// It has to fit a link and a WebSocket's sub-protocol as it is, and not to be guessed.
fn token(typed: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if typed.len() < 16 || !typed.bytes().all(fits) {
        return Err("a token has at least 16 letters, digits, `-`, `.`, `_` or `~`".to_owned());
    }
    Ok(typed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::{parsed, usage_error};
    use super::*;

    fn host(line: &str) -> HostArguments {
        match parsed(line).unwrap() {
            Command::Host(host) => host,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_host_is_a_service_by_words_of_its_own() {
        let whose = Whose { user: true };
        for (line, meaning) in [
            ("narthex host install --user --print", HostService::Install { whose, print: true }),
            ("narthex host uninstall --purge", HostService::Uninstall { whose: Whose::default(), purge: true }),
            ("narthex host status --user", HostService::Status(whose)),
        ] {
            assert_eq!(host(line).service, Some(meaning), "{line}");
        }
        for line in ["narthex host --shared install", "narthex host installed", "narthex host start --print"] {
            usage_error(line);
        }
    }

    #[test]
    fn the_host_listens_on_every_address_given() {
        let typed = host("narthex host --socket /s --workers 2 --listen 127.0.0.1 listen=::1");
        assert_eq!(typed.socket.socket, Some("/s".into()));
        assert_eq!(typed.workers, Some(2));
        assert_eq!(typed.listen, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        usage_error("narthex host --workers 0");
    }

    #[test]
    fn the_host_takes_a_configuration_and_may_be_shared() {
        let typed = host("narthex host --config /c.toml --shared");
        assert_eq!((typed.config, typed.shared), (Some("/c.toml".into()), true));
        assert!(!host("narthex host config=/c.toml").shared);
    }

    #[test]
    fn the_dashboard_is_off_or_on_loopback_unless_told_otherwise() {
        assert_eq!(host("narthex host").dashboard, None);
        assert_eq!(host("narthex host --dashboard").dashboard.as_deref(), Some("http://localhost:8900/"));
        let typed = host("narthex host --dashboard http://+:80/x/ --dashboard-token 0123456789abcdef");
        assert_eq!(
            (typed.dashboard.as_deref(), typed.dashboard_token.as_deref()),
            (Some("http://+:80/x/"), Some("0123456789abcdef"))
        );
        for line in ["narthex host --dashboard --dashboard-token short", "narthex host --dashboard-token 0123456789abcdef"] {
            usage_error(line);
        }
    }
}

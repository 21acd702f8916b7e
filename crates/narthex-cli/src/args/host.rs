//! The host.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::SocketArgument;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct HostArguments {
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
}

//! The iplisten list.

use std::net::IpAddr;

use clap::Args;

use super::Asking;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct IplistenAddress {
    /// An IPv4 or IPv6 address without a port, such as 192.0.2.1 or ::1
    #[arg(long, value_name = "IP")]
    pub(crate) ipaddress: IpAddr,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowIplisten {
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, usage_error};
    use super::super::{Add, Command, Delete, Show};
    use super::*;

    #[test]
    fn addresses_are_added_and_deleted_without_a_port() {
        let address = || IplistenAddress { ipaddress: "::1".parse().unwrap(), asking: Asking::default() };
        all_mean(
            &["narthex add iplisten ipaddress=::1", "narthex add iplisten --ipaddress ::1"],
            Command::Add(Add::Iplisten(address())),
        );
        all_mean(
            &["narthex delete iplisten IPAddress=::1", "narthex delete iplisten --ipaddress=::1"],
            Command::Delete(Delete::Iplisten(address())),
        );
        let show = ShowIplisten { asking: Asking { json: true, ..Asking::default() } };
        all_mean(&["narthex show iplisten --json"], Command::Show(Show::Iplisten(show)));
        assert_eq!(usage_error("narthex add iplisten ipaddress=127.0.0.1:80"), ErrorKind::ValueValidation);
        assert_eq!(usage_error("narthex add iplisten"), ErrorKind::MissingRequiredArgument);
    }
}

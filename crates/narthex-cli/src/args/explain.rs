//! Where a URL goes.

use std::net::SocketAddr;

use clap::Args;

use super::Asking;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ExplainArguments {
    /// The URL, such as `http://example.com:8888/path`
    pub(crate) url: String,
    /// The local address that the request would arrive on, for prefixes that are bound to an IP
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) local: Option<SocketAddr>,
    /// Also say what this user, by name or number, would meet who registered the URL
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn explain_takes_a_url_and_the_address_it_arrives_on() {
        let meaning = ExplainArguments {
            url: "http://a:8888/x?user=y".to_owned(),
            local: Some("127.0.0.1:8888".parse().unwrap()),
            user: Some("web".to_owned()),
            asking: Asking::default(),
        };
        all_mean(
            &[
                "narthex explain http://a:8888/x?user=y --local 127.0.0.1:8888 --user web",
                "narthex explain http://a:8888/x?user=y local=127.0.0.1:8888 user=web",
                "narthex explain user=web local=127.0.0.1:8888 url=http://a:8888/x?user=y",
                "narthex explain --user=web --local=127.0.0.1:8888 -- http://a:8888/x?user=y",
            ],
            Command::Explain(meaning),
        );
        for line in ["narthex explain", "narthex explain http://a/ loacl=127.0.0.1:80", "narthex explain http://a/ local=x"] {
            usage_error(line);
        }
    }
}

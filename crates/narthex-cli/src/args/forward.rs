//! Servers that run already.

use std::path::PathBuf;

use clap::Args;
use narthex::forward::Upstream;

use super::SocketArgument;
use super::run::{Span, path};

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = "SIGTERM ends it in order. docs/run.md has more.")]
pub(crate) struct ForwardArguments {
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
    /// The URL prefix to register, as in http://+:80/blog/; may be repeated
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) prefix: Vec<String>,
    /// Pass paths on with the prefix; otherwise the servers see /blog/x as /x, with X-Forwarded-Prefix: /blog
    #[arg(long)]
    pub(crate) keep_prefix: bool,
    /// A server gets no requests while this path of it does not answer 2xx or 3xx [default: while it cannot be connected to]
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(crate) health: Option<String>,
    /// How often the health path is asked [default: 10s]
    #[arg(long, value_name = "TIME", requires = "health")]
    pub(crate) health_every: Option<Span>,
    /// Speak HTTP/2 without asking, to servers without TLS too; WebSockets do not go through then
    #[arg(long)]
    pub(crate) http2: bool,
    /// The authorities that sign the servers' certificates, PEM [default: those that the machine trusts]
    #[arg(long, value_name = "FILE")]
    pub(crate) authorities: Option<PathBuf>,
    /// How long a server may take to begin its answer; then the client gets 504 [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
    /// The longest request body in bytes; 0 for any [default: what the host has]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_body: Option<u64>,
    /// Where the servers are, as in http://127.0.0.1:3000, unix:/run/app.sock, or https and a name; several share the requests
    #[arg(value_name = "ADDRESS", required = true, value_parser = address)]
    pub(crate) to: Vec<String>,
}

fn address(typed: &str) -> Result<String, String> {
    Upstream::new(typed).map(|_| typed.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn servers_are_named_by_their_addresses() {
        let arguments = ForwardArguments {
            socket: SocketArgument::default(),
            prefix: vec!["http://+:80/blog/".to_owned()],
            keep_prefix: true,
            health: Some("/healthz".to_owned()),
            health_every: None,
            http2: false,
            authorities: None,
            timeout: Some(Span(Duration::from_secs(5))),
            max_body: None,
            to: vec!["http://127.0.0.1:3000".to_owned(), "unix:/run/b.sock".to_owned()],
        };
        let typed = "narthex forward --prefix http://+:80/blog/ --keep-prefix --health /healthz --timeout 5s \
                     http://127.0.0.1:3000 unix:/run/b.sock";
        all_mean(&[typed], Command::Forward(arguments));
        usage_error("narthex forward --prefix http://+:80/blog/");
        usage_error("narthex forward http://127.0.0.1:3000");
        usage_error("narthex forward --prefix http://+:80/blog/ 127.0.0.1:3000");
    }
}

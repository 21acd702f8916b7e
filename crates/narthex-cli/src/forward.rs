//! `narthex forward`: servers that run already, as an app of the host.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response};
use narthex::forward::{Forward, ResponseBody, Upstream};
use narthex::{Body, Provider, Server};
use tower_service::Service;

use crate::args::ForwardArguments;
use crate::output::print;
use crate::prefix;
use crate::stop::StopSignals;

const HEALTH_EVERY: Duration = Duration::from_secs(10);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Forwards until told to stop.
pub(crate) fn run(arguments: &ForwardArguments) -> anyhow::Result<()> {
    let forward = Forward::new().route("/", upstream(arguments)?);
    crate::log::start("info");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let mut signals = StopSignals::catch().context("cannot catch signals")?;
        let server = server(arguments, Gate { forward, keep_prefix: arguments.keep_prefix });
        server.with_graceful_shutdown(async move { signals.received().await }).run().await?;
        Ok(())
    })
}

fn upstream(arguments: &ForwardArguments) -> anyhow::Result<Upstream> {
    let (first, others) = arguments.to.split_first().context("no address of a server is named")?;
    let mut upstream = Upstream::new(first)?;
    for other in others {
        upstream = upstream.server(other)?;
    }
    if let Some(path) = &arguments.health {
        let every = arguments.health_every.map_or(HEALTH_EVERY, |every| every.0);
        upstream = upstream.health(path, every, HEALTH_TIMEOUT);
    }
    if let Some(limit) = arguments.timeout {
        upstream = upstream.head_timeout(limit.0);
    }
    if let Some(file) = &arguments.authorities {
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        upstream = upstream.authorities(pem);
    }
    Ok(if arguments.http2 { upstream.http2() } else { upstream })
}

fn server(arguments: &ForwardArguments, gate: Gate) -> Server<Gate> {
    let provider = arguments.socket.socket.as_ref().map_or_else(Provider::auto, Provider::shared_at);
    let mut server = Server::new(gate).prefixes(&arguments.prefix).provider(provider).connection_info(true).request_control(true);
    if let Some(most) = arguments.max_body {
        server = server.max_body((most > 0).then_some(most));
    }
    let to = arguments.to.join(" ");
    server.on_ready(move |prefixes| {
        let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
        print(&format!("ready {} to {to}", prefixes.join(" ")));
    })
}

/// The servers as an app.
#[derive(Clone)]
struct Gate {
    forward: Forward,
    keep_prefix: bool,
}

impl Service<Request<Body>> for Gate {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if self.keep_prefix {
            prefix::put_back(&mut parts);
        } else if let Some(inside) = prefix::inside(&parts) {
            return Box::pin(ready(Ok(prefix::moved(&inside))));
        }
        self.forward.call(Request::from_parts(parts, body))
    }
}

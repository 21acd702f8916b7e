//! A server that runs with its page.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::counted::{Counted, Counts};
use super::page::Page;
use crate::body::Body;
use crate::error::{BoxError, Error, Result};
use crate::lifetime::process_signals;
use crate::provider::Provider;
use crate::server::Server;

/// Runs a server and its page until the process is told to stop, or the server ends and it was not the page that stopped it.
pub(crate) async fn run<S, B>(server: Server<S>, address: SocketAddr) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone + Send + 'static,
    B: HttpBody<Error: Into<BoxError>> + 'static,
{
    if !address.ip().is_loopback() {
        return Err(Error::UiAddress(address));
    }
    let counts = Arc::new(Counts::default());
    let (name, own_signal) = (server.shown_name(), server.has_signal());
    let page = Page::new(name.clone(), server.handle(), Arc::clone(&counts));
    let _served = open(&page, address, &name).await?;
    let (signal, _watching) = process_signals().map_err(Error::io("listen for signals"))?;
    let running = server.map_app(|app| Counted::new(app, counts)).start().await?;
    // Whoever has a signal of his own catches the process's, too.
    let signal = async move { if own_signal { std::future::pending().await } else { signal.await } };
    tokio::pin!(signal);
    loop {
        tokio::select! {
            () = &mut signal => {
                running.stop();
                return if running.is_active() { running.stopped().await } else { Ok(()) };
            }
            ended = running.stopped() => if !page.has_stopped_it() { return ended },
        }
        tokio::select! {
            () = &mut signal => return Ok(()),
            () = page.starts_it() => {}
        }
    }
}

/// Serves the page on a listener of its own, and prints the link to it.
async fn open(page: &Page, address: SocketAddr, name: &str) -> Result<Served> {
    let server = Server::new(page.clone())
        .name(format!("{name}: its page"))
        .prefix(format!("http://{address}/"))
        .provider(Provider::embedded())
        .workers(1)
        .start()
        .await?;
    let prefixes = server.prefixes();
    let served = Served(server);
    for prefix in &prefixes {
        // Not to be put into a log: it is a key.
        eprintln!("{name}: its page is {prefix}{}", page.fragment());
    }
    Ok(served)
}

/// The page is there while this lives.
struct Served(crate::ServerHandle);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.stop();
    }
}

//! The dashboard: what the host does, live, as one more app behind it.
//!
//! Who reaches it over loopback may look; whoever has the token may look from anywhere, read the logs, and act. Everybody may have the
//! page, which is empty until it is told something: a browser shows the token, which is in the link's fragment, with the page's questions.

mod act;
mod guard;
mod look;
mod metrics;
mod pages;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use narthex::hub::Hub;
use narthex::{Provider, Server};
use narthex_host::admin::{AdminError, Client};

pub(crate) use guard::Token;

/// A dashboard that is about to be served.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The host's.
    socket: PathBuf,
    token: Token,
    watchers: Hub,
}

impl Dashboard {
    pub(crate) fn new(socket: &Path, token: Token) -> Self {
        let socket = socket.to_owned();
        Self(Arc::new(Inner { socket, token, watchers: Hub::builder().protocols([guard::PROTOCOL]).build() }))
    }

    /// The link that lets who opens it act. A fragment is sent to nobody: no log has the token, and no app that shares the port.
    pub(crate) fn link(&self, url: &str) -> String {
        format!("{url}#token={}", self.0.token.as_str())
    }

    /// Serves it under a prefix, until the future is dropped; tells `ready` once it does.
    pub(crate) async fn serve(self, prefix: &str, ready: impl FnOnce() + Send + 'static) -> narthex::Result<()> {
        let provider = Provider::shared_at(&self.0.socket);
        let _watching = watch::start(&self.0);
        let server = Server::new(self.router()).name("dashboard").prefix(prefix).provider(provider);
        let server = server.workers(1).connection_info(true).with_graceful_shutdown(std::future::pending());
        let mut ready = Some(ready);
        server.on_ready(move |_| ready.take().into_iter().for_each(|ready| ready())).run().await
    }

    fn router(self) -> Router {
        let inner = Arc::clone(&self.0);
        let guarded = Router::new()
            .route("/live", inner.watchers.route())
            .route("/state", get(look::state))
            .route("/explain", get(look::explain))
            .route("/log", get(look::log))
            .route("/metrics", get(metrics::page))
            .route("/act", post(act::act))
            .layer(from_fn_with_state(Arc::clone(&inner), guard::admit))
            .with_state(inner);
        Router::new()
            .route("/", get(pages::page))
            .route("/dashboard.js", get(pages::script))
            .route("/dashboard.css", get(pages::style))
            .merge(guarded)
    }
}

impl Inner {
    /// Asks the host, which answers at once or is stuck, away from the thread that serves pages.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Client) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let socket = self.socket.clone();
        let asked = tokio::task::spawn_blocking(move || question(&mut Client::connect(&socket)?)).await;
        asked.unwrap_or(Err(AdminError::Unexpected))
    }
}

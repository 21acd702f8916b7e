//! An app that is a service of the machine: `cargo build -p service`, then
//!
//! ```text
//! sudo install -m 755 target/debug/ping-service /usr/local/bin/
//! sudo ping-service install && sudo ping-service start
//! curl http://localhost:8888/ping/
//! sudo ping-service uninstall
//! ```
//!
//! Without root: `target/debug/ping-service install --user`. Its own argument is its prefix: `install -- http://+:80/ping/`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use axum::{Router, routing::get};
use narthex::Server;
use narthex::service::Service;

fn main() -> ExitCode {
    // No colours in the journal.
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
    Service::new("ping-service").description("Answers pings").low_ports(true).main(|invocation| async move {
        let prefix = invocation.arguments().get(1).and_then(|typed| typed.to_str()).unwrap_or("http://+:8888/ping/");
        let app = Router::new().route("/", get(|| async { "pong\n" })).route("/hang", get(hang));
        Server::new(app).prefix(prefix).run().await
    })
}

/// What a handler must not do: it stops its worker, and the service manager's watchdog ends the service.
async fn hang() {
    std::thread::sleep(Duration::from_secs(3600));
}

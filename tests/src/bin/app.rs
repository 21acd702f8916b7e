//! `narthex-test-app`: the app under test as a program of its own, on whichever provider the suite asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use narthex_tests::app::{Recorder, Settings, router};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Provider {
    /// A listener of the app's own.
    Embedded,
    /// Through a host.
    Shared,
    /// `axum::serve`: what the suite itself is checked against.
    Axum,
}

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, value_enum)]
    provider: Provider,
    /// A UrlPrefix to register; may be repeated. Port 0 is any free port.
    #[arg(long, required = true)]
    prefix: Vec<String>,
    /// The host's socket, for the shared provider.
    #[arg(long)]
    host_socket: Option<PathBuf>,
    /// What `/whoami` answers.
    #[arg(long, default_value = "app")]
    name: String,
    /// Writes every request's head and body to this file.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Lifts the limit on request bodies.
    #[arg(long)]
    unlimited_body: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let recorder = arguments.record.as_deref().map(Recorder::create).transpose().context("cannot create the record")?;
    let settings = Settings { name: arguments.name.clone(), recorder };
    match arguments.provider {
        Provider::Axum => serve_axum(&arguments, settings).await,
        Provider::Embedded | Provider::Shared => bail!("not built yet"),
    }
}

async fn serve_axum(arguments: &Arguments, settings: Settings) -> anyhow::Result<()> {
    let address = arguments.prefix[0].trim_start_matches("http://").trim_end_matches('/');
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("ready http://{}/", listener.local_addr()?);
    let app = router(settings, |_| (None, None)).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

//! The Narthex side of the benchmark: `GET /` answered with `Hello, World!` by every provider, as the peers answer it.

mod framework;
mod raw;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use narthex::Provider;

#[derive(Parser)]
struct Args {
    /// What answers, and by which way.
    subject: Subject,
    /// The port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// The socket of the host, for the shared subjects.
    #[arg(long)]
    host_socket: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Subject {
    /// A handler on the bare engine.
    EmbeddedRaw,
    /// An axum router on the embedded provider.
    EmbeddedAxum,
    /// A function as a tower service, through a host.
    SharedRaw,
    /// An axum router through a host.
    SharedAxum,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let shared = || args.host_socket.as_ref().map_or_else(Provider::shared, Provider::shared_at);
    match args.subject {
        Subject::EmbeddedRaw => raw::embedded(args.port),
        Subject::EmbeddedAxum => framework::serve(framework::axum(), Provider::embedded(), args.port),
        Subject::SharedRaw => framework::serve(framework::function(), shared(), args.port),
        Subject::SharedAxum => framework::serve(framework::axum(), shared(), args.port),
    }
}

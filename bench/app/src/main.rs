//! The Narthex side of the benchmark: `GET /` answered with `Hello, World!` by every provider, as the peers answer it.

mod files;
mod framework;
mod hub;
mod raw;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use narthex::{FineTune, OperatingMode, Provider, RequestQueue};

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
    /// For what is served by `narthex::Server`: the prefix is an `https` one. Behind a host, the host has the certificate.
    #[arg(long)]
    https: bool,
    /// The certificate of an embedded server (PEM).
    #[arg(long, requires_all = ["https", "key"])]
    certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long)]
    key: Option<PathBuf>,
    /// How many requests may wait at the host.
    #[arg(long)]
    queue_length: Option<u32>,
    /// Of a queue that several processes share.
    #[arg(long)]
    queue_name: Option<String>,
    /// Where the file `gigabyte` is, and where uploads go.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The file's bytes come through the app.
    #[arg(long)]
    copied: bool,
    #[command(flatten)]
    knobs: Knobs,
}

/// For what is served by `narthex::Server`.
#[derive(clap::Args)]
struct Knobs {
    /// Worker threads. The peers have one.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// `FineTune::accepts_per_worker`.
    #[arg(long, value_name = "REQUESTS")]
    accepts: Option<u32>,
    /// `OperatingMode::SingleAcceptor`.
    #[arg(long)]
    single_acceptor: bool,
    /// `FineTune::inline_completion(false)`.
    #[arg(long)]
    no_inline: bool,
}

impl Args {
    fn queue(&self) -> RequestQueue {
        let mut queue = RequestQueue::new();
        if let Some(requests) = self.queue_length {
            queue = queue.length(requests);
        }
        if let Some(name) = &self.queue_name {
            queue = queue.named(name);
        }
        queue
    }
}

impl Knobs {
    fn fine_tune(&self) -> FineTune {
        let mut fine_tune = FineTune::default().inline_completion(!self.no_inline);
        if let Some(requests) = self.accepts {
            fine_tune = fine_tune.accepts_per_worker(requests);
        }
        if self.single_acceptor {
            fine_tune = fine_tune.operating_mode(OperatingMode::SingleAcceptor);
        }
        fine_tune
    }
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
    /// The same function, whose answer the host keeps.
    SharedCached,
    /// WebSocket hubs on the embedded provider.
    EmbeddedHub,
    /// WebSocket hubs through a host.
    SharedHub,
    /// Files and forms on the embedded provider.
    EmbeddedFiles,
    /// Files and forms through a host.
    SharedFiles,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let shared = || args.host_socket.as_ref().map_or_else(Provider::shared, Provider::shared_at);
    match args.subject {
        Subject::EmbeddedRaw => raw::embedded(args.port),
        Subject::EmbeddedAxum => framework::serve(framework::axum(), Provider::embedded(), &args),
        Subject::SharedRaw => framework::serve(framework::function(), shared(), &args),
        Subject::SharedCached => framework::serve(framework::cached(), shared(), &args),
        Subject::SharedAxum => framework::serve(framework::axum(), shared(), &args),
        Subject::EmbeddedHub => framework::serve(hub::router(), Provider::embedded(), &args),
        Subject::SharedHub => framework::serve(hub::router(), shared(), &args),
        Subject::EmbeddedFiles => framework::serve(files(&args)?, Provider::embedded(), &args),
        Subject::SharedFiles => framework::serve(files(&args)?, shared(), &args),
    }
}

fn files(args: &Args) -> anyhow::Result<axum::Router> {
    let directory = args.directory.clone().context("--directory has to say where the file is")?;
    Ok(files::router(directory, args.copied))
}

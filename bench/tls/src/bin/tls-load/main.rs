//! Load for TLS servers that no common tool makes: handshakes, full and resumed, and HTTP/3; and, for counting instructions, a fixed
//! number of requests by any version of HTTP.
#![allow(clippy::disallowed_methods, reason = "measuring how long a request takes is the point here")]

mod client;
mod handshakes;
mod http1;
mod http2;
mod http3;
mod identity;
mod lanes;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use tally::Bound;

#[derive(Parser)]
enum Command {
    /// Makes `ecdsa.pem`, `ecdsa.key`, `rsa.pem` and `rsa.key` in this directory.
    Identities { directory: PathBuf },
    /// One connection: an error unless `GET /` is answered as it must be. Prints what was negotiated.
    Check {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        protocol: Protocol,
    },
    /// Connects, shakes hands, waits for a session ticket, closes; over and over.
    Handshakes {
        #[arg(long)]
        port: u16,
        /// Each handshake but the first resumes a session by a ticket that was not used before.
        #[arg(long)]
        resumed: bool,
        /// Handshakes at a time.
        #[arg(long, default_value_t = 32)]
        lanes: usize,
        #[command(flatten)]
        bound: BoundArgs,
    },
    /// Requests, one after the other on each stream of each connection.
    Requests {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        protocol: Protocol,
        #[arg(long)]
        connections: usize,
        /// Streams of each connection; HTTP/1.1 has one.
        #[arg(long, default_value_t = 1)]
        streams: usize,
        #[arg(long, default_value = "/")]
        path: String,
        #[command(flatten)]
        bound: BoundArgs,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct BoundArgs {
    /// Until so much time has passed.
    #[arg(long)]
    seconds: Option<f64>,
    /// So many on each lane or stream.
    #[arg(long)]
    each: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    H1,
    H2,
    H3,
}

impl From<BoundArgs> for Bound {
    fn from(args: BoundArgs) -> Self {
        match (args.each, args.seconds) {
            (Some(each), _) => Self::each(each),
            (None, seconds) => Self::lasting(Duration::from_secs_f64(seconds.unwrap_or(1.0))),
        }
    }
}

/// No run takes longer, whatever the server does.
const LONGEST: Duration = Duration::from_secs(900);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tokio::time::timeout(LONGEST, run(Command::parse())).await.context("the load took too long")?
}

async fn run(command: Command) -> Result<()> {
    let tally = match command {
        Command::Identities { directory } => return identity::make(&directory),
        Command::Check { port, protocol } => {
            println!("{}", client::check(port, protocol).await?);
            return Ok(());
        }
        Command::Handshakes { port, resumed, lanes, bound } => handshakes::run(port, resumed, lanes, bound.into()).await?,
        Command::Requests { port, protocol, connections, streams, path, bound } => match protocol {
            Protocol::H1 => http1::run(port, connections, &path, bound.into()).await?,
            Protocol::H2 => http2::run(port, connections, streams, &path, bound.into()).await?,
            Protocol::H3 => http3::run(port, connections, streams, &path, bound.into()).await?,
        },
    };
    println!("{}", tally.report());
    Ok(())
}

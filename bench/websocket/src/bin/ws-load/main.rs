//! The load of `cargo xtask bench --websocket`, from one thread: every frame is made beforehand, and every answer compared byte by byte.

#![allow(clippy::disallowed_methods, reason = "measuring how long a message takes is the point here")]

mod broadcast;
mod connection;
mod echo;
mod frame;
mod idle;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bench_websocket::ECHO;
use clap::{Args, Parser, Subcommand};

use connection::Connection;
use frame::Frame;
use tally::Tally;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// One message there and back: an error unless it is the right one.
    Check {
        #[arg(long)]
        port: u16,
    },
    /// Each connection sends a message, waits for its echo and begins again.
    Echo(Messages),
    /// One connection sends a message, all wait for it, and it begins again.
    Broadcast(Messages),
    /// Connections that say nothing until `open` is printed; three seconds later each echoes a message, and `used` is printed.
    Idle {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        connections: usize,
    },
}

#[derive(Args)]
struct Messages {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    connections: usize,
    /// Bytes of a message.
    #[arg(long)]
    size: usize,
    /// For how long.
    #[arg(long, conflicts_with = "each")]
    seconds: Option<u64>,
    /// Messages of each connection, all sending before any reads: the same work in every run.
    #[arg(long)]
    each: Option<usize>,
}

/// When a load ends.
#[derive(Clone, Copy)]
enum Bound {
    Lasting(Duration),
    Each(usize),
}

impl Messages {
    fn bound(&self) -> Result<Bound> {
        match (self.seconds, self.each) {
            (Some(seconds), None) => Ok(Bound::Lasting(Duration::from_secs(seconds))),
            (None, Some(each)) => Ok(Bound::Each(each)),
            _ => bail!("either --seconds or --each"),
        }
    }

    fn open(&self, path: &str) -> Result<Vec<Connection>> {
        (0..self.connections).map(|_| Connection::open(self.port, path)).collect()
    }
}

fn main() -> Result<()> {
    match Options::parse().load {
        Load::Check { port } => {
            let mut connection = Connection::open(port, ECHO)?;
            connection.exchange(&Frame::of_size(16))?;
            println!("echoed");
        }
        Load::Echo(messages) => println!("{}", echo::run(&messages)?.report()),
        Load::Broadcast(messages) => println!("{}", broadcast::run(&messages)?.report()),
        Load::Idle { port, connections } => idle::run(port, connections)?,
    }
    Ok(())
}

/// What `load` makes of an empty tally, and how long that takes.
fn timed(load: impl FnOnce(&mut Tally) -> Result<()>) -> Result<Tally> {
    let mut tally = Tally::default();
    let start = Instant::now();
    load(&mut tally)?;
    Ok(tally.lasted(start.elapsed()))
}

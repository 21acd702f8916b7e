//! The load of `cargo xtask bench --websocket`, from one thread: every frame is made beforehand, and every answer compared byte by byte.

#![allow(clippy::disallowed_methods, reason = "measuring how long a message takes is the point here")]

mod broadcast;
mod connection;
mod connects;
mod crowd;
mod deflate;
mod echo;
mod events;
mod frame;
mod identity;
mod idle;
mod json;
mod opening;
mod storm;
mod tally;
mod target;
mod transport;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use connection::Connection;
use frame::Frame;
use opening::Opening;
use tally::Tally;
use target::Target;

/// Where binary messages are echoed.
const ECHO: &str = "/echo";
/// Where text is echoed, compressed if the client offers that and the server can.
const TEXT: &str = "/text";
/// Where messages go to all.
const BROADCAST: &str = "/broadcast";

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Makes `certificate.pem` and `key.pem` in this directory.
    Identity { directory: PathBuf },
    /// One message there and back: an error unless it is the right one.
    Check {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        tls: bool,
    },
    /// Each connection sends a message, waits for its echo and begins again.
    Echo(Messages),
    /// The same with text that looks like JSON.
    Text {
        /// By permessage-deflate: an error if the server does not.
        #[arg(long)]
        compressed: bool,
        #[command(flatten)]
        messages: Messages,
    },
    /// One connection sends a message, all wait for it, and it begins again.
    Broadcast(Messages),
    /// So many at a time connect, shake hands, have one message echoed, close and begin again.
    Connects(Messages),
    /// Connections that say nothing. `open` is printed; when a file appears each echoes a message, and `used` is printed.
    Idle {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        tls: bool,
        #[arg(long)]
        connections: usize,
        /// The file.
        #[arg(long)]
        then: Option<PathBuf>,
    },
    /// All connect at once, and once more when the server is gone: at once, and again at once when they are refused.
    Storm {
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

    fn open(&self, target: &Target) -> Result<Vec<Connection>> {
        let mut open: Vec<Connection> = Vec::with_capacity(self.connections);
        while open.len() < self.connections {
            let connection = Opening::complete(target);
            open.push(connection.with_context(|| format!("connection {} of {}", open.len() + 1, self.connections))?);
            // Whoever does not answer a ping for ten seconds is cut off.
            if open.len().is_multiple_of(1000) {
                open.iter_mut().try_for_each(Connection::answer_pings)?;
            }
        }
        Ok(open)
    }
}

fn main() -> Result<()> {
    let tls = |wanted: bool| wanted.then(transport::any_server).transpose();
    match Options::parse().load {
        Load::Identity { directory } => identity::make(&directory)?,
        Load::Check { port, tls: wanted } => {
            let target = Target::new(port, ECHO).over(tls(wanted)?);
            Opening::complete(&target)?.exchange(&Frame::of_size(16))?;
            println!("echoed");
        }
        Load::Echo(messages) => println!("{}", echo::run(&messages)?.report()),
        Load::Text { compressed, messages } => println!("{}", echo::text(&messages, compressed)?.report()),
        Load::Broadcast(messages) => println!("{}", broadcast::run(&messages)?.report()),
        Load::Connects(messages) => println!("{}", connects::run(&messages)?.report()),
        Load::Idle { port, tls: wanted, connections, then } => {
            idle::run(Target::new(port, ECHO).over(tls(wanted)?), connections, then.as_deref())?;
        }
        Load::Storm { port, connections } => storm::run(Target::new(port, ECHO), connections)?,
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

//! The Narthex side of the benchmark: `GET /` answered with `Hello, World!` by every provider, as the peers answer it.

mod raw;

use clap::{Parser, ValueEnum};

#[derive(Parser)]
struct Args {
    /// What answers, and by which way.
    subject: Subject,
    /// The port on 127.0.0.1.
    #[arg(long)]
    port: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Subject {
    /// A handler on the bare engine.
    EmbeddedRaw,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.subject {
        Subject::EmbeddedRaw => raw::embedded(args.port),
    }
}

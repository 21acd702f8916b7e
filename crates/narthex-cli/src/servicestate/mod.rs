//! `narthex show servicestate`: everything the host knows, in the shape of `netsh http show servicestate`.

mod text;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::admin;
use crate::output::print;

/// What the listing starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Sessions, with their URL groups; then the queues
    Session,
    /// Queues, with their processes and the URL groups that they serve
    Requestq,
}

/// How the state is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text { view: View, properties: bool },
}

/// A question to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) format: Format,
    /// None is the host that an app of this user would find.
    pub(crate) socket: Option<PathBuf>,
}

/// Asks the host and prints what it says.
pub(crate) fn run(question: &Question) -> anyhow::Result<()> {
    let state = admin::connect(question.socket.as_ref())?.service_state()?;
    match question.format {
        Format::Json => print(&serde_json::to_string_pretty(&state)?),
        Format::Text { view, properties } => print(text::render(&state, view, properties).trim_end()),
    }
    Ok(())
}

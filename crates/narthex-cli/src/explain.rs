//! `narthex explain`: where a URL goes, and why.

use crate::admin;
use crate::args::ExplainArguments;
use crate::output::print;

/// Asks the host and prints what it says.
pub(crate) fn run(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let explained = admin::connect(arguments.socket.socket.as_ref())?.explain(&arguments.url, arguments.local)?;
    match arguments.json {
        true => print(&serde_json::to_string_pretty(&explained.detail)?),
        false => print(explained.text.trim_end()),
    }
    Ok(())
}

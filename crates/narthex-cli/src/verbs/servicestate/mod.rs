//! `narthex show servicestate`: everything the host knows, in the shape of `netsh http show servicestate`.

mod text;

use super::answer;
use crate::admin;
use crate::args::ShowServicestate;

/// Asks the host and prints what it says.
pub(super) fn show(typed: &ShowServicestate) -> anyhow::Result<()> {
    let state = admin::connect(&typed.asking.socket)?.service_state()?;
    answer(&typed.asking, &state, || text::render(&state, typed.view, typed.verbose.is_yes()).trim_end().to_owned())
}

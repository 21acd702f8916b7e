//! `narthex show timeout`.

use narthex_host::admin::{AdminError, Answer, Question, TimerState};
use narthex_host::config::MachineTimer;

use super::answer;
use crate::admin::ask;
use crate::args::ShowTimeout;
use crate::listing::{Listing, remark};

/// The number of seconds that means "never".
const NEVER: u16 = u16::MAX;

pub(super) fn show(typed: &ShowTimeout) -> anyhow::Result<()> {
    let Answer::Timeouts(mut found) = ask(&typed.asking.socket, &Question::ShowTimeout)? else {
        return Err(AdminError::Unexpected.into());
    };
    if let Some(only) = typed.timeouttype {
        found.retain(|state| state.timer == only.into());
    }
    answer(&typed.asking, &found, || table(&found))
}

fn table(found: &[TimerState]) -> String {
    let mut listing = Listing::titled("Timeouts:");
    let values: Vec<_> = found.iter().map(|state| (name(state.timer).to_owned(), value(state))).collect();
    listing.below(|listing| listing.values(&values));
    listing.into_text()
}

fn name(timer: MachineTimer) -> &'static str {
    match timer {
        MachineTimer::IdleConnectionTimeout => "Idle connection timeout (secs)",
        MachineTimer::HeaderWaitTimeout => "Header wait timeout (secs)",
    }
}

fn value(state: &TimerState) -> String {
    match state.seconds {
        NEVER => format!("never{}", remark(state.default)),
        seconds => format!("{seconds}{}", remark(state.default)),
    }
}

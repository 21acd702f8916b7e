//! `narthex show setting`.

use narthex_host::admin::{AdminError, Answer, Question, SettingState};

use super::answer;
use crate::admin::ask;
use crate::args::ShowSetting;
use crate::listing::{Listing, remark};

pub(super) fn show(typed: ShowSetting) -> anyhow::Result<()> {
    let Answer::Settings(found) = ask(&typed.asking.socket, &Question::ShowSetting { name: typed.settingtype })? else {
        return Err(AdminError::Unexpected.into());
    };
    answer(&typed.asking, &found, || table(&found))
}

fn table(found: &[SettingState]) -> String {
    let mut listing = Listing::titled("HTTP service settings:");
    listing.below(|listing| {
        for state in found {
            listing.line(format_args!("{} : {}{}", state.name, state.value, remark(state.default)));
            if !state.help.is_empty() {
                listing.below(|listing| listing.line(&state.help));
            }
        }
    });
    listing.into_text()
}

//! `narthex show iplisten`.

use std::net::IpAddr;

use narthex_host::admin::{AdminError, Answer, Question};

use super::answer;
use crate::admin::ask;
use crate::args::ShowIplisten;
use crate::listing::Listing;

pub(super) fn show(typed: &ShowIplisten) -> anyhow::Result<()> {
    let Answer::Addresses(found) = ask(&typed.asking.socket, &Question::ShowIplisten)? else {
        return Err(AdminError::Unexpected.into());
    };
    answer(&typed.asking, &found, || table(&found))
}

fn table(found: &[IpAddr]) -> String {
    let mut listing = Listing::titled("IP addresses present in the IP listen list:");
    if found.is_empty() {
        listing.line("None: the host listens on the addresses that each URL prefix asks for.");
    }
    listing.below(|listing| found.iter().for_each(|address| listing.line(address)));
    listing.into_text()
}

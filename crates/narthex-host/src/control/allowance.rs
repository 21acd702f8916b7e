//! What all apps of one user may have together: a program can connect as often as it likes, so what one app may have does not
//! bound it. Operators have no such bound: theirs is the machine.

use std::collections::HashSet;
use std::net::SocketAddr;

use narthex_proto::wire::RefusalCode;

use super::state::{MOST_ADDRESSES, MOST_GROUPS, MOST_URLS, Refusal};

/// What all URLs of a user may take, in bytes: that they can be shown, and do not fill the memory.
const MOST_BYTES: usize = 4 << 20;

/// What a user has.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) unbounded: bool,
    pub(super) addresses: HashSet<SocketAddr>,
    pub(super) groups: usize,
    pub(super) urls: usize,
    pub(super) bytes: usize,
}

impl Taken {
    pub(super) fn check_urls(&self, urls: &[String], new_group: bool) -> Result<(), Refusal> {
        let bytes = urls.iter().fold(self.bytes, |sum, url| sum.saturating_add(url.len()));
        let groups = self.groups + usize::from(new_group);
        if self.unbounded || (groups <= MOST_GROUPS && self.urls + urls.len() <= MOST_URLS && bytes <= MOST_BYTES) {
            return Ok(());
        }
        let message = format!(
            "the apps of one user may have at most {MOST_GROUPS} URL groups and {MOST_URLS} URLs of {MOST_BYTES} bytes: \
             register shorter prefixes, which cover those below them"
        );
        Err(Refusal::new(RefusalCode::LimitReached, message))
    }

    pub(super) fn add_addresses(&mut self, addresses: &[SocketAddr]) -> Result<(), Refusal> {
        self.addresses.extend(addresses);
        if self.unbounded || self.addresses.len() <= MOST_ADDRESSES {
            return Ok(());
        }
        let message = format!("the apps of one user may listen on at most {MOST_ADDRESSES} addresses: register fewer ports");
        Err(Refusal::new(RefusalCode::LimitReached, message))
    }
}

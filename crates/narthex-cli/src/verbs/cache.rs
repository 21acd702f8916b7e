//! `narthex show cachestate`.

use narthex_host::admin::{AdminError, Answer, CachedState, Question};

use super::answer;
use crate::admin::ask;
use crate::args::ShowCachestate;
use crate::listing::{Listing, yes_or_no};

pub(super) fn show(typed: ShowCachestate) -> anyhow::Result<()> {
    let Answer::Cachestate(found) = ask(&typed.asking.socket, &Question::ShowCachestate { url: typed.url })? else {
        return Err(AdminError::Unexpected.into());
    };
    answer(&typed.asking, &found, || table(&found))
}

fn table(found: &[CachedState]) -> String {
    let mut listing = Listing::titled("Snapshot of HTTP response cache:");
    if found.is_empty() {
        listing.line("No response is in the cache.");
    }
    for response in found {
        listing.line(format_args!("URL: {}", response.url));
        listing.below(|listing| cached(listing, response));
        listing.blank();
    }
    listing.into_text()
}

fn cached(listing: &mut Listing, response: &CachedState) {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".to_owned());
    if !response.fragment {
        listing.line(format_args!("Status code: {}", response.status));
        listing.line(format_args!("HTTP verb: {}", response.method));
    }
    listing.line(format_args!("Cache policy type: {}", capital(&response.policy)));
    if let Some(seconds) = response.time_to_live {
        listing.line(format_args!("Time to live (secs): {seconds}"));
    }
    listing.line(format_args!("Creation time: {}", response.created));
    listing.line(format_args!("Request queue name: {}", response.queue_name.as_deref().unwrap_or("Request queue is unnamed.")));
    listing.line(format_args!("Content type: {}", or_none(&response.content_type)));
    listing.line(format_args!("Content encoding: {}", or_none(&response.content_encoding)));
    if !response.vary.is_empty() {
        listing.line(format_args!("Chosen by: {}", response.vary.join(", ")));
    }
    listing.line(format_args!("Headers length: {}", response.headers_length));
    listing.line(format_args!("Content length: {}", response.content_length));
    listing.line(format_args!("Hit count: {}", response.hits));
    listing.line(format_args!("Fragment: {}", yes_or_no(response.fragment)));
}

/// With a capital first letter.
pub(super) fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

//! `narthex show cacheparam`.

use narthex_host::admin::{AdminError, Answer, CacheparamState, Question};
use narthex_host::config::CacheParam;

use super::answer;
use crate::admin::ask;
use crate::args::ShowCacheparam;
use crate::listing::{Listing, remark};

pub(super) fn show(typed: &ShowCacheparam) -> anyhow::Result<()> {
    let Answer::Cacheparams(mut found) = ask(&typed.asking.socket, &Question::ShowCacheparam)? else {
        return Err(AdminError::Unexpected.into());
    };
    if let Some(only) = typed.kind {
        found.retain(|state| state.param == only.into());
    }
    answer(&typed.asking, &found, || table(&found))
}

fn table(found: &[CacheparamState]) -> String {
    let mut listing = Listing::titled("Cache parameters:");
    let value = |state: &CacheparamState| format!("{}{}", state.value, remark(state.default));
    let values: Vec<_> = found.iter().map(|state| (name(state.param).to_owned(), value(state))).collect();
    listing.below(|listing| listing.values(&values));
    listing.into_text()
}

fn name(param: CacheParam) -> &'static str {
    match param {
        CacheParam::MaxCacheResponseSize => "Maximum cache response size (bytes)",
        CacheParam::CacheRangeChunkSize => "Cache range chunk size (bytes)",
        CacheParam::MaxCacheSize => "Maximum cache size (bytes)",
        CacheParam::ScavengerPeriod => "Scavenger period (secs)",
    }
}

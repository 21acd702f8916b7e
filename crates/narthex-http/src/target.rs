//! What a request is for: its target made canonical, and its host. The same rules for every version of HTTP.

use narthex_proto::cooked::{self, CookError, CookedTarget};
use narthex_proto::host::RequestHost;

use crate::h1::head::Head;
use crate::limits::Limits;
use crate::reason::Reason;
use crate::worker::Worker;

/// The target, and the authority that it has itself: that replaces `Host` (RFC 9112 section 3.2.2).
pub(crate) fn judge<'a>(
    head: &Head<'_, 'a>,
    worker: &Worker,
    limits: &Limits,
) -> Result<(CookedTarget<'a>, Option<RequestHost<'a>>), Reason> {
    let cooked = cooked::cook(head.target, worker.cooking()).map_err(|error| {
        tracing::debug!(%error, target = head.target, "the request target is refused");
        match error {
            _ if head.method == "CONNECT" => Reason::NotImplemented,
            CookError::Control | CookError::NonAscii | CookError::Backslash => Reason::Forbidden,
            _ => Reason::Url,
        }
    })?;
    let too_long = limits.are_about_segments() && !limits.allow_segments_of(cooked.path());
    if too_long || cooked.is_asterisk() && head.method != "OPTIONS" {
        return Err(Reason::Url);
    }
    let authority = cooked.authority().map(|text| RequestHost::parse(text.as_bytes()));
    let authority = authority.transpose().map_err(|_| Reason::Hostname)?;
    Ok((cooked, authority))
}

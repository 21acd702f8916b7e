//! What a request is for: its target made canonical, and its host. The same rules for every version of HTTP.

use narthex_proto::cooked::{self, CookError, CookedTarget};
use narthex_proto::host::RequestHost;

use crate::h1::head::Head;
use crate::limits::Limits;
use crate::reason::Reason;
use crate::request::{ConnectionInfo, TlsInfo};
use crate::tls::Bindings;
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

/// Whether a request for `host` may come on this connection: not if the host's own TLS binding asks more of clients than the one
/// that the handshake was for. A client that names one host to TLS and another to HTTP must not get past that.
pub(crate) fn check_binding(
    host: Option<&RequestHost<'_>>,
    connection: &ConnectionInfo,
    tls: Option<&TlsInfo>,
    worker: &Worker,
) -> Result<(), Reason> {
    let (Some(host), Some(tls)) = (host, tls) else { return Ok(()) };
    // Addresses too: no binding of a name is for them, so that it is that of the address which has to agree.
    let admits = |bindings: &Bindings| bindings.admits(connection.local, tls.server_name.as_deref(), host.name());
    if worker.with_tls(|bindings| bindings.is_none_or(admits)) { Ok(()) } else { Err(Reason::Misdirected) }
}

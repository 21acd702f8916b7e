//! What the app is told: the request's head with its id and its trace context.

use narthex_http::{Request, RequestId};
use narthex_proto::trace::{LENGTH, TRACEPARENT, TRACESTATE, TraceContext};

const REQUEST_ID: &str = "x-request-id";

/// What stands in the head that an app gets in the place of what the client sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed<'r> {
    pub(crate) id: Option<&'r RequestId>,
    pub(crate) context: Option<Context>,
}

/// A trace context on its way to an app.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) traceparent: [u8; LENGTH],
    /// The client's `tracestate` belongs to it.
    pub(crate) goes_on: bool,
}

impl Passed<'_> {
    /// Whether the head is passed on as it came.
    pub(crate) fn is_nothing(&self) -> bool {
        self.id.is_none() && self.context.is_none()
    }

    /// Writes the head with this in it.
    pub(crate) fn write(&self, request: &Request<'_>, head: &mut Vec<u8>) {
        let raw = request.raw;
        let end = raw.len().saturating_sub(2);
        let mut copied = 0;
        for (name, _) in request.headers().filter(|(name, _)| self.replaces(name)) {
            let Some(start) = offset(raw, name) else { continue };
            let line = raw.get(start..end).and_then(|rest| memchr::memchr(b'\n', rest)).map_or(end, |at| start + at + 1);
            head.extend_from_slice(raw.get(copied..start).unwrap_or_default());
            copied = line;
        }
        head.extend_from_slice(raw.get(copied..end).unwrap_or_default());
        let fields = [
            (REQUEST_ID, self.id.map(RequestId::as_bytes)),
            (TRACEPARENT, self.context.as_ref().map(|context| &context.traceparent[..])),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
    }

    fn replaces(&self, name: &str) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            12 => self.id.is_some() && is(REQUEST_ID),
            11 => self.context.is_some() && is(TRACEPARENT),
            10 => self.context.is_some_and(|context| !context.goes_on) && is(TRACESTATE),
            _ => false,
        }
    }
}

/// Where a part of the head begins in it.
fn offset(raw: &[u8], part: &str) -> Option<usize> {
    part.as_ptr().addr().checked_sub(raw.as_ptr().addr()).filter(|at| *at < raw.len())
}

/// The trace that a client is in.
pub(super) fn of_client<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<TraceContext> {
    let contexts = headers.filter(|(name, _)| name.len() == TRACEPARENT.len() && name.eq_ignore_ascii_case(TRACEPARENT));
    TraceContext::only(contexts.map(|(_, text)| text))
}

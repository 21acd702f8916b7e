//! From a request head that a protocol's library gives to a running exchange.

use std::rc::Rc;

use tokio::task::spawn_local;

use crate::bandwidth::Whose;
use crate::exchange::Exchange;
use crate::h1::head::{self, BodyLength, Parsed, Version, content_length};
use crate::limits::Limits;
use crate::mux::Connection;
use crate::mux::carrier::Carrier;
use crate::mux::head::{Incoming, write_request};
use crate::mux::state::{Body, State};
use crate::mux::stream::{Inner, Stream};
use crate::reason::Reason;
use crate::request::{Handler, Request};
use crate::target;

/// Starts the exchange of a new stream, in a task of its own.
pub(crate) fn open<H: Handler>(
    connection: &Rc<Connection>,
    handler: &H,
    incoming: &Incoming,
    version: Version,
    carrier: Carrier,
) {
    let worker = Rc::clone(&connection.worker);
    let inner = Inner::new(Rc::clone(connection), State::new(carrier));
    inner.pace(&mut inner.state.borrow_mut(), Whose::Server, worker.bandwidth().as_ref());
    let stream = Stream(Rc::clone(&inner));
    let mut raw = worker.take_scratch();
    let limits = worker.limits();
    let future = begin(&stream, handler, incoming, version, &mut raw, &limits);
    let future = future.unwrap_or_else(|reason| {
        stream.refuse(reason);
        None
    });
    worker.return_scratch(raw);
    drop(stream);
    spawn_local(inner.run(future));
}

fn begin<H: Handler>(
    stream: &Stream,
    handler: &H,
    incoming: &Incoming,
    version: Version,
    raw: &mut Vec<u8>,
    limits: &Limits,
) -> Result<Option<H::Future>, Reason> {
    let connection = &stream.0.connection;
    let worker = &connection.worker;
    let written = write_request(incoming, connection.info.scheme, raw);
    {
        let mut state = stream.0.state();
        state.head_length = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        state.head_only = incoming.head.method == http::Method::HEAD;
        if worker.is_journaled() {
            let end = memchr::memchr(b'\r', raw).unwrap_or(raw.len()).min(crate::journal::Refused::LONGEST_LINE);
            state.line.extend_from_slice(raw.get(..end).unwrap_or_default());
        }
    }
    written?;
    let mut slots = head::slots();
    let head = match head::parse(raw, 0, &mut slots, limits) {
        Parsed::Complete(head) => head,
        Parsed::Refused(reason) => return Err(reason),
        Parsed::Partial | Parsed::NewerMinor(_) => return Err(Reason::BadRequest),
    };
    let declared = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let declared = declared.and_then(|header| content_length(header.value));
    let tunnel = incoming.tunnel.is_some();
    let body = match declared {
        // What a tunnel's client sends is no body.
        _ if incoming.ended || tunnel => BodyLength::Exact(0),
        Some(length) => BodyLength::Exact(length),
        None => BodyLength::Unknown,
    };
    let client = worker.client_of(&connection.info, head.headers);
    let id = worker.identify(&connection.info, head.headers);
    {
        let mut state = stream.0.state();
        state.client.clone_from(&client);
        state.id.clone_from(&id);
        state.declared = declared;
        state.max_body = limits.max_body;
        state.continue_owed = head.expects_continue;
        state.body = if body.is_empty() { Body::Done } else { Body::Open };
    }
    let (cooked, authority) = target::judge(&head, worker, limits)?;
    let host = authority.as_ref().or(head.host.as_ref());
    target::check_binding(host, &connection.info, connection.tls(), worker)?;
    let request = Request {
        raw: head.raw,
        method: head.method,
        target: head.target,
        cooked: &cooked,
        host,
        version,
        body,
        expects_continue: head.expects_continue,
        wants_upgrade: tunnel,
        id: id.as_ref(),
        connection: client.as_deref().unwrap_or(&connection.info),
        tls: connection.tls(),
        headers: head.headers,
    };
    worker.count_request();
    Ok(handler.handle(request, Exchange::from(stream.clone())))
}

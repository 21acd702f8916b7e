//! One worker of an app behind a host: its sessions, and the way from a request frame to the app.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::Version;
use narthex_http::fields::Fields;
use narthex_proto::wire::{BodyLength, CancelCode, Hello, HttpVersion, Request, Role, StreamId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_local};

use super::control::Connection;
use super::session::Session;
use super::stream::{StreamTask, WireStream};
use crate::body::Body;
use crate::call::{App, Calls, Means};
use crate::error::Result;
use crate::fragments::Names;
use crate::lifetime::Phases;
use crate::request::{ConnectionInfo, Head, Heads, NotRepresentable, Told};
use crate::request_control::RequestControl;
use crate::tuning::FineTune;
use crate::upgrade::Donor;

/// A session to be opened.
pub(super) struct Attach {
    pub(super) path: PathBuf,
    pub(super) token: String,
    pub(super) app_worker: u32,
    pub(super) host_worker: u32,
    /// Told when the session is there.
    pub(super) done: oneshot::Sender<Result<()>>,
    /// The session ends with the sender.
    pub(super) alive: watch::Receiver<()>,
    /// Told when the session has ended.
    pub(super) ended: mpsc::Sender<()>,
}

/// Runs a worker until the server drains and its sessions have ended.
pub(super) async fn run<S: App>(
    app: S,
    fine_tune: FineTune,
    told: Told,
    delegates: Arc<AtomicBool>,
    names: Names,
    mut commands: mpsc::UnboundedReceiver<Attach>,
    mut phases: Phases,
) {
    let worker = Rc::new(Worker {
        calls: Calls::new(app, fine_tune.inline_completion),
        heads: Heads::new(told.connection_info),
        request_control: told.request_control,
        delegates,
        fields: RefCell::default(),
        accepts: fine_tune.accepts_per_worker,
        names,
    });
    let mut sessions = JoinSet::new();
    let mut draining = phases.clone();
    loop {
        tokio::select! {
            Some(attach) = commands.recv() => {
                sessions.spawn_local(serve(Rc::clone(&worker), attach, phases.clone()));
            }
            _ = draining.draining() => break,
            Some(_) = sessions.join_next() => {}
        }
    }
    tokio::select! {
        () = async { while sessions.join_next().await.is_some() {} } => {}
        () = phases.closing() => sessions.shutdown().await,
    }
}

async fn serve<S: App>(worker: Rc<Worker<S>>, attach: Attach, phases: Phases) {
    let Attach { path, token, app_worker, host_worker, done, mut alive, ended } = attach;
    let mut hello = Hello::new(Role::Data);
    hello.pid = std::process::id();
    hello.token = Some(token);
    hello.app_worker = Some(app_worker);
    hello.host_worker = Some(host_worker);
    let (stream, begun) = match Connection::greet(&path, hello).await {
        Ok((connection, _)) => connection.into_session(),
        Err(failure) => {
            let _ = done.send(Err(failure.at(&path)));
            return;
        }
    };
    let session = Session::new(worker.accepts, worker.names.clone(), Arc::clone(&worker.delegates));
    let _ = done.send(Ok(()));
    tokio::select! {
        () = session.run(stream, begun, &*worker, phases) => {}
        // Only ever an error: nothing is sent.
        _ = alive.changed() => {}
    }
    session.abandon();
    let _ = ended.try_send(());
}

/// What the sessions of a worker share.
pub(super) struct Worker<S: App> {
    calls: Calls<S, WireStream>,
    heads: Heads,
    /// Where the header fields of the request at hand are.
    fields: RefCell<Fields>,
    /// Requests that one worker of the host may have here.
    accepts: u32,
    names: Names,
    /// Requests have a [`RequestControl`].
    request_control: bool,
    /// The app has said that it delegates.
    delegates: Arc<AtomicBool>,
}

impl<S: App> Worker<S> {
    /// Calls the app. Unless told otherwise, an answer that is ready at once goes out without a task of its own.
    pub(super) fn on_request(&self, session: &Rc<Session>, id: StreamId, request: &Request<'_>) {
        let (body, feed) = match request.length {
            BodyLength::None => (Body::empty(), None),
            length => {
                let length = if let BodyLength::Exact(length) = length { Some(length) } else { None };
                let (body, feed) = Body::channel(length);
                // The body's bytes may come in this very read.
                session.attach(id);
                (body, Some(feed))
            }
        };
        // Filled in where it is: a request is too large to be passed from hand to hand.
        let mut app_request = self.calls.request(body);
        if self.fill(&mut app_request, request).is_err() {
            tracing::error!("the host passed on a request that is not valid HTTP");
            session.cancel(id, CancelCode::HANDLER_GONE);
            return;
        }
        let donor = if request.upgrade { Donor::new() } else { None };
        let donor = donor.map(|(donor, on_upgrade)| {
            app_request.extensions_mut().insert(on_upgrade);
            donor
        });
        let watched = self.request_control.then(|| {
            // What the host says of the client may come in this very read.
            session.attach(id);
            RequestControl::give(&mut app_request)
        });
        let means = Means { downstream: WireStream::new(session, id), feed, donor, watched };
        if let Some(call) = self.calls.begin(app_request, means)
            && let Some(stream) = session.attach(id)
        {
            spawn_local(StreamTask::new(call, stream, Rc::clone(session), id));
        }
    }

    fn fill(&self, app_request: &mut http::Request<Body>, request: &Request<'_>) -> Result<(), NotRepresentable> {
        // The host has judged the head; all that is left is to find its parts.
        let head = request.head.strip_prefix(b"\r\n").unwrap_or(request.head);
        let end_of_line = memchr::memchr(b'\r', head).ok_or(NotRepresentable)?;
        let (line, rest) = head.split_at(end_of_line);
        let (method, target) = request_line(line).ok_or(NotRepresentable)?;
        let block = rest.strip_prefix(b"\r\n").and_then(|rest| rest.strip_suffix(b"\r\n")).ok_or(NotRepresentable)?;
        let mut fields = self.fields.borrow_mut();
        if !fields.parse(block) {
            return Err(NotRepresentable);
        }
        let (path_base, relative) = split(target, request.path_base, request.target);
        let head = Head {
            raw: request.head,
            method,
            target,
            path_base,
            relative,
            headers: fields.iter(block),
            upgrade: request.upgrade,
            certificate: request.certificate,
            // The host has written it into the head.
            id: None,
            connection: ConnectionInfo {
                peer: request.peer,
                local: request.local,
                tls: request.tls,
                version: match request.version {
                    HttpVersion::Http10 => Version::HTTP_10,
                    HttpVersion::Http11 => Version::HTTP_11,
                    HttpVersion::Http2 => Version::HTTP_2,
                    HttpVersion::Http3 => Version::HTTP_3,
                },
            },
        };
        self.heads.fill(app_request, head)
    }
}

/// Method and target.
fn request_line(line: &[u8]) -> Option<(&str, &[u8])> {
    let method = memchr::memchr(b' ', line)?;
    let version = memchr::memrchr(b' ', line)?;
    Some((std::str::from_utf8(line.get(..method)?).ok()?, line.get(method + 1..version)?))
}

/// The path base and the relative target, where possible as parts of the head's target, which is copied anyway.
fn split<'a>(target: &'a [u8], path_base: &'a [u8], relative: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if relative.is_empty() {
        return (path_base, target);
    }
    match target.split_at_checked(path_base.len()) {
        Some((start, rest)) if start == path_base && rest == relative => (start, rest),
        _ => (path_base, relative),
    }
}

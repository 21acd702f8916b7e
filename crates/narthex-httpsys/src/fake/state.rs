//! What the HTTP.sys in memory knows.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::client::Reply;
use crate::Code;
use crate::api::{ConnectionId, GroupId, Open, Received, RequestId, SessionId};
use crate::property::{GroupProperty, QueueProperty};
use crate::request::Request;

/// Where the result of an operation goes.
pub(super) type Done<T> = oneshot::Sender<Result<T, Code>>;

/// What HTTP.sys needs for a request besides its head.
const STRUCTURES: usize = 900;

#[derive(Default)]
pub(super) struct State {
    last_id: u64,
    pub(super) like_wine: bool,
    pub(super) reserved: Vec<String>,
    pub(super) ports_taken: Vec<u16>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) queues: BTreeMap<u64, QueueState>,
    pub(super) requests: HashMap<RequestId, Exchanged>,
    pub(super) waits: Vec<(ConnectionId, Done<()>)>,
    pub(super) gone: Vec<ConnectionId>,
    pub(super) holding: bool,
    pub(super) held: Vec<Done<()>>,
}

pub(super) struct Group {
    pub(super) session: SessionId,
    pub(super) urls: Vec<(String, u64)>,
    pub(super) queue: Option<u64>,
    pub(super) properties: Vec<GroupProperty>,
}

#[derive(Default)]
pub(super) struct QueueState {
    name: Option<String>,
    /// Handles to it.
    pub(super) open: usize,
    pub(super) properties: Vec<QueueProperty>,
    /// Requests that nobody has received.
    waiting: VecDeque<Request>,
    pub(super) receives: VecDeque<Receive>,
}

pub(super) struct Receive {
    /// Names it to whom would cancel it.
    pub(super) number: u64,
    /// By which handle.
    pub(super) handle: u64,
    pub(super) room: usize,
    pub(super) done: Done<Received>,
}

/// A request and its response.
pub(super) struct Exchanged {
    pub(super) connection: ConnectionId,
    /// For the receive that names it.
    pub(super) request: Request,
    pub(super) body: VecDeque<Bytes>,
    pub(super) body_ended: bool,
    pub(super) body_wanted: Option<(usize, Done<Option<Bytes>>)>,
    /// The app has asked for the body.
    pub(super) continued: bool,
    pub(super) reply: Reply,
}

impl State {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn add_url(&mut self, group: GroupId, url: &str, context: u64) -> Result<(), Code> {
        let Some((_, port, path)) = parts(url) else { return Err(Code::INVALID_PARAMETER) };
        if !path.ends_with('/') {
            return Err(Code::INVALID_PARAMETER);
        }
        if self.ports_taken.contains(&port) {
            return Err(Code::SHARING_VIOLATION);
        }
        if self.reserved.iter().any(|reserved| url.starts_with(reserved)) {
            return Err(Code::ACCESS_DENIED);
        }
        if self.groups.values().any(|group| group.urls.iter().any(|(known, _)| known.eq_ignore_ascii_case(url))) {
            return Err(Code::ALREADY_EXISTS);
        }
        let one_each = self.like_wine;
        let group = self.groups.get_mut(&group).ok_or(Code::INVALID_PARAMETER)?;
        if one_each && !group.urls.is_empty() {
            return Err(Code::CALL_NOT_IMPLEMENTED);
        }
        group.urls.push((url.to_owned(), context));
        Ok(())
    }

    pub(super) fn open_queue(&mut self, name: Option<&str>, open: Open) -> Result<u64, Code> {
        let known = self.queues.iter_mut().find(|(_, queue)| queue.name.as_deref() == name && name.is_some());
        match (known, open) {
            (Some(_), Open::Create) => Err(Code::ALREADY_EXISTS),
            (Some((id, queue)), Open::Existing) => {
                queue.open += 1;
                Ok(*id)
            }
            (None, Open::Existing) => Err(Code::FILE_NOT_FOUND),
            (None, Open::Create) => {
                let id = self.next_id();
                self.queues.insert(id, QueueState { name: name.map(ToOwned::to_owned), open: 1, ..QueueState::default() });
                Ok(id)
            }
        }
    }

    /// The queue of the longest prefix, and what the prefix was registered with.
    pub(super) fn route(&self, port: u16, target: &str) -> Option<(u64, u64)> {
        let registered = self.groups.values().filter_map(|group| Some((group.queue?, &group.urls)));
        let urls = registered.flat_map(|(queue, urls)| urls.iter().map(move |(url, context)| (queue, url, *context)));
        let matching = urls.filter_map(|(queue, url, context)| {
            let (_, known, path) = parts(url)?;
            (known == port && target.starts_with(path)).then_some((path.len(), queue, context))
        });
        matching.max().map(|(_, queue, context)| (queue, context))
    }

    /// Gives the request to whoever waits longest.
    pub(super) fn deliver(&mut self, queue: u64, request: Request) {
        let Some(queue) = self.queues.get_mut(&queue) else { return };
        queue.waiting.push_back(request);
        queue.match_up();
    }

    pub(super) fn receive(&mut self, queue: u64, receive: Receive) {
        match self.queues.get_mut(&queue) {
            Some(queue) => {
                queue.receives.push_back(receive);
                queue.match_up();
            }
            None => drop(receive.done.send(Err(Code::INVALID_HANDLE))),
        }
    }

    /// Receives a request whose number is known.
    pub(super) fn receive_again(&self, id: RequestId, room: usize) -> Result<Received, Code> {
        let exchanged = self.requests.get(&id).ok_or(Code::CONNECTION_INVALID)?;
        if self.gone.contains(&exchanged.connection) {
            return Err(Code::CONNECTION_INVALID);
        }
        Ok(received(exchanged.request.clone(), room))
    }
}

impl QueueState {
    fn match_up(&mut self) {
        while !self.waiting.is_empty() {
            let Some(Receive { room, done, .. }) = self.receives.pop_front() else { return };
            if done.is_closed() {
                continue;
            }
            if let Some(request) = self.waiting.pop_front() {
                let _ = done.send(Ok(received(request, room)));
            }
        }
    }
}

fn received(request: Request, room: usize) -> Received {
    if request.fields().only(super::UNREADABLE).is_some() {
        return Received::Unreadable { id: request.facts.id };
    }
    let needed = request.head().len() + STRUCTURES;
    if needed <= room { Received::Request(request) } else { Received::TooLong { id: request.facts.id, needed } }
}

/// Host, port and path.
fn parts(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let (authority, path) = rest.split_at_checked(rest.find('/')?)?;
    let (host, port) = authority.rsplit_once(':')?;
    Some((host, port.parse().ok().filter(|port| *port != 0)?, path))
}

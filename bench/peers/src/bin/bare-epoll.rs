//! The limit: one thread, one epoll set, one `read` and one `write` per wake-up, and no parsing beyond finding the blank line.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use bench_peers::{BODY, Listen, Listener, MEDIA_TYPE};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::{Errno, read, write};
use rustix::net::{SocketFlags, accept_with};
use slab::Slab;

const LISTENER: u64 = u64::MAX;
const BLANK_LINE: &[u8] = b"\r\n\r\n";

struct Connection {
    socket: OwnedFd,
    /// The beginning of a head that has not ended yet; empty almost always.
    partial: Vec<u8>,
}

fn main() -> Result<()> {
    let listener: OwnedFd = match Listen::from_command_line()?.bind()?.into_nonblocking()? {
        Listener::Tcp(listener) => listener.into(),
        Listener::Unix(listener) => listener.into(),
    };
    let response =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len()).into_bytes();

    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections = Slab::new();
    let mut events = Vec::with_capacity(1024);
    let mut input = vec![0; 64 * 1024];
    let mut output = Vec::new();
    bench_peers::ready();

    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(Errno::INTR) => continue,
            result => result.context("epoll_wait")?,
        };
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                accept(&listener, &epoll, &mut connections)?;
                continue;
            }
            let key = usize::try_from(key)?;
            let Some(connection) = connections.get_mut(key) else {
                continue;
            };
            if !answer(connection, &mut input, &mut output, &response) {
                // Closing the socket takes it out of the epoll set too.
                connections.remove(key);
            }
        }
    }
}

fn accept(listener: &OwnedFd, epoll: &OwnedFd, connections: &mut Slab<Connection>) -> Result<()> {
    loop {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(error) => return Err(error).context("accept"),
        };
        let entry = connections.vacant_entry();
        let data = EventData::new_u64(u64::try_from(entry.key())?);
        epoll::add(epoll, &socket, data, EventFlags::IN)?;
        entry.insert(Connection { socket, partial: Vec::new() });
    }
}

/// Answers what has arrived; false when the connection is over.
fn answer(connection: &mut Connection, input: &mut [u8], output: &mut Vec<u8>, response: &[u8]) -> bool {
    let received = match read(&connection.socket, &mut *input) {
        Ok(0) => return false,
        Ok(length) => &input[..length],
        Err(Errno::AGAIN | Errno::INTR) => return true,
        Err(_) => return false,
    };
    let joined;
    let bytes = if connection.partial.is_empty() {
        received
    } else {
        joined = [&connection.partial, received].concat();
        &joined[..]
    };

    output.clear();
    let mut end = 0;
    for position in memchr::memmem::find_iter(bytes, BLANK_LINE) {
        output.extend_from_slice(response);
        end = position + BLANK_LINE.len();
    }
    let rest = &bytes[end..];
    if !(rest.is_empty() && connection.partial.is_empty()) {
        connection.partial = rest.to_vec();
    }
    // A client that pipelines more than a socket buffer of answers is cut off: this is a yardstick, not a server.
    output.is_empty() || write(&connection.socket, output) == Ok(output.len())
}

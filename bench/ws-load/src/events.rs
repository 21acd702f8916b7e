//! Many connections, served when they are ready.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::transport::Transport;

/// An epoll, on which everything is edge-triggered: whoever is ready is advanced until it would wait.
pub(crate) struct Events {
    epoll: OwnedFd,
    ready: Vec<Event>,
}

impl Events {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, ready: Vec::with_capacity(1024) })
    }

    /// From now on `index` is told of. It is at once, if there is room to write. It ends with the socket.
    pub(crate) fn add(&self, index: usize, transport: &Transport) -> Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, transport.tcp(), EventData::new_u64(index as u64), flags).context("epoll_ctl")
    }

    /// Whoever is ready within this time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<impl Iterator<Item = usize>> {
        self.ready.clear();
        let limit = Timespec { tv_sec: i64::try_from(limit.as_secs())?, tv_nsec: limit.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll_wait"),
        }
        Ok(self.ready.iter().map(|event| event.data.u64() as usize))
    }
}

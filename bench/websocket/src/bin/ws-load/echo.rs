//! Each connection has one message in flight.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench_websocket::ECHO;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::connection::Connection;
use crate::frame::Frame;
use crate::tally::Tally;
use crate::{Bound, Messages, timed};

/// A server that answers nothing for so long has failed.
const SILENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

pub(crate) fn run(messages: &Messages) -> Result<Tally> {
    let frame = Frame::of_size(messages.size);
    let mut connections = messages.open(ECHO)?;
    match messages.bound()? {
        Bound::Lasting(time) => timed(|tally| lasting(time, &mut connections, &frame, tally)),
        Bound::Each(count) => timed(|tally| each(count, &mut connections, &frame, tally)),
    }
}

fn lasting(time: Duration, connections: &mut [Connection], frame: &Frame, tally: &mut Tally) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut began = vec![Instant::now(); connections.len()];
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.stream.set_nonblocking(true)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&epoll, &connection.stream, EventData::new_u64(index as u64), flags)?;
        // The first event is that there is room to write: the load begins by itself.
    }
    let end = Instant::now() + time;
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&SILENCE)) {
            Err(Errno::INTR) => continue,
            result => result.context("epoll_wait")?,
        };
        if events.is_empty() {
            bail!("no answer for {} s", SILENCE.tv_sec);
        }
        if Instant::now() >= end {
            return Ok(());
        }
        for event in &events {
            let index = usize::try_from(event.data.u64())?;
            let (Some(connection), Some(began)) = (connections.get_mut(index), began.get_mut(index)) else { continue };
            // What completes one message begins the next.
            while connection.advance(frame, &mut buffer)? {
                tally.add(*began);
                *began = Instant::now();
            }
        }
    }
}

fn each(count: usize, connections: &mut [Connection], frame: &Frame, tally: &mut Tally) -> Result<()> {
    use std::io::Write;

    let mut buffer = vec![0; frame.expected.len()];
    for _ in 0..count {
        let began = Instant::now();
        for connection in &mut *connections {
            connection.stream.write_all(&frame.sent)?;
        }
        for connection in &mut *connections {
            connection.expect(frame, &mut buffer)?;
            tally.add(began);
        }
    }
    Ok(())
}

//! Each connection has one message in flight.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::events::Events;
use crate::frame::Frame;
use crate::tally::Tally;
use crate::target::Target;
use crate::{Bound, ECHO, Messages, TEXT, deflate, json, timed};

/// A server that answers nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(10);

/// Binary messages.
pub(crate) fn run(messages: &Messages) -> Result<Tally> {
    let mut connections = messages.open(&Target::new(messages.port, ECHO))?;
    drive(messages, &mut connections, &Frame::of_size(messages.size))
}

/// Text that looks like JSON, compressed or not.
pub(crate) fn text(messages: &Messages, compressed: bool) -> Result<Tally> {
    let text = json::of_size(messages.size);
    if !compressed {
        let mut connections = messages.open(&Target::new(messages.port, TEXT))?;
        return drive(messages, &mut connections, &Frame::of_text(&text));
    }
    let target = Target::compressed(messages.port, TEXT);
    let mut connections = messages.open(&target)?;
    let frame = deflate::learn(connections.first_mut().context("no connection")?, &text)?;
    drive(messages, &mut connections, &frame)
}

fn drive(messages: &Messages, connections: &mut [Connection], frame: &Frame) -> Result<Tally> {
    match messages.bound()? {
        Bound::Lasting(time) => timed(|tally| lasting(time, connections, frame, tally)),
        Bound::Each(count) => timed(|tally| each(count, connections, frame, tally)),
    }
}

fn lasting(time: Duration, connections: &mut [Connection], frame: &Frame, tally: &mut Tally) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Events::new()?;
    let mut began = vec![Instant::now(); connections.len()];
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.transport.tcp().set_nonblocking(true)?;
        // The first event is that there is room to write: the load begins by itself.
        events.add(index, &connection.transport)?;
    }
    let end = Instant::now() + time;
    loop {
        let mut silent = true;
        let ready = events.wait(SILENCE)?;
        if Instant::now() >= end {
            return Ok(());
        }
        for index in ready {
            silent = false;
            let (Some(connection), Some(began)) = (connections.get_mut(index), began.get_mut(index)) else { continue };
            // What completes one message begins the next.
            while connection.advance(frame, &mut buffer)? {
                tally.add(*began);
                *began = Instant::now();
            }
        }
        if silent {
            bail!("no answer for {} s", SILENCE.as_secs());
        }
    }
}

fn each(count: usize, connections: &mut [Connection], frame: &Frame, tally: &mut Tally) -> Result<()> {
    let mut buffer = vec![0; frame.expected.len()];
    for _ in 0..count {
        let began = Instant::now();
        for connection in &mut *connections {
            connection.transport.write_all(&frame.sent)?;
        }
        for connection in &mut *connections {
            connection.expect(frame, &mut buffer)?;
            tally.add(began);
        }
    }
    Ok(())
}

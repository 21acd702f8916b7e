//! One message to all, and the next when all have it.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::frame::Frame;
use crate::tally::Tally;
use crate::target::Target;
use crate::{BROADCAST, Bound, Messages, timed};

pub(crate) fn run(messages: &Messages) -> Result<Tally> {
    let frame = Frame::of_size(messages.size);
    let mut connections = messages.open(&Target::new(messages.port, BROADCAST))?;
    // A handshake is answered before its connection is among those that get messages.
    std::thread::sleep(Duration::from_millis(300));
    for connection in &connections {
        connection.transport.tcp().set_nonblocking(true)?;
    }
    let bound = messages.bound()?;
    timed(|tally| {
        let start = Instant::now();
        let mut sent = 0;
        while match bound {
            Bound::Lasting(time) => start.elapsed() < time,
            Bound::Each(count) => sent < count,
        } {
            once(&mut connections, &frame, tally)?;
            sent += 1;
        }
        Ok(())
    })
}

/// Looks again and again instead of sleeping: waking a sleeping client is a cost that would depend on the order in which a server sends.
fn once(connections: &mut [Connection], frame: &Frame, tally: &mut Tally) -> Result<()> {
    let began = Instant::now();
    let mut buffer = vec![0; frame.expected.len()];
    connections.first_mut().context("no connection")?.transport.write_all(&frame.sent).context("sending a message")?;
    for (index, connection) in connections.iter_mut().enumerate() {
        while !connection.receive(frame, &mut buffer).with_context(|| format!("the delivery to connection {index}"))? {
            if began.elapsed() > Duration::from_secs(20) {
                bail!("a message has not come to all within 20 s");
            }
            std::hint::spin_loop();
        }
        tally.add(began);
    }
    Ok(())
}

//! Connections that are there.

use std::time::Duration;

use anyhow::{Result, bail};
use bench_websocket::ECHO;

use crate::connection::Connection;
use crate::frame::Frame;

pub(crate) fn run(port: u16, connections: usize) -> Result<()> {
    let frame = Frame::of_size(1024);
    let mut open = Vec::with_capacity(connections);
    while open.len() < connections {
        open.push(Connection::open(port, ECHO)?);
        if open.len() % 1000 == 0 {
            answer_pings(&mut open, &frame)?;
        }
    }
    println!("open");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(1));
        answer_pings(&mut open, &frame)?;
    }
    for connection in &mut open {
        connection.exchange(&frame)?;
    }
    println!("used");
    // Whoever looks ends this; and it ends by itself when nobody does.
    for _ in 0..30 {
        std::thread::sleep(Duration::from_secs(1));
        answer_pings(&mut open, &frame)?;
    }
    Ok(())
}

/// Whoever does not answer is cut off.
fn answer_pings(open: &mut [Connection], frame: &Frame) -> Result<()> {
    let mut buffer = [0; 256];
    for connection in open {
        connection.stream.set_nonblocking(true)?;
        if connection.receive(frame, &mut buffer)? {
            bail!("an answer that nobody asked for");
        }
        connection.stream.set_nonblocking(false)?;
    }
    Ok(())
}

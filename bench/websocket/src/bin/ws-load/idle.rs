//! Connections that are there.

use std::time::Duration;

use anyhow::Result;
use bench_websocket::ECHO;

use crate::connection::Connection;
use crate::frame::Frame;

pub(crate) fn run(port: u16, connections: usize) -> Result<()> {
    let mut open = (0..connections).map(|_| Connection::open(port, ECHO)).collect::<Result<Vec<_>>>()?;
    println!("open");
    std::thread::sleep(Duration::from_secs(3));
    let frame = Frame::of_size(1024);
    for connection in &mut open {
        connection.exchange(&frame)?;
    }
    println!("used");
    // Whoever looks ends this; and it ends by itself when nobody does.
    std::thread::sleep(Duration::from_secs(30));
    Ok(())
}

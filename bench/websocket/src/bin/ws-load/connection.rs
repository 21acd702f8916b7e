//! A client's connection that has shaken hands.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::frame::Frame;

/// Generous, since the server may run under valgrind; bounded all the same.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// How much of the frame in flight was sent, and how much of its answer has come.
    sent: usize,
    received: usize,
}

impl Connection {
    pub(crate) fn open(port: u16, path: &str) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // The key and its answer are those of RFC 6455 section 1.3.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        // A byte at a time: what follows is the first frame's.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("no answer to the handshake")?;
            head.extend(byte);
            if head.len() > 4096 {
                bail!("the response head does not end");
            }
        }
        let head = String::from_utf8_lossy(&head);
        if !head.starts_with("HTTP/1.1 101 ") || !head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
            bail!("the handshake was answered with {head}");
        }
        Ok(Self { stream, sent: 0, received: 0 })
    }

    /// One message there and back, waiting for both.
    pub(crate) fn exchange(&mut self, frame: &Frame) -> Result<()> {
        self.stream.write_all(&frame.sent)?;
        self.expect(frame, &mut vec![0; frame.expected.len()])
    }

    /// Waits for the answer.
    pub(crate) fn expect(&mut self, frame: &Frame, buffer: &mut [u8]) -> Result<()> {
        let answer = &mut buffer[..frame.expected.len()];
        self.stream.read_exact(answer).context("no answer")?;
        if answer != frame.expected {
            bail!("another answer than what was sent");
        }
        Ok(())
    }

    /// Goes on with the message in flight as far as that goes without waiting; true when its answer is complete.
    pub(crate) fn advance(&mut self, frame: &Frame, buffer: &mut [u8]) -> Result<bool> {
        while let Some(rest) = frame.sent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.receive(frame, buffer)
    }

    /// Reads as far as that goes without waiting; true when the answer is complete.
    pub(crate) fn receive(&mut self, frame: &Frame, buffer: &mut [u8]) -> Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(length) => {
                    let end = self.received + length;
                    if frame.expected.get(self.received..end) != Some(&buffer[..length]) {
                        bail!("another answer than what was sent");
                    }
                    self.received = end;
                    if end == frame.expected.len() {
                        (self.sent, self.received) = (0, 0);
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

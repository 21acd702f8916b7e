//! A client's connection that has shaken hands.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::frame::Frame;

/// Generous, since the server may run under valgrind; bounded all the same.
const PATIENCE: Duration = Duration::from_secs(20);

/// First bytes of control frames, and the bit of a client's (RFC 6455 section 5.5).
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MASKED: u8 = 0x80;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// How much of the frame in flight was sent, and how much of its answer has come.
    sent: usize,
    received: usize,
    /// A ping that has come so far, and the pongs that are due.
    ping: Vec<u8>,
    pongs: Vec<u8>,
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
        Ok(Self { stream, sent: 0, received: 0, ping: Vec::new(), pongs: Vec::new() })
    }

    /// One message there and back, waiting for both.
    pub(crate) fn exchange(&mut self, frame: &Frame) -> Result<()> {
        self.stream.write_all(&frame.sent)?;
        self.expect(frame, &mut vec![0; frame.expected.len()])
    }

    /// Waits for the answer.
    pub(crate) fn expect(&mut self, frame: &Frame, buffer: &mut [u8]) -> Result<()> {
        loop {
            let length = self.stream.read(buffer).context("no answer")?;
            if length == 0 {
                bail!("the server has closed the connection");
            }
            if self.take(frame, &buffer[..length])? {
                return Ok(());
            }
        }
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
                    if self.take(frame, &buffer[..length])? {
                        self.sent = 0;
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What has come; true when it completes the answer. Pings may stand before and behind it.
    fn take(&mut self, frame: &Frame, mut bytes: &[u8]) -> Result<bool> {
        let mut complete = false;
        while let Some((&first, rest)) = bytes.split_first() {
            if self.received == 0 && (first == PING || !self.ping.is_empty()) {
                self.ping.push(first);
                bytes = rest;
                self.answer_ping();
                continue;
            }
            let wanted = frame.expected.get(self.received..).unwrap_or_default();
            let (part, rest) = bytes.split_at(bytes.len().min(wanted.len()));
            if complete || !wanted.starts_with(part) {
                bail!("another answer than what was sent: {:02x?}", &bytes[..bytes.len().min(16)]);
            }
            bytes = rest;
            self.received += part.len();
            if self.received == frame.expected.len() {
                self.received = 0;
                complete = true;
            }
        }
        // Not in the middle of a frame.
        if !self.pongs.is_empty() && (complete || self.sent == 0 || self.sent == frame.sent.len()) {
            self.stream.write_all(&std::mem::take(&mut self.pongs))?;
        }
        Ok(complete)
    }

    /// A complete ping becomes a pong.
    fn answer_ping(&mut self) {
        let Some(&length) = self.ping.get(1) else { return };
        if self.ping.len() == 2 + usize::from(length) {
            // With the key 0, the payload is its own masked form.
            self.pongs.extend([PONG, MASKED | length, 0, 0, 0, 0]);
            self.pongs.extend(self.ping.drain(..).skip(2));
        }
    }
}

//! A client's connection that has shaken hands.

use std::io::{ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};

use crate::frame::Frame;
use crate::transport::Transport;

/// First bytes of control frames, and the bit of a client's (RFC 6455 section 5.5).
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MASKED: u8 = 0x80;

pub(crate) struct Connection {
    pub(crate) transport: Transport,
    /// How much of the frame in flight was sent, and how much of its answer has come.
    sent: usize,
    received: usize,
    /// A ping that has come so far, and the pongs that are due.
    ping: Vec<u8>,
    pongs: Vec<u8>,
}

impl Connection {
    /// On which the handshake was just answered; `early` has come behind it.
    pub(crate) fn new(transport: Transport, early: &[u8]) -> Result<Self> {
        let mut connection = Self { transport, sent: 0, received: 0, ping: Vec::new(), pongs: Vec::new() };
        connection.take(&Frame::none(), early)?;
        Ok(connection)
    }

    /// While no message is in flight.
    pub(crate) fn answer_pings(&mut self) -> Result<()> {
        self.transport.tcp().set_nonblocking(true)?;
        self.receive(&Frame::none(), &mut [0; 256])?;
        self.transport.tcp().set_nonblocking(false)?;
        Ok(())
    }

    /// One message there and back, waiting for both.
    pub(crate) fn exchange(&mut self, frame: &Frame) -> Result<()> {
        self.transport.write_all(&frame.sent)?;
        self.expect(frame, &mut vec![0; frame.expected.len()])
    }

    /// Waits for the answer.
    pub(crate) fn expect(&mut self, frame: &Frame, buffer: &mut [u8]) -> Result<()> {
        loop {
            let length = self.transport.read(buffer).context("no answer")?;
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
            match self.transport.write(rest) {
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
            match self.transport.read(buffer) {
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
            if complete || wanted.is_empty() || !wanted.starts_with(part) {
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
            self.transport.write_all(&std::mem::take(&mut self.pongs))?;
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

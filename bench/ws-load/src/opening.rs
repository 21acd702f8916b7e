//! A connection until its handshake is answered.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::target::Target;
use crate::transport::Transport;

/// A longer response head is none.
const MOST_HEAD: usize = 4096;

pub(crate) struct Opening {
    pub(crate) transport: Transport,
    sent: usize,
    head: Vec<u8>,
}

/// Why a server does not take a connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The kernel says so: nobody listens, or the connection was reset.
    Kernel(io::Error),
    /// Accepted, and closed without an answer.
    Closed,
    /// Answered otherwise than by the right 101.
    Answered(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("closed without an answer to the handshake"),
            Self::Answered(head) => write!(f, "the handshake was answered with {head}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Opening {
    /// One that never waits: [`advance`](Self::advance) it when its socket is ready.
    pub(crate) fn start(target: &Target, index: usize) -> Result<Self, Refusal> {
        let open = || Transport::new(target.connect(index)?, target.tls());
        open().map(Self::on).map_err(Refusal::Kernel)
    }

    /// Waits for all of it.
    pub(crate) fn complete(target: &Target) -> Result<Connection> {
        let mut opening = Self::on(Transport::new(target.connect_waiting()?, target.tls())?);
        if !opening.advance(target)? {
            bail!("no answer to the handshake");
        }
        opening.finish()
    }

    fn on(transport: Transport) -> Self {
        Self { transport, sent: 0, head: Vec::new() }
    }

    /// Goes on as far as that goes without waiting; true when the server has agreed.
    pub(crate) fn advance(&mut self, target: &Target) -> Result<bool, Refusal> {
        while let Some(rest) = target.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.transport.write(rest) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Refusal::Kernel(error)),
            }
        }
        let mut buffer = [0; 512];
        while self.end().is_none() {
            match self.transport.read(&mut buffer) {
                Ok(0) => return Err(Refusal::Closed),
                Ok(length) => self.head.extend(buffer.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Refusal::Kernel(error)),
            }
            if self.head.len() > MOST_HEAD {
                break;
            }
        }
        let text = String::from_utf8_lossy(&self.head);
        // The answer to the key of RFC 6455 section 1.3.
        let agreed = text.starts_with("HTTP/1.1 101 ") && text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let compresses = text.to_ascii_lowercase().contains("permessage-deflate");
        if !agreed || compresses != target.deflate {
            return Err(Refusal::Answered(text.into_owned()));
        }
        Ok(true)
    }

    /// To be called when the server has agreed. What stands behind its answer can only be a ping.
    pub(crate) fn finish(self) -> Result<Connection> {
        let end = self.end().context("no answer to the handshake")?;
        Connection::new(self.transport, self.head.get(end..).unwrap_or_default())
    }

    /// Where the response's head ends.
    fn end(&self) -> Option<usize> {
        self.head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
    }
}

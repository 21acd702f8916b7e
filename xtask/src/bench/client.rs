//! A keep-alive client that does exactly the same in every run: one request on every connection, then all the answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::interrupt;

/// What wrk sends, too.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
const BODY: &[u8] = b"Hello, World!";

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One request on a connection of its own: an error unless it is answered as every subject must.
pub(super) fn hello(port: u16) -> Result<()> {
    let mut connection = Connection::open(port)?;
    connection.stream.write_all(REQUEST)?;
    connection.expect_hello()
}

/// Sends `requests` requests, the same number on each of `connections` connections.
pub(super) fn exchange(port: u16, connections: usize, requests: usize) -> Result<()> {
    let mut open = (0..connections).map(|_| Connection::open(port)).collect::<Result<Vec<_>>>()?;
    for _ in 0..requests / connections {
        interrupt::check()?;
        for connection in &mut open {
            connection.stream.write_all(REQUEST)?;
        }
        for connection in &mut open {
            connection.expect_hello()?;
        }
    }
    Ok(())
}

impl Connection {
    fn open(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        // Generous, since the server may run under valgrind; bounded all the same.
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    fn expect_hello(&mut self) -> Result<()> {
        loop {
            if let Some(length) = complete(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(());
            }
            let mut part = [0; 4096];
            match self.stream.read(&mut part).context("no answer")? {
                0 => bail!("the server closed the connection without an answer"),
                length => self.buffer.extend_from_slice(&part[..length]),
            }
        }
    }
}

/// The length of the response at the beginning of `bytes`, once it is complete; an error if it is the wrong one.
fn complete(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > 16 * 1024 {
            bail!("the response head does not end");
        }
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        bail!("answered with {status}");
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    if length != Some(BODY.len()) {
        bail!("answered without `content-length: {}`: {head}", BODY.len());
    }
    let start = end + 4;
    match bytes.get(start..start + BODY.len()) {
        None => Ok(None),
        Some(BODY) => Ok(Some(start + BODY.len())),
        Some(body) => bail!("answered with the body {}", String::from_utf8_lossy(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 Ok\r\nContent-Length: 13\r\n\r\nHello, World!";

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let two = [ANSWER, ANSWER].concat();
        assert_eq!(complete(&two).unwrap(), Some(ANSWER.len()));
        for length in 0..ANSWER.len() {
            assert_eq!(complete(&ANSWER[..length]).unwrap(), None);
        }
    }

    #[test]
    fn any_other_answer_is_an_error() {
        let unavailable = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 13\r\n\r\n";
        assert!(complete(unavailable).is_err());
        assert!(complete(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi").is_err());
    }
}

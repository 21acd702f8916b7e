//! A client that sends exactly the bytes it is given and reads answers with a small strict parser of its own.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::transport::Transport;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Transport,
    buffer: Vec<u8>,
}

/// How the end of a response's body was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The status or the request's method allows no body.
    None,
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The connection's end.
    Close,
}

/// A response as it came over the wire.
#[derive(Clone, Debug)]
pub struct Response {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// What follows the status code.
    pub phrase: String,
    /// The header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The decoded body.
    pub body: Vec<u8>,
    /// How the body was framed.
    pub framing: Framing,
    /// The trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The only value of a field; `None` if it is missing or repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(field, _)| field == name);
        let first = values.next()?;
        values.next().is_none().then_some(first.1.as_str())
    }

    /// Whether the field is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(field, _)| field == name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why no whole response came.
#[derive(Debug)]
pub enum ReadError {
    /// The connection ended cleanly; the bytes are what had come of a response.
    Closed(Vec<u8>),
    /// The connection was reset.
    Reset,
    /// Nothing more came in time; the bytes are what had come.
    TimedOut(Vec<u8>),
    /// The server sent something that is not HTTP.
    Malformed(String),
    /// Something else.
    Io(std::io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        match self {
            Self::Closed(bytes) => write!(f, "the connection was closed after {:?}", shown(bytes)),
            Self::Reset => write!(f, "the connection was reset"),
            Self::TimedOut(bytes) => write!(f, "nothing more came after {:?}", shown(bytes)),
            Self::Malformed(what) => write!(f, "the answer is malformed: {what}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// What has become of a connection from which no response is expected.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server closed it.
    Closed,
    /// The server reset it.
    Reset,
    /// It is still open.
    Open,
    /// Bytes came that nobody asked for.
    Data(Vec<u8>),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: Transport::connect(address)?, buffer: Vec::new() })
    }

    /// Connects with TLS, and trusts this authority.
    ///
    /// # Errors
    /// When nobody listens, or the handshake fails.
    pub fn connect_tls(address: SocketAddr, authority: &Path) -> std::io::Result<Self> {
        Ok(Self { stream: Transport::connect(address)?.with_tls(authority, b"http/1.1")?, buffer: Vec::new() })
    }

    /// Goes on with TLS, and trusts this authority.
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn with_tls(self, authority: &Path) -> std::io::Result<Self> {
        Ok(Self { stream: self.stream.with_tls(authority, b"http/1.1")?, buffer: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has closed the connection or takes nothing more.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends the sending side.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish(&mut self) -> std::io::Result<()> {
        self.stream.finish()
    }

    /// A second handle, to send with while this one reads.
    ///
    /// # Errors
    /// When the process has no more descriptors, or with TLS.
    pub fn sender(&self) -> std::io::Result<TcpStream> {
        self.stream.sender()
    }

    /// Leaves with a reset instead of an orderly end.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn reset(self) -> std::io::Result<()> {
        rustix::net::sockopt::set_socket_linger(self.stream.tcp(), Some(Duration::ZERO))?;
        Ok(())
    }

    /// The client's own address.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.stream.tcp().local_addr()
    }

    /// The server's address.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn peer_address(&self) -> std::io::Result<SocketAddr> {
        self.stream.tcp().peer_addr()
    }

    /// Reads one whole final or interim response. `head` says that it answers a HEAD request.
    ///
    /// # Errors
    /// When no whole, well-formed response comes.
    pub fn response(&mut self, head: bool) -> Result<Response, ReadError> {
        self.response_within(head, PATIENCE)
    }

    /// As `response`, for answers that take longer, or must not.
    ///
    /// # Errors
    /// When no whole, well-formed response comes in this time.
    pub fn response_within(&mut self, head: bool, wait: Duration) -> Result<Response, ReadError> {
        let deadline = Instant::now() + wait;
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more(deadline)?;
        };
        let block = self.take(end + 4);
        let mut response = parse_head(&block[..end])?;
        response.framing = framing(&response, head)?;
        match response.framing {
            Framing::None => {}
            Framing::Length => {
                let length = response.header("content-length").and_then(|length| length.parse().ok());
                let length: usize = length.ok_or_else(|| malformed("Content-Length"))?;
                while self.buffer.len() < length {
                    self.more(deadline)?;
                }
                response.body = self.take(length);
            }
            Framing::Chunked => self.chunks(&mut response, deadline)?,
            Framing::Close => loop {
                match self.more(deadline) {
                    Ok(()) => {}
                    Err(ReadError::Closed(rest)) => {
                        response.body = rest;
                        self.buffer.clear();
                        break;
                    }
                    Err(error) => return Err(error),
                }
            },
        }
        Ok(response)
    }

    /// Reads exactly this many bytes, as after an upgrade.
    ///
    /// # Errors
    /// When fewer come.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        while self.buffer.len() < count {
            self.more(deadline)?;
        }
        Ok(self.take(count))
    }

    /// Reads a body of this many bytes (or until the end of the connection) and keeps nothing of it.
    ///
    /// # Errors
    /// When the connection fails or stalls.
    pub fn discard(&mut self, count: u64) -> Result<u64, ReadError> {
        let mut seen = (self.buffer.len() as u64).min(count);
        self.take(usize::try_from(seen).unwrap_or_default());
        while seen < count {
            match self.more(Instant::now() + PATIENCE) {
                Ok(()) => {
                    seen += self.buffer.len() as u64;
                    self.buffer.clear();
                }
                Err(ReadError::Closed(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// Reads a response's head and leaves its body unread.
    ///
    /// # Errors
    /// When no well-formed head comes.
    pub fn head(&mut self) -> Result<Response, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more(deadline)?;
        };
        let block = self.take(end + 4);
        parse_head(&block[..end])
    }

    /// What the connection does within `wait`.
    pub fn ending(&mut self, wait: Duration) -> Ending {
        if !self.buffer.is_empty() {
            return Ending::Data(std::mem::take(&mut self.buffer));
        }
        match self.more(Instant::now() + wait) {
            Ok(()) => Ending::Data(std::mem::take(&mut self.buffer)),
            Err(ReadError::Closed(_)) => Ending::Closed,
            Err(ReadError::TimedOut(_)) => Ending::Open,
            Err(_) => Ending::Reset,
        }
    }

    fn chunks(&mut self, response: &mut Response, deadline: Instant) -> Result<(), ReadError> {
        loop {
            let line = self.line(deadline)?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                self.more(deadline)?;
            }
            let chunk = self.take(size + 2);
            if !chunk.ends_with(b"\r\n") {
                return Err(malformed("a chunk without its CR LF"));
            }
            response.body.extend_from_slice(&chunk[..size]);
        }
        loop {
            let line = self.line(deadline)?;
            if line.is_empty() {
                return Ok(());
            }
            response.trailers.push(parse_field(&line)?);
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String, ReadError> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            self.more(deadline)?;
        };
        let line = self.take(end + 2);
        String::from_utf8(line[..end].to_vec()).map_err(|_| malformed("a line that is not text"))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn more(&mut self, deadline: Instant) -> Result<(), ReadError> {
        let mut chunk = [0; 16 * 1024];
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.tcp().set_read_timeout(Some(left)).map_err(ReadError::Io)?;
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ReadError::Closed(self.buffer.clone())),
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(ReadError::TimedOut(self.buffer.clone())),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(ReadError::Reset),
                ErrorKind::Interrupted => Ok(()),
                _ => Err(ReadError::Io(error)),
            },
        }
    }
}

fn malformed(what: impl Into<String>) -> ReadError {
    ReadError::Malformed(what.into())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(block: &[u8]) -> Result<Response, ReadError> {
    let text = std::str::from_utf8(block).map_err(|_| malformed("a head that is not text"))?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let mut words = line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    if version != "HTTP/1.1" && version != "HTTP/1.0" {
        return Err(malformed(format!("status line {line:?}")));
    }
    let status = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| malformed(format!("status line {line:?}")))?;
    let phrase = words.next().unwrap_or_default().to_owned();
    let headers = lines.map(parse_field).collect::<Result<_, _>>()?;
    Ok(Response {
        version: version.to_owned(),
        status,
        phrase,
        headers,
        body: Vec::new(),
        framing: Framing::None,
        trailers: Vec::new(),
    })
}

fn parse_field(line: impl AsRef<str>) -> Result<(String, String), ReadError> {
    let line = line.as_ref();
    let (name, value) = line.split_once(':').ok_or_else(|| malformed(format!("field {line:?}")))?;
    let clean = |text: &str| !text.bytes().any(|byte| byte < b' ' && byte != b'\t');
    if name.is_empty() || name.contains([' ', '\t']) || !clean(line) {
        return Err(malformed(format!("field {line:?}")));
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

fn framing(response: &Response, head: bool) -> Result<Framing, ReadError> {
    let (length, coding) = (response.has("content-length"), response.has("transfer-encoding"));
    if length && coding {
        return Err(malformed("both Content-Length and Transfer-Encoding"));
    }
    if length && response.header("content-length").is_none() {
        return Err(malformed("Content-Length twice"));
    }
    if response.status < 200 || response.status == 204 {
        return if length || coding { Err(malformed("a length on 1xx or 204")) } else { Ok(Framing::None) };
    }
    if head || response.status == 304 {
        return Ok(Framing::None);
    }
    if coding {
        let value = response.header("transfer-encoding").unwrap_or_default();
        return if value.eq_ignore_ascii_case("chunked") && response.version == "HTTP/1.1" {
            Ok(Framing::Chunked)
        } else {
            Err(malformed(format!("{} with Transfer-Encoding {value:?}", response.version)))
        };
    }
    Ok(if length { Framing::Length } else { Framing::Close })
}

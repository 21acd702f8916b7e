//! A request stream: what the client sends, and what has come of it.

use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::frame::{self, DATA, HEADERS};
use super::qpack;
use crate::h2::Answer;

/// Why nothing more comes of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server has reset the stream with this code.
    Reset(u64),
    /// The connection is gone.
    Gone(String),
    /// What came is not HTTP/3.
    Malformed(String),
}

/// Both halves of a stream, which can be moved apart.
#[derive(Debug)]
pub struct Stream {
    /// What the client sends.
    pub request: Request,
    /// What comes of it.
    pub response: Response,
}

/// The client's half.
#[derive(Debug)]
pub struct Request(SendStream);

/// The server's half.
#[derive(Debug)]
pub struct Response {
    receive: RecvStream,
    buffer: Vec<u8>,
    answer: Answer,
}

impl Stream {
    pub(super) fn new(send: SendStream, receive: RecvStream) -> Self {
        Self { request: Request(send), response: Response { receive, buffer: Vec::new(), answer: Answer::default() } }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        VarInt::from(self.request.0.id()).into_inner()
    }

    /// Takes the request back, as a client does that has lost its interest.
    pub fn cancel(&mut self) {
        self.request.reset();
        self.response.stop();
    }

    /// Ends the request, and reads the whole response.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn answer(&mut self) -> Result<Answer, End> {
        self.request.finish();
        self.response.whole().await
    }

    /// The bytes of a tunnel that has been accepted.
    pub fn tunnel(self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (mut from, mut to) = tokio::io::split(far);
        let Self { mut request, mut response } = self;
        tokio::spawn(async move {
            let mut bytes = [0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut bytes).await {
                if request.data(&bytes[..read]).await.is_err() {
                    return;
                }
            }
            request.finish();
        });
        tokio::spawn(async move {
            while let Ok(true) = response.note().await {
                if to.write_all(&std::mem::take(&mut response.answer.body)).await.is_err() {
                    return;
                }
            }
            let _ = to.shutdown().await;
        });
        near
    }
}

impl Request {
    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server does not take them any more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.0.write_all(bytes).await
    }

    /// Sends a piece of the body.
    ///
    /// # Errors
    /// When the server does not take it any more.
    pub async fn data(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.write(&frame::frame(DATA, bytes)).await
    }

    /// Sends trailers.
    ///
    /// # Errors
    /// When the server does not take them any more.
    pub async fn trailers(&mut self, fields: &[(&str, &str)]) -> Result<(), WriteError> {
        self.write(&frame::frame(HEADERS, qpack::block(fields.iter().copied()))).await
    }

    /// Ends the request.
    pub fn finish(&mut self) {
        // It fails if the stream is over already.
        let _ = self.0.finish();
    }

    /// Takes it back (`RESET_STREAM`).
    pub fn reset(&mut self) {
        let _ = self.0.reset(super::REQUEST_CANCELLED.into());
    }

    /// Waits until the server has all of it, or wants no more: with which code.
    pub async fn stopped(&mut self) -> Option<u64> {
        self.0.stopped().await.ok().flatten().map(VarInt::into_inner)
    }
}

impl Response {
    /// Wants none (`STOP_SENDING`).
    pub fn stop(&mut self) {
        let _ = self.receive.stop(super::REQUEST_CANCELLED.into());
    }

    /// Reads the head of an interim response.
    ///
    /// # Errors
    /// When none comes.
    pub async fn interim(&mut self) -> Result<u16, End> {
        loop {
            self.note().await?;
            match self.answer.interim.last() {
                Some(status) => return Ok(*status),
                None if self.answer.status > 0 => return Err(End::Malformed("the final response came".to_owned())),
                None => {}
            }
        }
    }

    /// Reads the head of the final response.
    ///
    /// # Errors
    /// When none comes.
    pub async fn head(&mut self) -> Result<&Answer, End> {
        while self.answer.status == 0 {
            self.note().await?;
        }
        Ok(&self.answer)
    }

    /// Reads until this much of the body is there, or it has ended.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn body(&mut self, length: usize) -> Result<&[u8], End> {
        while self.answer.body.len() < length && self.note().await? {}
        Ok(&self.answer.body)
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn whole(&mut self) -> Result<Answer, End> {
        while self.note().await? {}
        Ok(std::mem::take(&mut self.answer))
    }

    /// Notes what comes next; `false` at the end.
    async fn note(&mut self) -> Result<bool, End> {
        let malformed = |what: &str| Err(End::Malformed(what.to_owned()));
        let Some((kind, payload)) = self.next().await? else {
            self.answer.ended = true;
            return if self.answer.status == 0 { malformed("no response") } else { Ok(false) };
        };
        match kind {
            DATA if self.answer.status == 0 || !self.answer.trailers.is_empty() => return malformed("DATA out of place"),
            DATA => self.answer.body.extend_from_slice(&payload),
            HEADERS => {
                let Some(fields) = qpack::decode(&payload) else { return malformed("a field section") };
                let status = fields.iter().find(|(name, _)| name == ":status").and_then(|(_, status)| status.parse().ok());
                match status {
                    Some(interim @ 100..200) => self.answer.interim.push(interim),
                    Some(status) if self.answer.status == 0 => {
                        self.answer.status = status;
                        self.answer.headers = fields;
                    }
                    Some(_) => return malformed("a second response"),
                    None if self.answer.status == 0 => return malformed("no status"),
                    None => self.answer.trailers = fields,
                }
            }
            // RFC 9114 section 7.2.8: types without a meaning.
            0x21.. if (kind - 0x21).is_multiple_of(0x1f) => {}
            other => return malformed(&format!("a frame of type {other:#x}")),
        }
        Ok(true)
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, End> {
        loop {
            let mut rest = &self.buffer[..];
            if let Some(frame) = frame::take_frame(&mut rest) {
                let used = self.buffer.len() - rest.len();
                self.buffer.drain(..used);
                return Ok(Some(frame));
            }
            let mut chunk = [0; 16 * 1024];
            match self.receive.read(&mut chunk).await {
                Ok(Some(read)) => self.buffer.extend_from_slice(&chunk[..read]),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => return Err(End::Malformed("the stream ends within a frame".to_owned())),
                Err(ReadError::Reset(code)) => return Err(End::Reset(code.into_inner())),
                Err(error) => return Err(End::Gone(error.to_string())),
            }
        }
    }
}

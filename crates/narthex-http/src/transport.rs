//! The byte stream under a connection: TCP, or TLS over it. Nothing above knows which.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::file::read_at;
#[cfg(target_os = "linux")]
use crate::reactor;

/// The most of a file that is read at once where it cannot be sent without copying.
const FILE_STEP: usize = 64 * 1024;

pub(crate) struct Transport {
    /// Gone when the connection's task has ended, even if somebody still has a handle to its last exchange.
    stream: Option<Stream>,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(target_os = "linux")]
    Resting(reactor::Stream),
}

/// Calls the method of the stream that there is.
macro_rules! on_stream {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.stream()? {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
            #[cfg(target_os = "linux")]
            Stream::Resting(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

/// Clients may close without a word of TLS (RFC 8446 section 6.1). That is the end of what they send: what HTTP and WebSocket frame
/// shows whether something is missing (RFC 9112 section 9.8).
fn or_end<T: Default>(read: io::Result<T>) -> io::Result<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(T::default()),
        read => read,
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Self { stream: Some(Stream::Tcp(stream)) }
    }
}

#[cfg(target_os = "linux")]
impl From<reactor::Stream> for Transport {
    fn from(stream: reactor::Stream) -> Self {
        Self { stream: Some(Stream::Resting(stream)) }
    }
}

impl From<TlsStream<TcpStream>> for Transport {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self { stream: Some(Stream::Tls(Box::new(stream))) }
    }
}

impl Transport {
    /// Closes the socket.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    /// The stream, for another owner.
    pub(crate) fn take(&mut self) -> Self {
        Self { stream: self.stream.take() }
    }

    #[inline]
    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether this is the socket itself.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.stream, Some(Stream::Tcp(_)))
    }

    /// Takes the socket out of the runtime.
    ///
    /// # Errors
    /// If the system does not let go of it; this is closed then. [`is_tcp`](Self::is_tcp) has to be true.
    #[cfg(target_os = "linux")]
    pub(crate) fn leave_runtime(&mut self) -> io::Result<std::net::TcpStream> {
        match self.stream.take() {
            Some(Stream::Tcp(stream)) => stream.into_std(),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.stream.as_ref().map(|stream| match stream {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Tls(stream) => SockRef::from(stream.get_ref().0),
            #[cfg(target_os = "linux")]
            Stream::Resting(stream) => SockRef::from(stream.socket()),
        })
    }

    /// Whether a read can find something. If not, one need not be tried for its owner to be polled when there is.
    #[inline]
    pub(crate) fn may_have_more(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(Stream::Resting(stream)) = &self.stream {
            return stream.is_readable();
        }
        true
    }

    /// Whether it has taken bytes that are not yet with the kernel: they need [`poll_flush`](Self::poll_flush).
    #[inline]
    pub(crate) fn keeps_some(&self) -> bool {
        matches!(&self.stream, Some(Stream::Tls(stream)) if stream.get_ref().1.wants_write())
    }

    /// Passes on what it has taken.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream()? {
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Tells a client's TLS that this is the end, so that it is not taken for a truncation (RFC 8446 section 6.1).
    pub(crate) fn poll_close_notify(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream()? {
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Reads into `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.poll_read_buf(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// As [`poll_read`](Self::poll_read), into memory that need not be initialized: to do that each time costs more than most reads.
    pub(crate) fn poll_read_buf(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_read(cx, buffer)).map(or_end)
    }

    /// Appends what has arrived to `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let read = match self.stream()? {
            Stream::Tcp(stream) => tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer),
            Stream::Tls(stream) => tokio_util::io::poll_read_buf(Pin::new(&mut **stream), cx, buffer),
            #[cfg(target_os = "linux")]
            Stream::Resting(stream) => tokio_util::io::poll_read_buf(Pin::new(stream), cx, buffer),
        };
        read.map(or_end)
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write(cx, bytes))
    }

    /// Takes bytes that need not leave before [`poll_flush`](Self::poll_flush): TLS encrypts them, and keeps up to 64 KiB.
    pub(crate) fn poll_put(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.stream()? {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(target_os = "linux")]
            Stream::Resting(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => {
                let written = stream.get_mut().1.writer().write_vectored(slices)?;
                if written > 0 {
                    return Poll::Ready(Ok(written));
                }
                ready!(Pin::new(&mut **stream).poll_flush(cx))?;
                Poll::Ready(stream.get_mut().1.writer().write_vectored(slices))
            }
        }
    }

    pub(crate) fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write_vectored(cx, slices))
    }

    /// Sends up to `length` bytes of `file` from `offset`, without copying them through this process where the OS can.
    /// 0 means that the file is shorter than it was.
    pub(crate) fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        if let Stream::Tcp(stream) = self.stream()? {
            return poll_sendfile(stream, cx, file, offset, length);
        }
        let mut buffer = vec![0; length.min(FILE_STEP)];
        let read = read_at(file, &mut buffer, offset)?;
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        self.poll_write(cx, &buffer[..read])
    }

    /// When the connection is closed, the client is to see that something went wrong.
    pub(crate) fn reset_on_close(&self) {
        if let Some(socket) = self.socket() {
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_shutdown(cx))
    }
}

#[cfg(target_os = "linux")]
fn poll_sendfile(stream: &TcpStream, cx: &mut Context<'_>, file: &File, offset: u64, length: usize) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let mut position = offset;
        let sent =
            stream.try_io(tokio::io::Interest::WRITABLE, || Ok(rustix::fs::sendfile(stream, file, Some(&mut position), length)?));
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

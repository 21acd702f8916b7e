//! The byte stream under a connection. Today TCP; TLS joins here, and nothing above it changes.

use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(crate) struct Transport {
    /// Gone when the connection's task has ended, even if somebody still has a handle to its last exchange.
    stream: Option<TcpStream>,
}

impl Transport {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream: Some(stream) }
    }

    /// Closes the socket.
    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    #[inline]
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads into `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.stream()?.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Appends what has arrived to `buffer`; 0 is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(self.stream()?, cx, buffer)
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    pub(crate) fn poll_write_vectored(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, slices)
    }

    /// Sends up to `length` bytes of `file` from `offset`, without copying them through this process where the OS can.
    /// 0 means that the file is shorter than it was.
    #[cfg(target_os = "linux")]
    pub(crate) fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let stream = self.stream()?;
        loop {
            ready!(stream.poll_write_ready(cx))?;
            let mut position = offset;
            let sent = stream
                .try_io(tokio::io::Interest::WRITABLE, || Ok(rustix::fs::sendfile(&*stream, file, Some(&mut position), length)?));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Elsewhere the bytes are read and written.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = vec![0; length.min(64 * 1024)];
        let read = read_at(file, &mut buffer, offset)?;
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        self.poll_write(cx, &buffer[..read])
    }

    /// When the connection is closed, the client is to see that something went wrong.
    pub(crate) fn reset_on_close(&self) {
        if let Some(stream) = &self.stream {
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

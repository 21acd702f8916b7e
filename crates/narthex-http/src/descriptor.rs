//! File descriptors on a Unix stream: an app shows the host its end of a data connection, and files that the host is to send.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    Shutdown, recvmsg, sendmsg, shutdown,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A descriptor that another process has sent. It need not be what was asked for, and closing the last one may take as long
/// as that process likes (a socket that lingers, a file of a file system of its own), so that a thread of its own does it.
#[derive(Debug)]
pub struct Foreign(Option<OwnedFd>);

impl AsFd for Foreign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("it is there until it is dropped").as_fd()
    }
}

impl Foreign {
    /// The descriptor as a file that may be read and closed like one's own, if it is one ([`is_local`](crate::is_local)).
    #[must_use]
    pub fn into_local_file(mut self) -> Option<File> {
        let file = File::from(self.0.take()?);
        if crate::is_local(&file) {
            return Some(file);
        }
        self.0 = Some(file.into());
        None
    }
}

impl From<Foreign> for OwnedFd {
    /// The descriptor, from a peer who is trusted with how long closing it takes.
    fn from(mut foreign: Foreign) -> Self {
        foreign.0.take().expect("it is there until it is dropped")
    }
}

impl From<OwnedFd> for Foreign {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Some(descriptor))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let Some(descriptor) = self.0.take() else { return };
        // So that there are few such threads at a time. It need not be a socket.
        let _ = rustix::net::sockopt::set_socket_linger(&descriptor, None);
        // Without a thread it is closed here.
        let _ = thread::Builder::new().name("closes".to_owned()).spawn(move || drop(descriptor));
    }
}

/// Sends the first of `bytes` together with the stream's own descriptor. Returns how many were sent.
///
/// Cancel safe: nothing is sent if it is not ready.
///
/// # Errors
/// What the OS says.
pub async fn send_with_own_end(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    stream.async_io(Interest::WRITABLE, || send(stream.as_fd(), bytes, &[stream.as_fd()])).await
}

/// Reads into `buffer`; 0 is the end of the stream. Descriptors that came with the bytes replace the one in `descriptor`.
///
/// Cancel safe: nothing is read if it is not ready.
///
/// # Errors
/// What the OS says.
pub async fn receive(stream: &UnixStream, buffer: &mut [u8], descriptor: &mut Option<Foreign>) -> io::Result<usize> {
    let received = stream.async_io(Interest::READABLE, || receive_now(stream.as_fd(), buffer)).await?;
    if let Some(last) = received.descriptors.into_iter().next_back() {
        *descriptor = Some(last);
    }
    Ok(received.bytes)
}

/// The most files that go with one message.
pub(crate) const FILES_AT_ONCE: usize = 16;

/// As [`tokio::io::AsyncWrite::poll_write`], with the first [`FILES_AT_ONCE`] of `files` beside the first byte. Those are taken off: they
/// have been sent, or the kernel has too many of this user on their way, and then they are lost.
pub(crate) fn poll_write_with_files(
    stream: &UnixStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
    files: &mut VecDeque<Arc<File>>,
) -> Poll<io::Result<usize>> {
    let taken = files.len().min(FILES_AT_ONCE);
    // Those that go with the next message need a byte, too, and not one behind their frames.
    let bytes = if taken < files.len() { bytes.get(..1).unwrap_or(bytes) } else { bytes };
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let descriptors: Vec<_> = files.iter().take(taken).map(|file| file.as_fd()).collect();
        let tried = stream.try_io(Interest::WRITABLE, || send(stream.as_fd(), bytes, &descriptors));
        match tried {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::TOOMANYREFS.raw_os_error()) => {
                files.drain(..taken);
                return poll_write_with_files(stream, cx, bytes, &mut VecDeque::new());
            }
            Err(error) => return Poll::Ready(Err(error)),
            Ok(written) => {
                files.drain(..taken);
                return Poll::Ready(Ok(written));
            }
        }
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_AT_ONCE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty())?)
}

/// The most that the kernel lets a message have (Linux). What there is no room for, it closes here and now.
const MOST: usize = 253;

/// So many descriptors may wait to be named by a frame.
const MOST_ARRIVED: usize = 256;

/// One read.
struct Received {
    bytes: usize,
    descriptors: Vec<Foreign>,
    /// The kernel ends a read behind descriptors: there may be more.
    cut_short: bool,
}

fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // Elsewhere than on Linux the flag does not exist.
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)?;
    let mut cut_short = received.flags.contains(ReturnFlags::CTRUNC);
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        cut_short = true;
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received.map(Foreign::from));
        }
    }
    Ok(Received { bytes: received.bytes, descriptors, cut_short })
}

/// As [`tokio::io::AsyncRead::poll_read`], for a stream whose peer may send descriptors. Those that there is no room for, or that
/// nobody wants (`None`), are closed without a call of their own.
pub(crate) fn poll_read(
    stream: &UnixStream,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
    mut arrived: Option<&mut VecDeque<Foreign>>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut emptied = None;
        let tried = stream.try_io(Interest::READABLE, || {
            let received = receive_now(stream.as_fd(), buffer)?;
            if let Some(arrived) = arrived.as_deref_mut() {
                let room = MOST_ARRIVED.saturating_sub(arrived.len());
                arrived.extend(received.descriptors.into_iter().take(room));
            }
            // Nothing is left: what comes next is announced anew, which saves a read to find that out.
            if received.bytes > 0 && received.bytes < buffer.len() && !received.cut_short {
                emptied = Some(received.bytes);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(received.bytes)
        });
        match (emptied, tried) {
            (Some(read), _) | (None, Ok(read)) => return Poll::Ready(Ok(read)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, Err(error)) => return Poll::Ready(Err(error)),
        }
    }
}

/// Reads as much as there is room for and is there, without waiting. 0 is the end of the stream.
///
/// # Errors
/// What the OS says; that nothing is there, too.
pub fn read_now(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    receive_now(socket.as_fd(), buffer).map(|received| received.bytes)
}

/// Ends a stream, before it is closed. Descriptors that lie unread in it would be closed with it, by the thread that closes it.
pub fn end(stream: impl AsFd) {
    let _ = shutdown(&stream, Shutdown::Both);
    let mut buffer = [0; 16 * 1024];
    while read_now(&stream, &mut buffer).is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    #[test]
    fn a_stream_carries_its_own_end_with_the_first_bytes() {
        let (app, host) = StdStream::pair().unwrap();
        assert_eq!(send(app.as_fd(), b"hello", &[app.as_fd()]).unwrap(), 5);
        let mut buffer = [0; 16];
        let received = receive_now(host.as_fd(), &mut buffer).unwrap();
        assert_eq!(received.bytes, 5);
        let end = received.descriptors.into_iter().next().unwrap();
        // What the app has not read is found there, even after the app has died.
        io::Write::write_all(&mut &host, b"unread").unwrap();
        drop(app);
        let received = read_now(&end, &mut buffer).unwrap();
        assert_eq!(&buffer[..received], b"unread");
    }
}

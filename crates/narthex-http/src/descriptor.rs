//! File descriptors on a Unix stream: an app shows the host its end of a data connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
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

impl From<OwnedFd> for Foreign {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Some(descriptor))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let descriptor = self.0.take();
        // So that there are few such threads at a time. It need not be a socket.
        let _ = descriptor.as_ref().map(|descriptor| rustix::net::sockopt::set_socket_linger(descriptor, None));
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
    stream.async_io(Interest::WRITABLE, || send(stream.as_fd(), bytes, stream.as_fd())).await
}

/// Reads into `buffer`; 0 is the end of the stream. Descriptors that came with the bytes replace the one in `descriptor`.
///
/// Cancel safe: nothing is read if it is not ready.
///
/// # Errors
/// What the OS says.
pub async fn receive(stream: &UnixStream, buffer: &mut [u8], descriptor: &mut Option<Foreign>) -> io::Result<usize> {
    stream.async_io(Interest::READABLE, || receive_now(stream.as_fd(), buffer, descriptor)).await
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::empty())?)
}

fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8], descriptor: &mut Option<Foreign>) -> io::Result<usize> {
    // Room for more than one, so that the kernel does not cut a message whose further descriptors are then closed here.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // Elsewhere than on Linux the flag does not exist.
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for received in descriptors {
                *descriptor = Some(received.into());
            }
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;

    #[test]
    fn a_stream_carries_its_own_end_with_the_first_bytes() {
        let (app, host) = StdStream::pair().unwrap();
        assert_eq!(send(app.as_fd(), b"hello", app.as_fd()).unwrap(), 5);
        let (mut buffer, mut end) = ([0; 16], None);
        assert_eq!(receive_now(host.as_fd(), &mut buffer, &mut end).unwrap(), 5);
        let end = end.unwrap();
        // What the app has not read is found there, even after the app has died.
        io::Write::write_all(&mut &host, b"unread").unwrap();
        drop(app);
        let (received, _) = rustix::net::recv(&end, buffer.as_mut_slice(), RecvFlags::DONTWAIT).unwrap();
        assert_eq!(&buffer[..received], b"unread");
    }
}

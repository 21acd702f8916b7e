//! The socket of a session between a host worker and an app worker, as both of its ends use it: one buffer that frames are
//! taken from, and an output that is written as far as the socket takes it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::UnixStream;

use crate::descriptor::{self, Foreign};

/// What one read takes at most, unless a frame is longer.
const READ: usize = 128 * 1024;

/// What an output takes that grows to the high-water mark by doubling. More is never kept.
const MOST_KEPT: usize = 2 * Link::HIGH_WATER;

/// One end of a session.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    buffer: Vec<u8>,
    filled: usize,
    /// How much of the output was written.
    written: usize,
    /// How much was written before this output.
    earlier: u64,
    /// Descriptors that came beside the input, if they are wanted.
    arrived: Option<VecDeque<Foreign>>,
}

impl Drop for Link {
    /// The other end learns it at once, although it may hold a descriptor of this end, too. What lies unread here stays there.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }
}

impl Link {
    /// With this much unwritten, no more body bytes should be added to the output.
    pub const HIGH_WATER: usize = 1 << 20;
    /// Whose output grows to this although it adds no more has a peer that does not read. Beyond every window together.
    pub const HARD_LIMIT: usize = 256 << 20;

    /// A link of which `begun` was read already.
    #[must_use]
    pub fn new(stream: UnixStream, begun: Vec<u8>) -> Self {
        let filled = begun.len();
        let mut buffer = begun;
        buffer.resize(READ.max(filled), 0);
        Self { stream, buffer, filled, written: 0, earlier: 0, arrived: None }
    }

    /// Keeps the descriptors that come beside the input, 256 at a time, instead of closing them.
    #[must_use]
    pub fn with_descriptors(mut self) -> Self {
        self.arrived = Some(VecDeque::new());
        self
    }

    /// The descriptors that came beside the input, if they are kept.
    pub fn arrived(&mut self) -> impl Iterator<Item = Foreign> {
        self.arrived.iter_mut().flat_map(|arrived| arrived.drain(..))
    }

    /// What was read and not yet taken.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Takes `used` bytes off the input, and makes room for a frame of `total` bytes.
    pub fn consume(&mut self, used: usize, total: usize) {
        self.buffer.copy_within(used..self.filled, 0);
        self.filled -= used;
        let wanted = total.max(READ);
        if self.buffer.len() != wanted && self.filled < wanted {
            self.buffer.resize(wanted, 0);
        }
    }

    /// The peer sends no more: what it has sent can still be read, and then comes the end of the stream. Wakes who reads, since a
    /// runtime may not have heard yet of what came last.
    pub fn end_input(&self) {
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Read);
    }

    /// Ends the link with a peer that may have sent more than frames (see [`descriptor::end`]).
    pub fn end(self) {
        descriptor::end(&self.stream);
    }

    /// Where in the stream the output begins that is now given to [`poll_write`](Self::poll_write).
    #[must_use]
    pub fn output_begins_at(&self) -> u64 {
        self.earlier
    }

    /// All bytes that the socket has taken.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.earlier + self.written as u64
    }

    /// Reads more input; 0 is the end of the stream.
    ///
    /// # Errors
    /// What the OS says.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let buffer = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = ready!(descriptor::poll_read(&self.stream, cx, buffer, self.arrived.as_mut()))?;
        self.filled += read;
        Poll::Ready(Ok(read))
    }

    /// Writes `output` and empties it. Ready when nothing is left; until then `output` must only grow.
    ///
    /// # Errors
    /// What the OS says.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, output: &mut Vec<u8>) -> Poll<io::Result<()>> {
        self.poll_write_with(cx, output, &mut VecDeque::new())
    }

    /// As [`poll_write`](Self::poll_write), with the descriptors of `files` beside the first bytes. What is written first must not be
    /// behind the frames that name them: whoever adds such a frame to the output adds its file at the same time. The kernel may
    /// refuse to have more on the way; the files are taken off all the same.
    ///
    /// # Errors
    /// What the OS says.
    pub fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut Vec<u8>,
        files: &mut VecDeque<Arc<File>>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = output.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = match files.is_empty() {
                true => Pin::new(&mut self.stream).poll_write(cx, rest),
                false => descriptor::poll_write_with_files(&self.stream, cx, rest, files),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.earlier += output.len() as u64;
        // A burst's memory is kept as long as the burst: to give it back and take it again for each output costs more than the output.
        let (used, has) = (output.len(), output.capacity());
        output.clear();
        if has > MOST_KEPT || has > Self::HIGH_WATER && used < has / 4 {
            output.shrink_to(READ);
        }
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_memory_of_a_burst_is_kept_while_it_lasts_and_no_longer() {
        let (one, other) = UnixStream::pair().unwrap();
        let reader = tokio::spawn(async move {
            let mut link = Link::new(other, Vec::new());
            while std::future::poll_fn(|cx| link.poll_read(cx)).await.unwrap() > 0 {
                link.consume(link.input().len(), 0);
            }
        });
        let mut link = Link::new(one, Vec::new());
        let mut output = Vec::with_capacity(MOST_KEPT);
        for (bytes, kept) in [(Link::HIGH_WATER, true), (Link::HIGH_WATER, true), (100, false)] {
            output.resize(bytes, 0);
            std::future::poll_fn(|cx| link.poll_write(cx, &mut output)).await.unwrap();
            assert_eq!(output.capacity() > READ, kept, "after {bytes} bytes");
        }
        output.resize(MOST_KEPT + 1, 0);
        std::future::poll_fn(|cx| link.poll_write(cx, &mut output)).await.unwrap();
        assert!(output.capacity() <= READ);
        drop(link);
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn what_came_before_the_input_was_ended_is_read() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut link = Link::new(one, Vec::new());
        // So the runtime has been told that there is nothing.
        assert!(std::future::poll_fn(|cx| Poll::Ready(link.poll_read(cx))).await.is_pending());
        other.write_all(b"last words").await.unwrap();
        link.end_input();
        let read = async {
            while std::future::poll_fn(|cx| link.poll_read(cx)).await.unwrap() > 0 {}
            link.input().to_vec()
        };
        // Nobody closes the other end: somebody else may hold it.
        assert_eq!(tokio::time::timeout(Duration::from_secs(5), read).await.expect("there is an end"), b"last words");
        drop(other);
    }

    #[tokio::test]
    async fn the_end_of_a_link_is_noticed_by_who_holds_a_descriptor_of_it() {
        let (one, other) = UnixStream::pair().unwrap();
        let one = one.into_std().unwrap();
        let _shown = one.try_clone().unwrap();
        drop(Link::new(UnixStream::from_std(one).unwrap(), Vec::new()));
        let mut other = Link::new(other, Vec::new());
        let read = std::future::poll_fn(|cx| other.poll_read(cx));
        let read = tokio::time::timeout(Duration::from_secs(5), read).await;
        assert_eq!(read.expect("the end is noticed").unwrap(), 0);
    }
}

//! Files as bodies: which of them a worker may read itself, and how it does that without waiting for a disk.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::{JoinHandle, spawn_blocking};

/// How far a file is read ahead of what is sent of it. What the kernel has in its cache by then costs the worker no wait.
pub(crate) const AHEAD: u64 = 256 * 1024;

/// Whether a worker may read and close a file: it is a regular one on a disk of this machine, or in its memory. Others (of a network,
/// of a process that plays a file system) may take as long as they like, and nobody could serve anything else meanwhile.
///
/// Known on Linux only; elsewhere no file is one.
#[must_use]
pub fn is_local(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file()) && is_on_local_disk(file)
}

#[cfg(target_os = "linux")]
fn is_on_local_disk(file: &File) -> bool {
    /// `statfs(2)`: bcachefs, btrfs, erofs, exfat, ext2 to ext4, f2fs, isofs, vfat, overlayfs, ramfs, squashfs, tmpfs, xfs, zfs.
    const LOCAL: [u64; 14] = [
        0xca45_1a4e,
        0x9123_683e,
        0xe0f5_e1e2,
        0x2011_bab0,
        0xef53,
        0xf2f5_2010,
        0x9660,
        0x4d44,
        0x794c_7630,
        0x8584_58f6,
        0x7371_7368,
        0x0102_1994,
        0x5846_5342,
        0x2fc1_2fc1,
    ];
    // The field's type differs between architectures; all of these fit into 32 bits.
    rustix::fs::fstatfs(file).is_ok_and(|found| LOCAL.contains(&(found.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_on_local_disk(_: &File) -> bool {
    false
}

/// How far a file is known to be in the kernel's cache.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    until: u64,
    /// What is not in the cache is being read into it, by a thread that may wait for the disk.
    reading: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Ready when `length` bytes from `offset` on (at most [`AHEAD`]) can be read without waiting for a disk. Errors are left to
    /// the one who reads.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, file: &Arc<File>, offset: u64, length: u64) -> Poll<()> {
        let end = offset.saturating_add(length);
        if end <= self.until {
            return Poll::Ready(());
        }
        if self.reading.is_none() {
            // Files are read ahead in order: if the last byte is there, so is what is before it.
            if is_cached(file, end.saturating_sub(1)) {
                self.until = end;
                return Poll::Ready(());
            }
            let file = Arc::clone(file);
            self.reading = Some(spawn_blocking(move || fill_cache(&file, offset, offset.saturating_add(AHEAD))));
        }
        if let Some(reading) = &mut self.reading {
            let _ = ready!(Pin::new(reading).poll(cx));
        }
        self.reading = None;
        self.until = offset.saturating_add(AHEAD);
        Poll::Ready(())
    }
}

/// Whether a byte can be read at once. A file system that cannot tell is taken to be in memory.
#[cfg(target_os = "linux")]
fn is_cached(file: &File, at: u64) -> bool {
    let mut byte = [0];
    let read = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], at, rustix::io::ReadWriteFlags::NOWAIT);
    !matches!(read, Err(rustix::io::Errno::AGAIN))
}

#[cfg(not(target_os = "linux"))]
fn is_cached(_: &File, _: u64) -> bool {
    true
}

fn fill_cache(file: &File, mut offset: u64, end: u64) {
    let mut buffer = vec![0; 64 * 1024];
    while offset < end {
        let step = usize::try_from(end - offset).unwrap_or(buffer.len()).min(buffer.len());
        match read_at(file, buffer.get_mut(..step).unwrap_or_default(), offset) {
            Ok(read) if read > 0 => offset += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Reads into `buffer` from `offset` on, without moving the file's position. Returns how many bytes that are; 0 at the end.
///
/// # Errors
/// What the OS says.
#[cfg(unix)]
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

/// Reads into `buffer` from `offset` on. Returns how many bytes that are; 0 at the end.
///
/// # Errors
/// What the OS says.
#[cfg(windows)]
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn what_the_kernel_makes_up_is_no_local_file() {
        assert!(is_local(&tempfile::tempfile().unwrap()));
        for path in ["/proc/self/status", "/", "/dev/null"] {
            assert!(!is_local(&File::open(path).unwrap()), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_not_in_the_cache_is_fetched_by_another_thread() {
        let file = tempfile::tempfile().unwrap();
        // Nobody has read it, and it was never written.
        file.set_len(10 * AHEAD).unwrap();
        let file = Arc::new(file);
        let mut ahead = Ahead::default();
        poll_fn(|cx| ahead.poll(cx, &file, AHEAD, 1000)).await;
        assert!(is_cached(&file, AHEAD + 999) && ahead.until >= AHEAD + 1000);
        // Behind the end there is nothing to wait for.
        poll_fn(|cx| ahead.poll(cx, &file, 20 * AHEAD, 1000)).await;
    }
}

//! Files that an app has the host send: found among the descriptors that came, judged, and counted while they are on their way.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Weak};

use narthex_http::descriptor::Foreign;
use narthex_proto::wire::FilePart;

/// So many descriptors of a session may wait to be named. More are closed, and their files refused.
const MOST_ARRIVED: usize = 256;
/// So many files of a session may be open here. Of further ones the app sends the bytes.
const MOST_OPEN: usize = 256;

/// The files of one session.
#[derive(Debug, Default)]
pub(super) struct Files {
    arrived: RefCell<VecDeque<Foreign>>,
    open: RefCell<Vec<Weak<File>>>,
}

impl Files {
    pub(super) fn arrive(&self, descriptors: impl Iterator<Item = Foreign>) {
        let mut arrived = self.arrived.borrow_mut();
        let room = MOST_ARRIVED.saturating_sub(arrived.len());
        arrived.extend(descriptors.take(room));
    }

    /// The file that a frame names, if its descriptor has come, the part is there, and the host may read it: what is on no local disk
    /// could keep the worker waiting, and with it everybody else.
    pub(super) fn take(&self, part: FilePart) -> Option<Arc<File>> {
        let found = self.named(part)?;
        let file = found.into_local_file()?;
        let ends = part.offset.checked_add(part.length)?;
        if part.length == 0 || ends > file.metadata().ok()?.len() || !self.has_room() {
            return None;
        }
        let file = Arc::new(file);
        self.open.borrow_mut().push(Arc::downgrade(&file));
        Some(file)
    }

    fn named(&self, part: FilePart) -> Option<Foreign> {
        let mut arrived = self.arrived.borrow_mut();
        #[allow(clippy::unnecessary_cast, reason = "device numbers are signed on macOS")]
        let is_it = |descriptor: &Foreign| {
            let stat = rustix::fs::fstat(descriptor);
            stat.is_ok_and(|stat| (stat.st_dev as u64, stat.st_ino as u64) == (part.device, part.inode))
        };
        let at = arrived.iter().position(is_it)?;
        arrived.remove(at)
    }

    fn has_room(&self) -> bool {
        let mut open = self.open.borrow_mut();
        if open.len() >= MOST_OPEN {
            open.retain(|file| file.strong_count() > 0);
        }
        open.len() < MOST_OPEN
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn part_of(file: &File, offset: u64, length: u64) -> FilePart {
        let metadata = file.metadata().unwrap();
        FilePart { offset, length, device: metadata.dev(), inode: metadata.ino() }
    }

    fn file() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1000).unwrap();
        file
    }

    fn foreign(file: &File) -> Foreign {
        Foreign::from(std::os::fd::OwnedFd::from(file.try_clone().unwrap()))
    }

    #[test]
    fn a_descriptor_is_found_by_what_it_is_whatever_else_came_or_got_lost() {
        let (files, [a, b, lost]) = (Files::default(), [file(), file(), file()]);
        files.arrive([foreign(&b), foreign(&a)].into_iter());
        assert!(files.take(part_of(&lost, 0, 1000)).is_none());
        for file in [&a, &b] {
            let taken = files.take(part_of(file, 0, 1000)).unwrap();
            assert_eq!(taken.metadata().unwrap().ino(), file.metadata().unwrap().ino());
            assert!(files.take(part_of(file, 0, 1000)).is_none(), "a descriptor is for one response");
        }
    }

    #[test]
    fn what_is_no_local_file_or_shorter_than_its_part_is_refused() {
        let (files, file) = (Files::default(), file());
        let made_up = File::open("/proc/self/status").unwrap();
        files.arrive([foreign(&made_up), foreign(&file), foreign(&file), foreign(&file)].into_iter());
        assert!(files.take(part_of(&made_up, 0, 1)).is_none());
        for (offset, length) in [(0, 1001), (u64::MAX, 2), (0, 0)] {
            assert!(files.take(part_of(&file, offset, length)).is_none());
        }
    }

    #[test]
    fn an_app_cannot_make_the_host_hold_more_files_than_it_allows() {
        let (files, file) = (Files::default(), file());
        files.arrive((0..MOST_ARRIVED + 10).map(|_| foreign(&file)));
        let held: Vec<_> = (0..MOST_OPEN).map(|_| files.take(part_of(&file, 0, 1)).unwrap()).collect();
        files.arrive((0..2).map(|_| foreign(&file)));
        assert!(files.take(part_of(&file, 0, 1)).is_none(), "too many are open");
        drop(held);
        assert!(files.take(part_of(&file, 0, 1)).is_some());
    }
}

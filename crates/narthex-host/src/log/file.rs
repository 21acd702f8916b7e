//! Folders and files of logs. They are opened so that nobody else's link leads elsewhere, only ever appended to, and end with
//! a whole line whatever happened before.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, ftruncate, mkdirat, openat, statat};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder of a site.
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens `site` below `root` and makes what is missing, for the owner (all) and the group (reading) only. A link in place
    /// of `site` is an error; `root` is the operator's and may be one.
    pub(super) fn open(root: &Path, site: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(root)?;
        let root = openat(CWD, root, FOLDER, Mode::empty())?;
        match mkdirat(&root, site, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        match openat(&root, site, FOLDER.union(OFlags::NOFOLLOW), Mode::empty()) {
            Ok(folder) => Ok(Self(folder)),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                Err(io::Error::other("the site's folder is a link or a file: remove it, or choose another site"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file to append to it, and makes it if it is missing.
    pub(super) fn append(&self, name: &str) -> io::Result<LogFile> {
        // NONBLOCK, or a planted FIFO would hold the writer for ever. Readable, to look at the last byte.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::from_raw_mode(0o640)) {
            Err(Errno::LOOP | Errno::MLINK) => return Err(not_a_file(name)),
            file => file?,
        };
        let stat = fstat(&file)?;
        // A second name is how a link looks that is not symbolic.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink > 1 {
            return Err(not_a_file(name));
        }
        let mut file = LogFile { file, name: name.to_owned(), length: u64::try_from(stat.st_size).unwrap_or(0) };
        if file.is_cut_off()? {
            file.write(b"\n")?;
        }
        Ok(file)
    }

    /// The names in the folder.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = Vec<u8>>> {
        Ok(Dir::read_from(&self.0)?.filter_map(|entry| Some(entry.ok()?.file_name().to_bytes().to_vec())))
    }

    /// Whether the file is still the one that its name leads to. Its length may have been changed by somebody else.
    pub(super) fn still_has(&self, file: &mut LogFile) -> bool {
        let (Ok(named), Ok(open)) = (statat(&self.0, &*file.name, AtFlags::SYMLINK_NOFOLLOW), fstat(&file.file)) else {
            return false;
        };
        file.length = u64::try_from(open.st_size).unwrap_or(file.length);
        (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)
    }
}

fn not_a_file(name: &str) -> io::Error {
    io::Error::other(format!("{name} is a link, or not a file: remove it, the log does not write through it"))
}

/// An open file.
#[derive(Debug)]
pub(super) struct LogFile {
    file: OwnedFd,
    pub(super) name: String,
    /// In bytes.
    pub(super) length: u64,
}

impl LogFile {
    /// Whether its last line has no end: the host was killed, or the disk was full.
    fn is_cut_off(&self) -> io::Result<bool> {
        let Some(last) = self.length.checked_sub(1) else { return Ok(false) };
        let mut byte = [0];
        Ok(rustix::io::pread(&self.file, &mut byte, last)? == 1 && byte != *b"\n")
    }

    /// Appends all of `lines` or, if it fails, nothing.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let written = match rustix::io::write(&self.file, rest) {
                Ok(0) => Err(Errno::IO),
                Err(Errno::INTR) => continue,
                written => written,
            };
            match written {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => {
                    self.take_back(lines.len() - rest.len());
                    return Err(error.into());
                }
            }
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Removes the last bytes. If that fails too, the next one who opens the file ends the broken line.
    fn take_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Ok(stat) = fstat(&self.file) {
            let length = u64::try_from(stat.st_size).unwrap_or(0);
            let _ = ftruncate(&self.file, length.saturating_sub(bytes as u64));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folders_and_files_are_not_for_everybody() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("var/log");
        let mut file = Folder::open(&deep, "shop").unwrap().append("ex1.log").unwrap();
        file.write(b"a\n").unwrap();
        // The umask may take more away.
        assert_eq!(mode(&deep) & !0o750, 0);
        assert_eq!(mode(&deep.join("shop")) & !0o750, 0);
        assert_eq!(mode(&deep.join("shop/ex1.log")) & !0o640, 0);
    }

    #[test]
    fn a_site_that_is_a_link_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), root.path().join("shop")).unwrap();
        let error = Folder::open(root.path(), "shop").err().unwrap();
        assert!(error.to_string().contains("choose another site"), "{error}");
    }

    #[test]
    fn a_file_that_is_a_link_or_a_pipe_is_refused_and_its_target_untouched() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        fs::write(&target, "precious").unwrap();
        let folder = Folder::open(root.path(), "shop").unwrap();
        symlink(&target, root.path().join("shop/symbolic.log")).unwrap();
        symlink(root.path().join("nowhere"), root.path().join("shop/dangling.log")).unwrap();
        fs::hard_link(&target, root.path().join("shop/hard.log")).unwrap();
        // A socket cannot be opened either; rustix makes pipes only on some systems.
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("shop/socket.log")).unwrap();
        #[cfg(not(target_vendor = "apple"))]
        rustix::fs::mknodat(&folder.0, "pipe.log", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for name in ["symbolic.log", "dangling.log", "hard.log", "socket.log", "pipe.log"] {
            if cfg!(target_vendor = "apple") && name == "pipe.log" {
                continue;
            }
            assert!(folder.append(name).is_err(), "{name}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert!(!root.path().join("nowhere").exists());
    }

    #[test]
    fn what_is_there_stays_and_a_cut_off_line_is_ended() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "shop").unwrap();
        let path = root.path().join("shop/a.log");
        fs::write(&path, "whole\nhal").unwrap();
        folder.append("a.log").unwrap().write(b"next\n").unwrap();
        folder.append("a.log").unwrap().write(b"last\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\nlast\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path(), "shop").unwrap();
        let mut file = folder.append("a.log").unwrap();
        assert!(folder.still_has(&mut file));
        fs::rename(root.path().join("shop/a.log"), root.path().join("shop/a.log.1")).unwrap();
        assert!(!folder.still_has(&mut file));
        folder.append("a.log").unwrap();
        assert!(!folder.still_has(&mut file));
    }
}

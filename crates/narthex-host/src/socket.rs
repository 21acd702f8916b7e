//! The host's socket: where it is, who may reach it, and that there is only one host on it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::host::StartError;

/// An open socket. Dropping it removes the socket's file.
pub(crate) struct HostSocket {
    pub(crate) path: PathBuf,
    pub(crate) listener: UnixListener,
    /// Held for as long as the host runs; the OS releases it whatever ends the process.
    lock: File,
    /// Its file is somebody else's.
    handed_over: bool,
}

impl HostSocket {
    /// Opens the socket at `path`, and replaces what a host that was killed has left there.
    ///
    /// Every user may connect to a `shared` one: credentials decide what each may do. Others are their user's alone. One that was
    /// `passed` is open already, and its file belongs to who has opened it.
    pub(crate) fn open(path: &Path, shared: bool, passed: Option<UnixListener>) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::Socket(path.to_owned(), error);
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            make_directory(directory, shared).map_err(failed)?;
        }
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StartError::AlreadyRunning(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if let Some(listener) = passed {
            return Ok(Self { path: path.to_owned(), listener, lock, handed_over: true });
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let mode = if shared { 0o666 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener, lock, handed_over: false })
    }

    /// The socket of a host that has handed it over.
    pub(crate) fn inherited(path: &Path, listener: UnixListener, lock: File) -> Self {
        Self { path: path.to_owned(), listener, lock, handed_over: false }
    }

    /// What another host needs to have the socket: its lock, and the socket itself.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub(crate) fn copies(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.lock.try_clone()?.into(), self.listener.try_clone()?.into()])
    }

    /// Another host has the socket: its file stays.
    pub(crate) fn hand_over(mut self) {
        self.handed_over = true;
    }
}

/// Makes what is missing, and nothing of what is there more open than it is: except the directory that is a host's own by
/// its name, which an earlier host may have had for itself.
fn make_directory(directory: &Path, shared: bool) -> io::Result<()> {
    let mode = if shared { 0o755 } else { 0o700 };
    let set_mode = match fs::metadata(directory) {
        Ok(found) => {
            let own =
                found.uid() == rustix::process::geteuid().as_raw() && directory.file_name().is_some_and(|name| name == "narthex");
            shared && own && found.mode() & 0o055 != 0o055
        }
        Err(_) => {
            DirBuilder::new().recursive(true).mode(mode).create(directory)?;
            true
        }
    };
    // The process's umask may have taken rights away.
    if set_mode { fs::set_permissions(directory, fs::Permissions::from_mode(mode)) } else { Ok(()) }
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        if !self.handed_over {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_at_a_time_has_a_socket_and_a_stale_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/host.sock");
        let first = HostSocket::open(&path, false, None).unwrap();
        assert!(matches!(HostSocket::open(&path, false, None), Err(StartError::AlreadyRunning(_))));
        // What a kill -9 leaves: the file, and no lock.
        let kept = directory.path().join("kept");
        fs::rename(&path, &kept).unwrap();
        drop(first);
        fs::rename(&kept, &path).unwrap();
        let again = HostSocket::open(&path, false, None).unwrap();
        drop(again);
        assert!(!path.exists());
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_socket_is_for_its_user_alone_unless_it_is_shared() {
        let directory = tempfile::tempdir().unwrap();
        for (shared, of_directory, of_socket) in [(false, 0o700, 0o600), (true, 0o755, 0o666)] {
            let path = directory.path().join(format!("{shared}/host.sock"));
            let socket = HostSocket::open(&path, shared, None).unwrap();
            assert_eq!((mode(path.parent().unwrap()), mode(&path)), (of_directory, of_socket), "shared: {shared}");
            drop(socket);
        }
    }

    #[test]
    fn only_the_hosts_own_directory_is_opened_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        for (name, after) in [("narthex", 0o755), ("private", 0o700)] {
            let path = directory.path().join(name).join("host.sock");
            drop(HostSocket::open(&path, false, None).unwrap());
            drop(HostSocket::open(&path, true, None).unwrap());
            assert_eq!(mode(path.parent().unwrap()), after, "{name}");
        }
    }
}

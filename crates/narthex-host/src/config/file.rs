//! The file itself: where it is, and how it is read and replaced so that nobody ever sees half of it.
//!
//! A change is written to a temporary file beside it, which then takes its name. Writers lock the directory, so that none
//! loses another's change. A kill at any moment leaves the old file or the new one, and at most one temporary file, which
//! the next writer removes.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use narthex_http::Stamp;

use super::error::ConfigError;

/// The environment variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "NARTHEX_CONFIG";

/// What a new file begins with.
pub(crate) const HEADER: &str = include_str!("header.toml");

/// Nobody writes this much; a mistake (a log, a device) should not fill the memory.
const LONGEST: u64 = 16 << 20;
/// A writer is done in milliseconds.
const LOCK_TRIES: usize = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// As many as Linux itself follows.
const MOST_LINKS: usize = 40;

/// Where the configuration of a host of this user is: `NARTHEX_CONFIG`, else `narthex.toml` in the directory that systemd has made for it
/// (`ConfigurationDirectory=`), else `/etc/narthex/narthex.toml` for root, else `narthex/narthex.toml` in `$XDG_CONFIG_HOME` or
/// `~/.config`.
#[must_use]
pub fn default_path() -> PathBuf {
    path_for(rustix::process::geteuid().is_root(), |name| env::var_os(name))
}

fn path_for(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set(CONFIG_VARIABLE) {
        return path;
    }
    if let Some(directory) = of_service(&variable, "CONFIGURATION_DIRECTORY") {
        return directory.join("narthex.toml");
    }
    if root {
        return "/etc/narthex/narthex.toml".into();
    }
    // A relative one is to be ignored, says the XDG Base Directory Specification.
    let directory = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let directory = directory.or_else(|| set("HOME").map(|home| home.join(".config"))).unwrap_or_default();
    directory.join("narthex/narthex.toml")
}

/// Where a host of this user logs unless its configuration says: where systemd has made a directory for it (`LogsDirectory=`), else
/// `/var/log/narthex` for root, else `narthex/log` in `$XDG_STATE_HOME` or `~/.local/state`.
#[must_use]
pub fn default_logs() -> PathBuf {
    if let Some(directory) = of_service(|name| env::var_os(name), "LOGS_DIRECTORY") {
        return directory;
    }
    if rustix::process::geteuid().is_root() {
        return "/var/log/narthex".into();
    }
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let directory = directory.or_else(|| set("HOME").map(|home| home.join(".local/state"))).unwrap_or_default();
    directory.join("narthex/log")
}

/// The first of the directories that systemd has made for a service (`systemd.exec(5)`).
fn of_service(variable: impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    let list = variable(name)?;
    env::split_paths(&list).next().filter(|directory| directory.is_absolute())
}

/// The configuration file, which need not exist.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// Nobody has named it: it is read only if it is the host's own user's, or root's.
    own: bool,
}

impl ConfigFile {
    /// Names the file and removes what a writer that was killed has left beside it.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self::open(path, false)
    }

    /// The same for a file that nobody has named. Where it lies anybody may be able to make one, as in `/tmp`: one that is
    /// another user's is an error.
    pub(crate) fn own(path: PathBuf) -> Self {
        Self::open(path, true)
    }

    fn open(path: PathBuf, own: bool) -> Self {
        let file = Self { path, own };
        // Another writer at work has its own temporary file there: then it is not stale.
        if let Ok(target) = file.target()
            && temporary(&target).exists()
            && let Ok(lock) = File::open(directory(&target))
            && lock.try_lock().is_ok()
        {
            let _ = fs::remove_file(temporary(&target));
        }
        file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where its relative paths begin.
    pub(crate) fn directory(&self) -> PathBuf {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        directory(&path).to_owned()
    }

    /// The text; a file that does not exist has none.
    pub(crate) fn read(&self) -> Result<Option<String>, ConfigError> {
        let failed = |error: &io::Error| ConfigError::io(&self.path, "read", error);
        // A pipe would keep the host waiting for somebody who writes.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| failed(&error))?,
        };
        self.check(&file.metadata().map_err(|error| failed(&error))?)?;
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if bytes.len() as u64 > LONGEST {
            let message = format!("this is longer than {LONGEST} bytes and cannot be a configuration");
            return Err(ConfigError::at("", None, message).in_file(&self.path));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            ConfigError::at(&text, Some(valid..valid), "this is not UTF-8: save the file as UTF-8").in_file(&self.path)
        })
    }

    fn check(&self, metadata: &fs::Metadata) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError::at("", None, message).in_file(&self.path));
        // A device is one: /dev/null has no settings.
        if !metadata.is_file() && !metadata.file_type().is_char_device() {
            return wrong("this is no file: write the configuration into one".to_owned());
        }
        let uid = metadata.uid();
        if self.own && !is_trusted(uid) {
            let whose = super::accounts::described(narthex_proto::wire::Principal::User(uid));
            return wrong(format!(
                "this belongs to {whose}, who is not this host's user: name it with --config if that is meant"
            ));
        }
        Ok(())
    }

    /// What the file is like now; `None` if there is none.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }

    /// Replaces the text by what `change` makes of the present one. Blocks while another writer does the same.
    pub(crate) fn edit<T, E: From<ConfigError>>(
        &self,
        change: impl FnOnce(Option<String>) -> Result<(String, T), E>,
    ) -> Result<T, E> {
        let failed = |error: io::Error| ConfigError::io(&self.path, "written", &error);
        let target = self.target().map_err(failed)?;
        let directory = directory(&target);
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        let locked = File::open(directory).and_then(lock).map_err(failed)?;
        // Whatever else is there must not be replaced by a file.
        if fs::metadata(&target).is_ok_and(|there| !there.is_file()) {
            let message = "this is no file, and cannot be changed: start the host with one (--config)";
            return Err(ConfigError::at("", None, message).in_file(&self.path).into());
        }
        let old = self.read()?;
        let (new, result) = change(old.clone())?;
        if old.as_ref() != Some(&new) {
            replace(&target, &new, &locked).map_err(failed)?;
        }
        Ok(result)
    }

    /// The file that the path leads to: a link is followed, so that it stays one.
    fn target(&self) -> io::Result<PathBuf> {
        let mut path = self.path.clone();
        for _ in 0..MOST_LINKS {
            match fs::read_link(&path) {
                // The kernel does not follow such links in /tmp either.
                Ok(_) if self.own && !is_trusted(fs::symlink_metadata(&path)?.uid()) => {
                    return Err(io::Error::other("there is a symbolic link of another user"));
                }
                Ok(target) => path = directory(&path).join(target),
                Err(_) => return Ok(path),
            }
        }
        Err(io::Error::other("too many symbolic links"))
    }
}

/// Root, and the user whose host it is.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// One name for all writers: only the one with the lock uses it, and stale ones do not pile up.
fn temporary(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".new");
    target.with_file_name(name)
}

/// The lock ends with the descriptor, whatever ends the process.
fn lock(directory: File) -> io::Result<File> {
    for _ in 0..LOCK_TRIES {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program keeps its directory locked"))
}

fn replace(target: &Path, text: &str, directory: &File) -> io::Result<()> {
    let temporary = temporary(target);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write(&temporary, target, text).and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    directory.sync_all()
}

/// The new file gets the owner and mode of the old one.
fn write(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    let mode = match fs::metadata(target) {
        Ok(old) => {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            old.mode() & 0o7777
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0o644,
        Err(error) => return Err(error),
    };
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;

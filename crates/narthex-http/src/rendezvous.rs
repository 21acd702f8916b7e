//! Where a host and its apps meet: the path of the host's socket.

use std::env;
use std::path::PathBuf;

/// The environment variable that names the host's socket.
pub const HOST_VARIABLE: &str = "NARTHEX_HOST";

const SYSTEM_SOCKET: &str = "/run/narthex/host.sock";

/// Where a host of this user listens unless it is told otherwise: `NARTHEX_HOST`, else the platform's runtime directory
/// (`/run/narthex` for root, `$XDG_RUNTIME_DIR/narthex`, else a directory of this user's below the temporary directory).
#[must_use]
pub fn own_socket() -> PathBuf {
    if let Some(path) = env::var_os(HOST_VARIABLE) {
        return path.into();
    }
    let user = user_id();
    if user == Some(0) {
        return SYSTEM_SOCKET.into();
    }
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if !runtime.is_empty() => PathBuf::from(runtime).join("narthex/host.sock"),
        _ => env::temp_dir().join(user.map_or("narthex".to_owned(), |id| format!("narthex-{id}"))).join("host.sock"),
    }
}

/// Where an app looks for a host, in order: `NARTHEX_HOST` alone if it is set, else this user's host, then the system's.
#[must_use]
pub fn candidates() -> Vec<PathBuf> {
    let own = own_socket();
    if env::var_os(HOST_VARIABLE).is_some() || own.as_os_str() == SYSTEM_SOCKET {
        return vec![own];
    }
    vec![own, SYSTEM_SOCKET.into()]
}

#[cfg(unix)]
fn user_id() -> Option<u32> {
    Some(rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn user_id() -> Option<u32> {
    None
}

//! The machine: where the workspace is, and programs that come from outside of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// A cargo command that runs in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// The file that `name` on the command line would start.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// Finds `program`, installing `debian_package` when it is missing and this machine lets us.
pub(crate) fn ensure(program: &str, debian_package: &str) -> Result<PathBuf, String> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    let advice = format!("`{program}` is not installed; on Debian: apt-get install {debian_package}");
    let Some(apt) = find("apt-get") else {
        return Err(advice);
    };
    println!("installing {debian_package} for `{program}`");
    let install = |arguments: &[&str]| {
        Command::new(&apt)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let arguments = ["install", "-y", "--no-install-recommends", debian_package];
    // The package lists of a fresh image are empty or old: read them once, and only when needed.
    if install(&arguments) || (install(&["update"]) && install(&arguments)) {
        return find(program).ok_or_else(|| format!("{debian_package} is installed but has no `{program}`"));
    }
    Err(format!("{advice} (apt-get could not do it here; are you root?)"))
}

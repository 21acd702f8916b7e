//! The first thing that a program's process does: `narthex run-child` arranges what only the process itself can, and becomes the
//! program. So no code runs between `fork` and `exec`, which would take `unsafe`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::args::RunChildArguments;

/// As a shell says it of a program that cannot be started.
const CANNOT_START: i32 = 127;

/// This program's own file. On Linux by a name that is right even when the file was replaced by a newer one.
pub(super) fn this_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().context("cannot find this program's own file")
}

/// Becomes the program. Returns only if that is not possible.
pub(crate) fn become_child(arguments: &RunChildArguments) -> anyhow::Result<()> {
    end_with(arguments.parent)?;
    let Some((program, rest)) = arguments.command.split_first() else { bail!("there is no command") };
    let mut command = Command::new(program);
    command.args(rest);
    if arguments.listening {
        // `exec` keeps the process's id.
        command.env("LISTEN_PID", std::process::id().to_string());
    }
    let error = command.exec();
    crate::output::complain(&format!("cannot start {program:?}: {error}"));
    std::process::exit(CANNOT_START)
}

/// Has the kernel end this process with its parent.
#[cfg(target_os = "linux")]
fn end_with(parent: i32) -> anyhow::Result<()> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot ask to end with the parent")?;
    // It may have gone before.
    if getppid() != Pid::from_raw(parent) {
        bail!("who started this process is gone");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: i32) -> anyhow::Result<()> {
    Ok(())
}

//! Processes the harness starts: each with its children in a process group of its own, which ends with its owner.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// A started program and everything it forked.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    name: String,
    leader: Child,
    log: PathBuf,
    ended: bool,
}

/// A command that runs the program in its arguments, and ends it if the harness itself is killed.
pub(super) fn ended_with_us() -> Command {
    let mut command = Command::new("setpriv");
    // SIGTERM, not SIGKILL: nginx's master then takes its worker with it.
    command.args(["--pdeathsig", "TERM"]);
    command
}

/// The same on `core`, or on the only one there is: that of the emulated machine.
pub(super) fn pinned(core: usize) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = ended_with_us();
    command.args(["taskset", "-c", &core.min(cores - 1).to_string()]);
    command
}

impl ProcessGroup {
    /// Starts `command` with its output in `log`. Call it from the main thread: `pinned` commands end with the thread that started them.
    pub(super) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt;

        let output = File::create(log).with_context(|| log.display().to_string())?;
        let leader = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Also keeps the terminal's Ctrl-C to the harness, which then stops everything in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().to_string_lossy()))?;
        Ok(Self { name: name.to_owned(), leader, log: log.to_path_buf(), ended: false })
    }

    /// How the started program ended, if it has.
    pub(super) fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.leader.try_wait()?)
    }

    /// An error with the end of its log if the program is no longer there.
    pub(super) fn check_running(&mut self) -> Result<()> {
        match self.status()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}: {}", self.name, self.last_words()),
        }
    }

    /// The last lines it printed, for error messages.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return "it printed nothing".to_owned();
        }
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }

    /// All that it printed.
    pub(super) fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// The ids of the living processes of this group.
    pub(super) fn processes(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process that ends meanwhile is one that does not count.
            let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
                continue;
            };
            // The name in parentheses may contain anything; behind it come state, parent and group.
            let group = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(2));
            if group.and_then(|group| group.parse().ok()) == Some(self.leader.id()) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Asks the group to end, and makes it end when it has not after `patience`: that is an error.
    pub(super) fn stop(&mut self, patience: Duration) -> Result<()> {
        for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(5))] {
            if self.has_ended()? {
                return Ok(());
            }
            // An error means that it has just ended.
            let _ = kill_process_group(Pid::from_child(&self.leader), signal);
            // Not an interruptible wait: this is what an interrupt has to do.
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                if self.has_ended()? {
                    if signal == Signal::TERM {
                        return Ok(());
                    }
                    bail!("{} had to be killed: {}", self.name, self.last_words());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        bail!("{} cannot be stopped", self.name)
    }

    /// Ends the group as a crash would, without asking.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.check_running()?;
        kill_process_group(Pid::from_child(&self.leader), Signal::KILL)?;
        self.leader.wait()?;
        Ok(())
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// True once no process of the group is left. From then on its number may belong to somebody else.
    fn has_ended(&mut self) -> Result<bool> {
        if !self.ended {
            // Orphans that have ended do not count: in a container, nobody may ever collect them.
            self.ended = self.leader.try_wait()?.is_some() && self.processes()?.is_empty();
        }
        Ok(self.ended)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Duration::from_secs(2)) {
            eprintln!("bench: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_a_group_ends_the_children_of_its_leader_too() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60; true"]);
        let mut group = ProcessGroup::start("sh", command, &directory.path().join("log")).unwrap();
        while group.processes().unwrap().len() < 3 {
            std::thread::sleep(Duration::from_millis(5));
        }
        group.stop(Duration::from_secs(5)).unwrap();
        assert_eq!(group.processes().unwrap(), []);
    }

    #[test]
    fn a_program_that_ends_early_is_reported_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such port >&2; exit 3"]);
        let mut group = ProcessGroup::start("a", command, &directory.path().join("log")).unwrap();
        group.leader.wait().unwrap();
        let error = group.check_running().unwrap_err().to_string();
        assert!(error.contains("no such port"), "{error}");
    }
}

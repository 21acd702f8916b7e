//! Nothing stays behind, even if `narthex run` is killed: a second process holds the end of a pipe, knows the process groups of
//! all programs, and ends them when the pipe does.
//!
//! Linux's parent-death signal reaches the program itself, but not what it has started (`npm start`, a shell script), and other
//! systems have none. Programs ask for it too (`launch`), for the moment before the guard knows of them.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::launch::this_program;

/// From SIGTERM to SIGKILL: nobody waits for answers any more.
const GRACE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(20);

/// The end of the pipe that is in `narthex run`.
#[derive(Debug)]
pub(super) struct Guard(Mutex<State>);

#[derive(Debug)]
struct State {
    groups: BTreeSet<i32>,
    process: Child,
    pipe: ChildStdin,
}

impl Guard {
    /// Starts the process.
    pub(super) fn start() -> anyhow::Result<Self> {
        let (process, pipe) = spawn()?;
        Ok(Self(Mutex::new(State { groups: BTreeSet::new(), process, pipe })))
    }

    /// Ends this group if `narthex run` is no more.
    pub(super) fn watch(&self, group: Pid) {
        self.tell(group, true);
    }

    /// The group has ended.
    pub(super) fn forget(&self, group: Pid) {
        self.tell(group, false);
    }

    fn tell(&self, group: Pid, watch: bool) {
        let group = group.as_raw_nonzero().get();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sign = if watch {
            state.groups.insert(group);
            '+'
        } else {
            state.groups.remove(&group);
            '-'
        };
        if writeln!(state.pipe, "{sign}{group}").is_err() {
            // Somebody has killed it.
            let _ = state.process.wait();
            if let Err(error) = state.restart() {
                tracing::error!("programs would be left behind if this process was killed: {error:#}");
            }
        }
    }
}

impl State {
    fn restart(&mut self) -> anyhow::Result<()> {
        (self.process, self.pipe) = spawn()?;
        for group in &self.groups {
            writeln!(self.pipe, "+{group}")?;
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        // With nothing to watch it ends at the end of the pipe, which comes when the fields are dropped. Killed, it is gone now; but
        // what is still watched is for it to end.
        if state.groups.is_empty() {
            let _ = state.process.kill();
            let _ = state.process.wait();
        }
    }
}

fn spawn() -> anyhow::Result<(Child, ChildStdin)> {
    use std::os::unix::process::CommandExt;

    // In a group of its own: Ctrl-C is not for it.
    let mut process = Command::new(this_program()?)
        .arg("run-guard")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()
        .context("cannot start the process that ends programs when this one is killed")?;
    let pipe = process.stdin.take().context("the guard has no standard input")?;
    Ok((process, pipe))
}

/// What the guard does: reads which groups there are until the pipe ends, then ends them.
pub(crate) fn guard() -> anyhow::Result<()> {
    let mut groups = BTreeSet::new();
    note(std::io::stdin().lock(), &mut groups);
    end(groups.into_iter().filter_map(Pid::from_raw).collect());
    Ok(())
}

fn note(lines: impl BufRead, groups: &mut BTreeSet<i32>) {
    for line in lines.lines().map_while(Result::ok) {
        let Some((sign, group)) = line.split_at_checked(1) else { continue };
        // Not 1, and not what means many: a wrong line must not end everybody.
        let Some(group) = group.parse().ok().filter(|group| *group > 1) else { continue };
        match sign {
            "+" => drop(groups.insert(group)),
            _ => drop(groups.remove(&group)),
        }
    }
}

fn end(mut groups: Vec<Pid>) {
    for group in &groups {
        let _ = kill_process_group(*group, Signal::TERM);
    }
    let mut waited = Duration::ZERO;
    while !groups.is_empty() && waited < GRACE {
        std::thread::sleep(STEP);
        waited += STEP;
        groups.retain(|group| test_kill_process_group(*group).is_ok());
    }
    for group in groups {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    #[test]
    fn the_guard_knows_who_is_there_and_takes_nonsense_for_nothing() {
        let mut groups = BTreeSet::new();
        note(&b"+100\n+200\n-100\n+1\n+0\n+-5\nx\n\n+300\n-400\n"[..], &mut groups);
        assert_eq!(groups.into_iter().collect::<Vec<_>>(), [200, 300]);
    }

    #[test]
    fn a_group_is_ended_with_what_its_program_has_started() {
        let mut program = Command::new("sh")
            .args(["-c", "sleep 600 & echo started; wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(program.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let group = Pid::from_raw(i32::try_from(program.id()).unwrap()).unwrap();
        let waiting = std::thread::spawn(move || program.wait());
        end(vec![group]);
        assert!(!waiting.join().unwrap().unwrap().success());
        // The pipe ends when nobody of the group has it any more.
        assert_eq!(std::io::Read::read_to_string(&mut output, &mut line).unwrap(), 0);
    }
}

//! The demo's app processes: started, started again when they die, ended with the demo.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::app::READY;
use super::apps::AppName;
use crate::output::print;

/// From the start of an app until it has registered.
const START: Duration = Duration::from_secs(10);
/// From SIGTERM until SIGKILL.
const STOP: Duration = Duration::from_secs(6);
/// Long enough to see that requests wait meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(700);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An app that ran for so long gets the first pause again.
const STEADY: Duration = Duration::from_secs(10);

/// What an app is started with.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) name: AppName,
    pub(super) port: u16,
    pub(super) socket: PathBuf,
}

/// How an app is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    /// None while it does not run.
    pub(super) pid: Option<u32>,
    /// How often it was started.
    pub(super) starts: u32,
}

/// One app's status, as it is now.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) name: AppName,
    pub(super) status: watch::Receiver<Status>,
}

/// A process, and the pipe whose end tells it that the demo is gone. Apart, since waiting for the child would close it.
#[derive(Debug)]
struct Process {
    child: Child,
    _lifeline: ChildStdin,
}

/// An app that has registered.
#[derive(Debug)]
pub(super) struct Running {
    launch: Launch,
    process: Process,
    status: watch::Sender<Status>,
}

impl Running {
    /// Starts an app and waits until it serves.
    ///
    /// Cancel safe: the process is killed.
    pub(super) async fn start(launch: Launch) -> anyhow::Result<Self> {
        let process = start(&launch).await?;
        let status = watch::Sender::new(Status { pid: process.child.id(), starts: 1 });
        Ok(Self { launch, process, status })
    }

    /// Where others see how it is.
    pub(super) fn board(&self) -> Board {
        Board { name: self.launch.name, status: self.status.subscribe() }
    }

    /// Starts the app again whenever it ends, until `stopping` is true; then ends it.
    pub(super) async fn keep_running(self, mut stopping: watch::Receiver<bool>) {
        let Self { launch, mut process, status } = self;
        loop {
            let (pid, started) = (process.child.id().unwrap_or_default(), Instant::now());
            tokio::select! {
                () = told(&mut stopping) => return end(launch.name, &mut process.child).await,
                ended = process.child.wait() => {
                    status.send_modify(|status| status.pid = None);
                    let how = ended.map_or_else(|error| error.to_string(), describe);
                    print(&format!("{} (process {pid}) ended: {how}. Starting it again.", launch.name));
                }
            }
            let mut pause = if started.elapsed() >= STEADY { FIRST_PAUSE } else { FIRST_PAUSE * 2 };
            process = loop {
                tokio::select! {
                    () = told(&mut stopping) => return,
                    () = sleep(pause) => {}
                }
                // Dropped when told to stop, a process that is still starting is killed.
                let started = tokio::select! {
                    () = told(&mut stopping) => return,
                    started = start(&launch) => started,
                };
                match started {
                    Ok(process) => break process,
                    Err(error) => {
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        print(&format!("{} did not start: {error:#}. Next try in {} s.", launch.name, pause.as_secs()));
                    }
                }
            };
            let pid = process.child.id();
            status.send_modify(|status| *status = Status { pid, starts: status.starts + 1 });
            print(&format!("{} is back as process {}.", launch.name, pid.unwrap_or_default()));
        }
    }
}

async fn start(launch: &Launch) -> anyhow::Result<Process> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(program)
        .arg("demo-app")
        .args(["--prefix", &launch.name.prefix(launch.port)])
        .args(["--name", launch.name.as_str()])
        .arg("--socket")
        .arg(&launch.socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for the demo alone, which then ends the apps itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let lifeline = child.stdin.take().context("the app has no standard input")?;
    let stdout = child.stdout.take().context("the app has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line == READY {
                return Ok(true);
            }
        }
        std::io::Result::Ok(false)
    };
    match timeout(START, ready).await {
        Ok(Ok(true)) => Ok(Process { child, _lifeline: lifeline }),
        Ok(Ok(false)) => bail!("it ended before it had registered; its own message is above"),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => bail!("it did not register within {} s", START.as_secs()),
    }
}

/// Asks an app to end, and insists.
async fn end(name: AppName, child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        // It may have ended by itself; until it is waited for, its id is nobody else's.
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(STOP, child.wait()).await.is_err() {
        print(&format!("{name} did not end within {} s; it is killed.", STOP.as_secs()));
        let _ = child.kill().await;
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // Who would tell is gone: that is the end as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_end_of_a_process_is_described_by_its_signal_or_code() {
        assert_eq!(describe(ExitStatus::from_raw(9)), "killed by signal 9");
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "exit code 3");
    }
}

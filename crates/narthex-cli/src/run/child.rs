//! One process of a program: started with its endpoint and environment, waited for, asked to end, and ended.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::guard::Guard;
use super::launch::this_program;
use super::logs::{self, Label, To};
use super::programs::Program;

/// What a supervisor has and its process must not believe to be its own.
const NOT_INHERITED: [&str; 8] =
    ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "PORT", "HOST"];

/// How long what it printed may take to be passed on when it is gone.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A running process, and what it has started: a process group. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    group: Pid,
    ended: bool,
    guard: Arc<Guard>,
    /// What it prints is passed on while these run.
    logs: JoinSet<()>,
}

impl Child {
    /// Starts a process of a program, the `instance`th, from 1.
    pub(super) fn start(
        label: &Label,
        program: &Program,
        instance: u16,
        endpoint: &Endpoint,
        guard: &Arc<Guard>,
    ) -> anyhow::Result<Self> {
        let launch = &program.launch;
        let mut command = Command::new(this_program()?);
        command.args(["run-child", "--parent", &std::process::id().to_string()]);
        if let Some(listener) = endpoint.listener().context("cannot pass a socket")? {
            command.arg("--listening");
            command.fd_mappings(vec![FdMapping { parent_fd: listener, child_fd: 3 }]).context("cannot pass a socket")?;
        }
        command.arg("--").args(&launch.command);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.envs(endpoint.environment());
        command.env("NARTHEX_PREFIX", program.prefixes.join(" "));
        command.env("NARTHEX_BASE_PATH", program.base_path());
        command.env("NARTHEX_INSTANCE", instance.to_string());
        command.envs(launch.env.iter().map(|variable| (&variable.name, &variable.value)));
        if let Some(directory) = &launch.cwd {
            command.current_dir(directory);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for `narthex run` alone, which then ends its programs in order.
        command.process_group(0);
        let problem = || match &launch.cwd {
            Some(directory) if !directory.is_dir() => format!("{} is no directory", directory.display()),
            _ => "cannot start a process".to_owned(),
        };
        let mut process = command.spawn().with_context(problem)?;
        let id = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = id.context("the process has no id")?;
        guard.watch(group);
        let mut logs = JoinSet::new();
        if let Some(out) = process.stdout.take() {
            logs.spawn(logs::pass_on(out, label.clone(), To::Out));
        }
        if let Some(err) = process.stderr.take() {
            logs.spawn(logs::pass_on(err, label.clone(), To::Err));
        }
        Ok(Self { process, group, ended: false, guard: Arc::clone(guard), logs })
    }

    /// Its process id.
    pub(super) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Waits for its end, and says how it ended. What it has started ends with it.
    ///
    /// Cancel safe.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.process.wait().await;
        self.end_group();
        status.map_or_else(|error| error.to_string(), describe)
    }

    /// Asks it to end, and insists after `limit`.
    pub(super) async fn stop(&mut self, limit: Duration) {
        if self.ended {
            return;
        }
        // All of the group: a shell does not pass SIGTERM on.
        let _ = kill_process_group(self.group, Signal::TERM);
        if timeout(limit, self.process.wait()).await.is_err() {
            tracing::warn!(process = self.id(), "did not end within {limit:?} of SIGTERM, and is killed");
            let _ = kill_process_group(self.group, Signal::KILL);
            let _ = self.process.wait().await;
        }
        self.end_group();
        self.last_words().await;
    }

    /// When it has ended: waits until all is passed on that it printed, unless somebody outside of the group has its pipes.
    pub(super) async fn last_words(&mut self) {
        let all = async { while self.logs.join_next().await.is_some() {} };
        let _ = timeout(LAST_WORDS, all).await;
    }

    /// The process is gone. Its id is that of its group as long as anybody is left in it.
    fn end_group(&mut self) {
        if !self.ended {
            self.ended = true;
            let _ = kill_process_group(self.group, Signal::KILL);
            self.guard.forget(self.group);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end_group();
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

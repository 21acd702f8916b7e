//! Apps that leave because an operator wants it: `narthex restart`, where each process of a request queue starts its successor first, and
//! `narthex delete session`.

use std::time::Duration;

use narthex_proto::wire::{Message, RefusalCode};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::reservations::Caller;
use super::state::Refusal;
use crate::admin::{Answer, Leaving};
use crate::snapshot::AppId;

/// For an app to start its successor.
const STARTING: Duration = Duration::from_secs(10);
/// For the successor to register.
const REGISTERING: Duration = Duration::from_secs(30);
/// For the predecessor to finish what it has.
const LEAVING: Duration = Duration::from_secs(120);

/// A process that was kicked off may not come back for so long. Its number is somebody else's one day.
const KICKED: Duration = Duration::from_secs(600);

/// What the control connection of an app is to do.
pub(crate) enum Saying {
    /// Have a successor started, and pass on what the app answers.
    Restart { id: u64, answer: oneshot::Sender<Message> },
    /// Have the app stop.
    Leave,
    /// End.
    End,
}

impl Shared {
    pub(super) async fn restart_queue(&self, caller: &Caller, name: &str) -> Result<Answer, Refusal> {
        let apps = {
            let state = self.state.borrow();
            let (_, entry) = state.snapshot.queue_named(name).ok_or_else(|| {
                let message = format!("there is no request queue {name:?} (narthex show servicestate lists them)");
                Refusal::new(RefusalCode::NotFound, message)
            })?;
            if caller.uid != entry.queue.uid {
                caller.check_operator("restarting the request queues of others")?;
            }
            entry.apps.iter().copied().filter(|app| state.apps.get(app).is_some_and(|app| !app.has_left)).collect::<Vec<_>>()
        };
        let mut restarted = 0;
        for app in apps {
            restarted += usize::from(self.restart_app(name, app).await?);
        }
        Ok(Answer::Done(match restarted {
            0 => format!("the processes of the request queue {name:?} have left by themselves"),
            1 => format!("1 process of the request queue {name:?} was restarted"),
            _ => format!("{restarted} processes of the request queue {name:?} were restarted, one after the other"),
        }))
    }

    /// Restarts one process. `false`: it has left meanwhile.
    async fn restart_app(&self, queue: &str, app: AppId) -> Result<bool, Refusal> {
        let Some(pid) = self.state.borrow().apps.get(&app).map(|app| app.pid) else { return Ok(false) };
        let failed = |why: String| Refusal::new(RefusalCode::Other, format!("process {pid} goes on: {why}"));
        let (answer, answered) = oneshot::channel();
        let id = u64::from(pid);
        if !self.say(app, Saying::Restart { id, answer }) {
            return Ok(false);
        }
        let successor = match timeout(STARTING, answered).await {
            Ok(Ok(Message::Restarting { pid, .. })) => pid,
            Ok(Ok(Message::Refused { message, .. })) => return Err(failed(format!("it cannot start its successor: {message}"))),
            Ok(Ok(_)) | Err(_) => return Err(failed("it does not say that it has started its successor".to_owned())),
            Ok(Err(_)) => return Ok(false),
        };
        // What stays itself has restarted what is behind it.
        let Some(successor) = successor else { return Ok(true) };
        let has_come = timeout(REGISTERING, self.until(|| self.is_process_of(queue, successor))).await;
        if has_come.is_err() {
            let seconds = REGISTERING.as_secs();
            let why =
                format!("its successor, process {successor}, has not registered within {seconds} s; what that prints says why");
            return Err(failed(why));
        }
        self.say(app, Saying::Leave);
        let has_left = timeout(LEAVING, self.until(|| !self.state.borrow().apps.contains_key(&app))).await;
        if has_left.is_err() {
            let message = format!("process {pid} has a successor but does not end: stop it by hand");
            return Err(Refusal::new(RefusalCode::Other, message));
        }
        Ok(true)
    }

    pub(super) fn delete_session(&self, caller: &Caller, app: AppId, mode: Leaving) -> Result<Answer, Refusal> {
        let (pid, uid) = {
            let state = self.state.borrow();
            let found = state.apps.get(&app).filter(|app| !app.has_left);
            let found = found.ok_or_else(|| {
                let message = format!("there is no server session {app:#x} (narthex show servicestate lists them)");
                Refusal::new(RefusalCode::NotFound, message)
            })?;
            (found.pid, found.caller.uid)
        };
        if caller.uid != uid {
            caller.check_operator("sending the apps of others away")?;
        }
        let done = match mode {
            Leaving::Drain => {
                self.say(app, Saying::Leave);
                format!("process {pid} finishes what it has, and stops")
            }
            Leaving::Kick if pid == std::process::id() => {
                let message = "that is the host's own: it can be drained, or the host stopped";
                return Err(Refusal::new(RefusalCode::Invalid, message));
            }
            Leaving::Kick => {
                let now = Instant::now();
                let mut kicked = self.kicked.borrow_mut();
                kicked.retain(|_, until| *until > now);
                kicked.insert(pid, now + KICKED);
                drop(kicked);
                self.say(app, Saying::End);
                format!("process {pid} is cut off, and may not come back")
            }
        };
        Ok(Answer::Done(done))
    }

    pub(super) fn is_kicked(&self, pid: u32) -> bool {
        self.kicked.borrow().get(&pid).is_some_and(|until| *until > Instant::now())
    }

    /// Has the app's connection say something. `false` if it has none any more.
    fn say(&self, app: AppId, saying: Saying) -> bool {
        self.state.borrow().apps.get(&app).and_then(|app| app.says.as_ref()?.send(saying).ok()).is_some()
    }

    fn is_process_of(&self, queue: &str, pid: u32) -> bool {
        let state = self.state.borrow();
        state.snapshot.queue_named(queue).is_some_and(|(_, entry)| {
            entry.apps.iter().filter_map(|app| state.apps.get(app)).any(|app| app.pid == pid && !app.has_left)
        })
    }

    /// Waits until who is there has changed so that `condition` holds.
    async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let changed = self.published.notified();
            if condition() {
                return;
            }
            changed.await;
        }
    }
}

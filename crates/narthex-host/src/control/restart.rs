//! `narthex restart`: each process of a request queue starts its successor, and leaves when that has registered.

use std::time::Duration;

use narthex_proto::wire::{Message, RefusalCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Shared;
use super::reservations::Caller;
use super::state::Refusal;
use crate::admin::Answer;
use crate::snapshot::AppId;

/// For an app to start its successor.
const STARTING: Duration = Duration::from_secs(10);
/// For the successor to register.
const REGISTERING: Duration = Duration::from_secs(30);
/// For the predecessor to finish what it has.
const LEAVING: Duration = Duration::from_secs(120);

/// What the control connection of an app is to say, and who waits for the answer.
pub(crate) struct Saying {
    pub(super) message: Message,
    pub(super) answer: Option<oneshot::Sender<Message>>,
}

impl Shared {
    pub(super) async fn restart_queue(&self, caller: &Caller, name: &str) -> Result<Answer, Refusal> {
        let apps = {
            let state = self.state.borrow();
            let found = state.snapshot.queues.iter().flatten().find(|entry| entry.queue.name.as_deref() == Some(name));
            let entry = found.ok_or_else(|| {
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
        if !self.say(app, Saying { message: Message::Restart { id }, answer: Some(answer) }) {
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
        self.say(app, Saying { message: Message::Leave, answer: None });
        let has_left = timeout(LEAVING, self.until(|| !self.state.borrow().apps.contains_key(&app))).await;
        if has_left.is_err() {
            let message = format!("process {pid} has a successor but does not end: stop it by hand");
            return Err(Refusal::new(RefusalCode::Other, message));
        }
        Ok(true)
    }

    /// Has the app's connection say something. `false` if it has none any more.
    fn say(&self, app: AppId, saying: Saying) -> bool {
        self.state.borrow().apps.get(&app).and_then(|app| app.says.as_ref()?.send(saying).ok()).is_some()
    }

    fn is_process_of(&self, queue: &str, pid: u32) -> bool {
        let state = self.state.borrow();
        let entry = state.snapshot.queues.iter().flatten().find(|entry| entry.queue.name.as_deref() == Some(queue));
        entry.is_some_and(|entry| {
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

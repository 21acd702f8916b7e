//! Automatic certificates: a task for each name that a binding wants one for, which asks the CA, renews in time, and asks ever
//! more rarely while it fails. What a task needs of the listeners and the bindings it does through [`Shared`], as everybody.

mod keeper;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use narthex_http::tls::Challenges;
use narthex_proto::prefix::PrefixSpec;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_local};

use super::Shared;
use super::certificates::acme_name;
use super::ports::{Door, PortChange};
use crate::acme::{Question, Store};
use crate::admin::{AcmeState, OrderState};
use crate::config::{AcmeSettings, Challenge, Config};
use keeper::Keeper;

/// Orders at a time, of different names. A host with a thousand names should not ask for all of them in the same second.
const AT_A_TIME: usize = 4;

/// What the control thread knows of automatic certificates.
pub(super) struct Acme {
    store: Store,
    kept: RefCell<Kept>,
    turns: Rc<Semaphore>,
    /// Held while the account is opened: two that find none would make two.
    account: Rc<Mutex<()>>,
    work: mpsc::UnboundedSender<Work>,
    to_do: RefCell<Option<mpsc::UnboundedReceiver<Work>>>,
}

#[derive(Default)]
struct Kept {
    /// By which the tasks go. None before the first are started.
    settings: Option<AcmeSettings>,
    names: BTreeMap<String, Name>,
}

/// A name that is taken care of, for as long as this is there.
struct Name {
    state: Rc<RefCell<AcmeState>>,
    task: JoinHandle<()>,
}

impl Drop for Name {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to be done apart from who says so, since he may be about to end, or holds what is needed for it.
enum Work {
    /// The configuration is another one.
    Follow,
    /// A question is over.
    Undo(Undo),
}

/// What was done so that a CA gets its answer.
#[derive(Default)]
struct Undo {
    door: Option<Door>,
    /// Of an answer by HTTP.
    token: Option<String>,
}

/// An answer to a CA, which stands until this is dropped: also if the task is that has it.
struct Answering {
    undo: Undo,
    tls: Option<(Challenges, String)>,
    work: mpsc::UnboundedSender<Work>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some((challenges, name)) = self.tls.take() {
            challenges.remove(&name);
        }
        // A control thread that has ended has closed everything.
        let _ = self.work.send(Work::Undo(std::mem::take(&mut self.undo)));
    }
}

impl Acme {
    pub(super) fn new(configuration: &Path) -> Self {
        let (work, to_do) = mpsc::unbounded_channel();
        Self {
            store: Store::beside(configuration),
            kept: RefCell::default(),
            turns: Rc::new(Semaphore::new(AT_A_TIME)),
            account: Rc::default(),
            work,
            to_do: RefCell::new(Some(to_do)),
        }
    }

    /// Has the configuration followed soon.
    pub(super) fn follow(&self) {
        // A control thread that has ended has nothing to follow.
        let _ = self.work.send(Work::Follow);
    }

    /// How it goes with a name.
    pub(super) fn state(&self, name: &str) -> AcmeState {
        let kept = self.kept.borrow();
        let begins = || AcmeState { order: OrderState::Ordering, next: None, failures: 0, problem: None };
        kept.names.get(name).map_or_else(begins, |name| name.state.borrow().clone())
    }

    /// Asks nobody any more.
    pub(super) fn stop(&self) {
        self.kept.borrow_mut().names.clear();
    }
}

/// The names that bindings of a configuration want certificates for.
fn wanted(config: &Config) -> BTreeSet<String> {
    config.bindings.iter().filter_map(acme_name).map(str::to_owned).collect()
}

impl Shared {
    /// Does what the tasks leave to be done, for as long as the host runs.
    pub(super) async fn work_for_acme(self: &Rc<Self>) {
        let Some(mut to_do) = self.acme.to_do.borrow_mut().take() else { return };
        while let Some(work) = to_do.recv().await {
            match work {
                Work::Follow => self.follow_acme(),
                Work::Undo(undo) => self.undo(undo).await,
            }
        }
    }

    /// Starts a task for each name that is new, and ends those that nobody wants any more. With other settings, all begin anew:
    /// somebody may have mended what was in the way.
    fn follow_acme(self: &Rc<Self>) {
        let config = self.configuration.borrow().current().clone();
        let wanted = wanted(&config);
        let mut kept = self.acme.kept.borrow_mut();
        let at_start = kept.settings.is_none();
        if kept.settings.as_ref() != Some(&config.settings.acme) {
            kept.names.clear();
            kept.settings = Some(config.settings.acme.clone());
        }
        kept.names.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if kept.names.contains_key(&name) || self.stopping.get() {
                continue;
            }
            let keeper = Keeper::new(Rc::clone(self), name.clone(), config.settings.acme.clone());
            let state = keeper.state();
            // At the start nobody has mended anything: what was to be waited for before still is.
            let task = spawn_local(keeper.run(!at_start));
            kept.names.insert(name, Name { state, task });
        }
    }

    async fn undo(&self, undo: Undo) {
        if undo.door.is_none() && undo.token.is_none() {
            return;
        }
        let _one_at_a_time = self.changing.lock().await;
        let change = {
            let mut state = self.state.borrow_mut();
            if let Some(token) = &undo.token {
                state.snapshot.acme.remove(token);
            }
            undo.door.map_or_else(PortChange::default, |door| state.ports.close_door(&door))
        };
        self.publish(change).await;
    }

    /// Opens the port at which a CA comes, and answers it there. Returns when all workers do.
    ///
    /// # Errors
    /// Why the CA would come in vain.
    async fn answer_ca(&self, name: &str, question: &Question, settings: &AcmeSettings) -> Result<Answering, String> {
        let _one_at_a_time = self.changing.lock().await;
        if self.stopping.get() {
            return Err("the host is stopping".to_owned());
        }
        let (scheme, port) = match question.challenge {
            Challenge::TlsAlpn01 => ("https", settings.tls_port),
            Challenge::Http01 => ("http", settings.http_port),
        };
        let mut answering = Answering { undo: Undo::default(), tls: None, work: self.acme.work.clone() };
        let mut change = PortChange::default();
        {
            let mut state = self.state.borrow_mut();
            let spec: PrefixSpec = format!("{scheme}://{name}:{port}/").parse().map_err(|error| format!("{name}: {error}"))?;
            let other = |(at, speaks): (std::num::NonZeroU16, _)| at.get() == port && speaks != spec.scheme();
            if state.snapshot.routes.listening_ports().any(other) {
                return Err(format!("port {port} does not speak {scheme}"));
            }
            answering.undo.door = Some(state.ports.open_door(&spec, &mut change)?);
            match question.challenge {
                Challenge::TlsAlpn01 => {
                    let challenges = state.certificates.challenges();
                    challenges.add(name, &question.key_authorization).map_err(|error| error.to_string())?;
                    answering.tls = Some((challenges.clone(), name.to_owned()));
                }
                Challenge::Http01 => {
                    state.snapshot.acme.add(name, question);
                    answering.undo.token = Some(question.token.clone());
                }
            }
        }
        self.publish(change).await;
        Ok(answering)
    }

    /// Shows a certificate that has come to clients from the next handshake on.
    async fn take_issued(&self, name: &str) {
        let _one_at_a_time = self.changing.lock().await;
        self.state.borrow_mut().certificates.take_issued(name);
        self.publish_bindings();
    }
}

//! Keeps a server going from its start to its end: one life after the other, as its handle and its watchdog want.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narthex_proto::prefix::UrlPrefix;
use tokio::time::{Instant, sleep};

use crate::call::App;
use crate::error::{Error, Result};
use crate::lifecycle::{Event, ServerId};
use crate::lifetime::{Active, Asks, Course, Ending, Lasting, ServerHandle, Waiter, Why};
use crate::plan::{Hooks, Plan};
use crate::watchdog::{Watchdog, probing};

/// What it takes to start a server, and to start it again.
pub(crate) struct Supervisor<S> {
    plan: Plan<S>,
    hooks: Hooks,
    ending: Ending,
    lasting: Lasting,
    id: ServerId,
    /// Who waits for the start.
    starter: Option<Waiter>,
}

/// How a life of the server ended.
struct Lived {
    ended: Result<()>,
    /// Clients could connect.
    was_ready: bool,
    /// For long enough, and with an answer to the probe if there is one.
    proved: bool,
}

impl<S: App> Supervisor<S> {
    /// # Errors
    /// If there is one already.
    pub(crate) fn new(plan: Plan<S>, mut hooks: Hooks, server: &ServerHandle) -> Result<Self> {
        let id = ServerId::new();
        let ending = Ending::new(hooks.stop.take(), server, (id, plan.shutdown_timeout))?;
        Ok(Self { plan, hooks, ending, lasting: Lasting::default(), id, starter: None })
    }

    /// Runs the server until it ends.
    pub(crate) async fn run(mut self, server: ServerHandle) -> Result<()> {
        let (_active, asks) = server.begin();
        self.ending.by_process_signals()?;
        self.until_end(&server, asks).await.map_err(Error::shared)
    }

    /// Runs the server until it ends, and again when it is started again, as long as there is somebody who could do it. `first`
    /// is told of the first start, which has `begun`; if that fails, this is over.
    pub(crate) async fn stay(mut self, mut server: ServerHandle, begun: (Active, Asks), first: Waiter) {
        let mut has_started = false;
        let (mut active, mut asks) = begun;
        self.starter = Some(first);
        loop {
            let ended = self.until_end(&server, asks).await;
            match self.starter.take() {
                Some(starter) => {
                    drop(active);
                    let failed = ended.is_err();
                    let _ = starter.send(ended);
                    if failed && !has_started {
                        return;
                    }
                }
                None => active.failed(ended.err()),
            }
            has_started = true;
            let weak = server.downgrade();
            drop(server);
            self.starter = self.ending.next_start().await;
            match weak.upgrade() {
                Some(handle) if self.starter.is_some() => server = handle,
                _ => return,
            }
            (active, asks) = server.begin();
        }
    }

    /// Lets the server live until it ends for good.
    async fn until_end(&mut self, server: &ServerHandle, mut asks: Asks) -> Result<(), Arc<Error>> {
        let mut has_started = false;
        let mut attempts = 0;
        let mut by_watchdog = false;
        let mut waiters = Vec::new();
        let _part = self.id.begin();
        loop {
            waiters.append(&mut self.ending.begin());
            let lived = self.live(server, &mut asks, &mut waiters, by_watchdog).await;
            has_started |= lived.was_ready;
            if lived.proved {
                attempts = 0;
            }
            let failure = match (lived.ended, self.ending.why()) {
                (_, Some(Why::Stop)) => return Ok(()),
                (Ok(()), Some(Why::Unresponsive(error))) | (Err(error), _) => Arc::new(error),
                (Ok(()), _) => {
                    by_watchdog = false;
                    self.id.tell(Event::Restarting);
                    continue;
                }
            };
            for waiter in waiters.drain(..) {
                let _ = waiter.send(Err(Arc::clone(&failure)));
            }
            let Some(watchdog) = self.plan.watchdog.clone().filter(|watchdog| has_started && watchdog.tries_after(attempts))
            else {
                return Err(failure);
            };
            self.id.tell(Event::Restarting);
            let Watchdog { interval, .. } = watchdog;
            tracing::warn!("{failure}; the watchdog restarts the server in {interval:?}");
            by_watchdog = tokio::select! {
                () = self.ending.wait() => false,
                () = sleep(interval) => true,
            };
            if matches!(self.ending.why(), Some(Why::Stop)) {
                return Ok(());
            }
            if by_watchdog {
                attempts += 1;
                if let Some(on_restart) = &mut self.hooks.on_restart {
                    on_restart(&failure);
                }
            }
        }
    }

    /// One life. Those who wait are told when clients can connect.
    async fn live(&mut self, server: &ServerHandle, asks: &mut Asks, waiters: &mut Vec<Waiter>, by_watchdog: bool) -> Lived {
        let answered = Arc::new(AtomicBool::new(false));
        let watchdog = self.plan.watchdog.clone();
        if let Some(Watchdog { interval, probe: Some(limit), .. }) = watchdog {
            self.ending.probe(Box::pin(probing(server.clone(), interval, limit, Arc::clone(&answered))));
        }
        let Self { plan, hooks, ending, lasting, id, starter } = self;
        let Hooks { on_bind, on_ready, on_shutdown, .. } = hooks;
        let mut ready_at = None;
        let ready = |prefixes: &[UrlPrefix], behind_host: bool| {
            ready_at = Some(Instant::now());
            server.is_ready(prefixes, behind_host);
            if by_watchdog {
                server.count_watchdog_restart();
            }
            if let Some(on_ready) = on_ready {
                on_ready(prefixes);
            }
            id.tell(Event::Ready);
            for waiter in waiters.drain(..).chain(starter.take()) {
                let _ = waiter.send(Ok(()));
            }
        };
        let mut course = Course { server, ending, asks, lasting };
        let ended = plan.live(on_bind.as_mut(), &mut course, ready).await;
        server.set_reachable(false);
        if let (Some(_), Some(on_shutdown)) = (ready_at, on_shutdown) {
            on_shutdown();
        }
        let proves = |watchdog: Watchdog, ready_at: Instant| {
            ready_at.elapsed() >= watchdog.interval && (watchdog.probe.is_none() || answered.load(Ordering::Relaxed))
        };
        let proved = watchdog.zip(ready_at).is_some_and(|(watchdog, ready_at)| proves(watchdog, ready_at));
        Lived { ended, was_ready: ready_at.is_some(), proved }
    }
}

//! The processes of a program that get requests, shared by those who forward and those who supervise: which of them gets the next
//! one, who waits while there is none, and when nothing is to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use narthex::forward::Upstream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);
/// Before a process that is there but could not be connected to is tried again: its queue of connections may have been full.
const AGAIN: Duration = Duration::from_millis(100);

/// A process that gets requests.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: u64,
    pub(super) upstream: Upstream,
    /// Requests without an end, upgraded ones not among them.
    requests: AtomicUsize,
    ended_one: Notify,
    /// It was taken off because there was nothing to do.
    retired: watch::Sender<bool>,
}

impl Instance {
    pub(super) fn new(upstream: Upstream) -> Arc<Self> {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id,
            upstream,
            requests: AtomicUsize::new(0),
            ended_one: Notify::new(),
            retired: watch::Sender::new(false),
        })
    }

    /// Waits until its last request has ended. It must not get new ones.
    pub(super) async fn drained(&self) {
        loop {
            let mut one = std::pin::pin!(self.ended_one.notified());
            one.as_mut().enable();
            if self.requests.load(Ordering::Acquire) == 0 {
                return;
            }
            one.await;
        }
    }

    /// Waits until it is taken off for want of work.
    pub(super) async fn retired(&self) {
        // The sender is this.
        let _ = self.retired.subscribe().wait_for(|retired| *retired).await;
    }

    /// Requests, WebSockets and other tunnels.
    fn is_busy(&self) -> bool {
        let forwarded = || self.upstream.status().servers.iter().any(|server| server.in_flight > 0);
        self.requests.load(Ordering::Acquire) > 0 || forwarded()
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Fleet {
    state: watch::Sender<State>,
    on_demand: bool,
    wait: Duration,
    most_waiting: usize,
    waiting: AtomicUsize,
    /// From which of them the least busy one is looked for, so that those that are equally busy take turns.
    turn: AtomicUsize,
    /// When a request last came or ended.
    used: watch::Sender<Instant>,
}

#[derive(Debug, Default)]
struct State {
    instances: Vec<Arc<Instance>>,
    /// Processes are to run.
    wanted: bool,
    closed: bool,
}

/// Why a request gets no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("too many requests wait for the program to start")]
    Full,
    #[error("the program did not start in time")]
    TimedOut,
    #[error("the program is stopped")]
    Closed,
}

/// A request that a process works on, until this goes.
#[derive(Debug)]
pub(super) struct Ticket {
    fleet: Arc<Fleet>,
    pub(super) instance: Arc<Instance>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.fleet.used.send_replace(Instant::now());
        if self.instance.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.instance.ended_one.notify_waiters();
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fleet {
    /// Without processes. `on_demand`: none are wanted before a request comes.
    pub(super) fn new(on_demand: bool, wait: Duration, most_waiting: u32) -> Arc<Self> {
        Arc::new(Self {
            state: watch::Sender::new(State { wanted: !on_demand, ..State::default() }),
            on_demand,
            wait,
            most_waiting: usize::try_from(most_waiting).unwrap_or(usize::MAX),
            waiting: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            used: watch::Sender::new(Instant::now()),
        })
    }

    /// Until when a request that comes now may wait.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.wait
    }

    /// The process for a request, which is waited for if there is none. `avoid`: it has just failed with this one.
    ///
    /// Cancel safe.
    pub(super) async fn admit(self: &Arc<Self>, avoid: Option<u64>, deadline: Instant) -> Result<Ticket, Refused> {
        if let Some(ticket) = self.ticket(avoid)? {
            return Ok(ticket);
        }
        let waits = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            return Err(Refused::Full);
        }
        let mut changes = self.state.subscribe();
        let mut avoid = avoid;
        let forgiven = Instant::now() + AGAIN;
        loop {
            self.want();
            changes.mark_unchanged();
            if let Some(ticket) = self.ticket(avoid)? {
                drop(waits);
                return Ok(ticket);
            }
            tokio::select! {
                changed = timeout_at(deadline, changes.changed()) => if changed.is_err() { return Err(Refused::TimedOut) },
                () = sleep_until(forgiven), if avoid.is_some() => avoid = None,
            }
        }
    }

    fn ticket(self: &Arc<Self>, avoid: Option<u64>) -> Result<Option<Ticket>, Refused> {
        let state = self.state.borrow();
        if state.closed {
            return Err(Refused::Closed);
        }
        let instances = &state.instances;
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % instances.len().max(1);
        let fit = instances.iter().skip(start).chain(instances.iter().take(start)).filter(|instance| Some(instance.id) != avoid);
        let Some(instance) = fit.min_by_key(|instance| instance.requests.load(Ordering::Relaxed)) else { return Ok(None) };
        // While the state is borrowed, so that nobody takes it off as idle in between.
        instance.requests.fetch_add(1, Ordering::AcqRel);
        self.used.send_replace(Instant::now());
        Ok(Some(Ticket { fleet: Arc::clone(self), instance: Arc::clone(instance) }))
    }

    /// Processes are to run from now on.
    fn want(&self) {
        self.state.send_if_modified(|state| !std::mem::replace(&mut state.wanted, true));
    }

    /// Waits until processes are to run.
    pub(super) async fn wanted(&self) {
        // The sender is this.
        let _ = self.state.subscribe().wait_for(|state| state.wanted).await;
    }

    /// From now on it gets requests; and in its place `old` does not.
    pub(super) fn add(&self, instance: Arc<Instance>, old: Option<u64>) {
        // It is not idle before it has had a chance.
        self.used.send_replace(Instant::now());
        self.state.send_modify(|state| {
            state.instances.retain(|instance| Some(instance.id) != old);
            state.instances.push(instance);
            // There may have been nothing to do while it was started in the place of another one.
            state.wanted = true;
        });
    }

    /// No processes are wanted any more, if they run on demand, and there is neither one nor a request that waits for it.
    pub(super) fn rest_unless_waited_for(&self) {
        self.state.send_if_modified(|state| {
            let rests = self.on_demand && state.instances.is_empty() && self.waiting.load(Ordering::Relaxed) == 0;
            rests && std::mem::replace(&mut state.wanted, false)
        });
    }

    /// It gets no more requests.
    pub(super) fn remove(&self, id: u64) {
        self.state.send_if_modified(|state| {
            let before = state.instances.len();
            state.instances.retain(|instance| instance.id != id);
            state.instances.len() != before
        });
    }

    /// Waits until some process gets requests.
    pub(super) async fn is_ready(&self) {
        // The sender is this.
        let _ = self.state.subscribe().wait_for(|state| !state.instances.is_empty()).await;
    }

    /// No request gets a process any more, and none waits.
    pub(super) fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
    }

    /// Takes all processes off whenever there was nothing to do for so long. Never returns.
    pub(super) async fn retire_when_idle(&self, idle: Duration) {
        // The end of a tunnel is not told.
        let look = (idle / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
        loop {
            let _ = self.state.subscribe().wait_for(|state| state.wanted && !state.instances.is_empty()).await;
            sleep(look).await;
            self.retire_if_idle(idle);
        }
    }

    fn retire_if_idle(&self, idle: Duration) {
        self.state.send_if_modified(|state| {
            let waits = self.waiting.load(Ordering::Relaxed) > 0;
            if waits || state.instances.iter().any(|instance| instance.is_busy()) {
                self.used.send_replace(Instant::now());
                return false;
            }
            if self.used.borrow().elapsed() < idle {
                return false;
            }
            state.wanted = false;
            for instance in state.instances.drain(..) {
                instance.retired.send_replace(true);
            }
            true
        });
    }

    /// Waits until no request has been there for `pause`: what is left are WebSockets.
    pub(super) async fn quiet(&self, pause: Duration) {
        let mut uses = self.used.subscribe();
        loop {
            let instances = self.state.borrow().instances.clone();
            for instance in instances {
                instance.drained().await;
            }
            uses.mark_unchanged();
            let nobody_waits = self.waiting.load(Ordering::Relaxed) == 0;
            if timeout(pause, uses.changed()).await.is_err() && nobody_waits {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn instance() -> Arc<Instance> {
        Instance::new(Upstream::new("http://127.0.0.1:1").unwrap())
    }

    fn fleet(on_demand: bool, most_waiting: u32) -> Arc<Fleet> {
        Fleet::new(on_demand, Duration::from_secs(5), most_waiting)
    }

    async fn admit(fleet: &Arc<Fleet>, avoid: Option<u64>) -> Result<Ticket, Refused> {
        fleet.admit(avoid, fleet.deadline()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_on_demand_that_fails_rests_when_nobody_waits_for_it() {
        let (fleet, always) = (fleet(true, 10), fleet(false, 10));
        let waiting = tokio::spawn({
            let fleet = Arc::clone(&fleet);
            async move { admit(&fleet, None).await }
        });
        fleet.wanted().await;
        fleet.rest_unless_waited_for();
        fleet.wanted().await;
        assert_eq!(waiting.await.unwrap().unwrap_err(), Refused::TimedOut);
        fleet.rest_unless_waited_for();
        assert!(timeout(LONG, fleet.wanted()).await.is_err());
        always.rest_unless_waited_for();
        always.wanted().await;
    }

    #[tokio::test]
    async fn the_least_busy_process_is_chosen_and_equals_take_turns() {
        let fleet = fleet(false, 10);
        let (a, b) = (instance(), instance());
        fleet.add(Arc::clone(&a), None);
        fleet.add(Arc::clone(&b), None);
        let busy = admit(&fleet, Some(b.id)).await.unwrap();
        for _ in 0..5 {
            assert_eq!(admit(&fleet, None).await.unwrap().instance.id, b.id);
        }
        drop(busy);
        let chosen = [admit(&fleet, None).await.unwrap().instance.id, admit(&fleet, None).await.unwrap().instance.id];
        assert_ne!(chosen[0], chosen[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_wakes_processes_and_waits_for_one() {
        let fleet = fleet(true, 1);
        let waiting = tokio::spawn({
            let fleet = Arc::clone(&fleet);
            async move { admit(&fleet, None).await }
        });
        fleet.wanted().await;
        assert_eq!(admit(&fleet, None).await.unwrap_err(), Refused::Full);
        let one = instance();
        fleet.add(Arc::clone(&one), None);
        assert_eq!(waiting.await.unwrap().unwrap().instance.id, one.id);
        assert_eq!(fleet.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_no_longer_than_it_may() {
        let fleet = fleet(false, 10);
        let start = Instant::now();
        assert_eq!(admit(&fleet, None).await.unwrap_err(), Refused::TimedOut);
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert_eq!(fleet.waiting.load(Ordering::Relaxed), 0);
        fleet.close();
        assert_eq!(admit(&fleet, None).await.unwrap_err(), Refused::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_failed_is_tried_again_after_a_pause_if_there_is_no_other() {
        let fleet = fleet(false, 10);
        let (a, b) = (instance(), instance());
        fleet.add(Arc::clone(&a), None);
        let start = Instant::now();
        assert_eq!(admit(&fleet, Some(a.id)).await.unwrap().instance.id, a.id);
        assert_eq!(start.elapsed(), AGAIN);
        fleet.add(Arc::clone(&b), None);
        assert_eq!(admit(&fleet, Some(a.id)).await.unwrap().instance.id, b.id);
        assert_eq!(start.elapsed(), AGAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_processes_are_taken_off_and_busy_ones_are_not() {
        let fleet = fleet(true, 10);
        fleet.want();
        let one = instance();
        fleet.add(Arc::clone(&one), None);
        let idle = Duration::from_secs(60);
        let watching = tokio::spawn({
            let fleet = Arc::clone(&fleet);
            async move { fleet.retire_when_idle(idle).await }
        });
        let ticket = admit(&fleet, None).await.unwrap();
        sleep(idle * 3).await;
        assert!(!*one.retired.borrow());
        drop(ticket);
        let ended = Instant::now();
        one.retired().await;
        assert!(ended.elapsed() >= idle && ended.elapsed() < idle + Duration::from_secs(2), "{:?}", ended.elapsed());
        assert!(timeout(LONG, fleet.wanted()).await.is_err());
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_has_drained_when_its_last_request_has_ended() {
        let fleet = fleet(false, 10);
        let one = instance();
        fleet.add(Arc::clone(&one), None);
        let ticket = admit(&fleet, None).await.unwrap();
        fleet.remove(one.id);
        assert!(timeout(LONG, one.drained()).await.is_err());
        drop(ticket);
        one.drained().await;
    }
}

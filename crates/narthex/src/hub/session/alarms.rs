//! The timers of all sessions of a thread in one of the runtime's, which takes 128 bytes and is slower to look at.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, Sleep, sleep_until};

/// When somebody is woken: in milliseconds since the thread's first alarm, and behind them a number that no other of the time has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm(u64);

/// So many bits are the number's. What is left is for half a century.
const NUMBER: u32 = 24;

/// The latest moment there is.
const LAST: u64 = (u64::MAX >> NUMBER) - 1;

#[derive(Default)]
struct Alarms {
    waiting: RefCell<BTreeMap<Alarm, Waker>>,
    last_number: Cell<u64>,
    began: Cell<Option<Instant>>,
    /// All before this have gone off.
    over: Cell<u64>,
    /// The task that wakes, while there is one.
    driver: RefCell<Option<Waker>>,
}

thread_local! {
    static ALARMS: Alarms = Alarms::default();
}

impl Alarm {
    pub(super) const NEVER: Self = Self(u64::MAX);

    /// Before all of that time.
    fn at(moment: u64) -> Self {
        Self(moment << NUMBER)
    }

    fn moment(self) -> u64 {
        self.0 >> NUMBER
    }

    /// Wakes at `when` or up to a millisecond later.
    pub(super) fn set(when: Instant, waker: &Waker) -> Self {
        ALARMS.with(|alarms| alarms.set(when, waker))
    }

    /// It does not go off any more.
    pub(super) fn cancel(self) {
        if self == Self::NEVER {
            return;
        }
        // When the thread ends, so do its alarms.
        let _ = ALARMS.try_with(|alarms| alarms.waiting.borrow_mut().remove(&self));
    }

    /// Whether it has gone off.
    #[inline]
    pub(super) fn is_over(self) -> bool {
        ALARMS.with(|alarms| self.0 < alarms.over.get())
    }

    /// Whether it goes off no later than at `when`.
    pub(super) fn is_before(self, when: Instant) -> bool {
        ALARMS.with(|alarms| self.moment() <= alarms.moment(when))
    }
}

impl Alarms {
    fn began(&self) -> Instant {
        self.began.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.began.set(Some(now));
            now
        })
    }

    /// Rounded up, and never 0.
    fn moment(&self, when: Instant) -> u64 {
        let since = when.saturating_duration_since(self.began());
        u64::try_from(since.as_nanos().div_ceil(1_000_000)).map_or(LAST, |moment| (moment + 1).min(LAST))
    }

    fn set(&self, when: Instant, waker: &Waker) -> Alarm {
        let first = Alarm::at(self.moment(when)).0;
        let mut waiting = self.waiting.borrow_mut();
        let alarm = loop {
            let number = (self.last_number.get() + 1) % (1 << NUMBER);
            self.last_number.set(number);
            let alarm = Alarm(first | number);
            if let Entry::Vacant(place) = waiting.entry(alarm) {
                place.insert(waker.clone());
                break alarm;
            }
        };
        let is_first = waiting.first_key_value().is_some_and(|(first, _)| *first == alarm);
        drop(waiting);
        let mut driver = self.driver.borrow_mut();
        match &*driver {
            Some(driver) if is_first => driver.wake_by_ref(),
            Some(_) => {}
            None => {
                *driver = Some(Waker::noop().clone());
                drop(driver);
                spawn_local(drive(Driver));
            }
        }
        alarm
    }

    /// Wakes whose time has come. Never ready.
    fn poll(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        self.driver.replace(Some(cx.waker().clone()));
        loop {
            let Some(first) = self.waiting.borrow().first_key_value().map(|(first, _)| *first) else { return Poll::Pending };
            let since = Instant::now().saturating_duration_since(self.began());
            let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1) + 1;
            if first.moment() > now {
                timer.as_mut().reset(self.began() + Duration::from_millis(first.moment() - 1));
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            let after = Alarm::at(now + 1);
            self.over.set(after.0);
            let later = self.waiting.borrow_mut().split_off(&after);
            let due = self.waiting.replace(later);
            due.into_values().for_each(Waker::wake);
        }
    }
}

/// Alarms do not outlive the runtime that they were set in.
struct Driver;

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = ALARMS.try_with(|alarms| {
            drop(alarms.driver.take());
            drop(alarms.waiting.take());
            alarms.began.set(None);
            alarms.over.set(0);
        });
    }
}

async fn drive(_driver: Driver) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| ALARMS.with(|alarms| alarms.poll(cx, timer.as_mut()))).await;
}

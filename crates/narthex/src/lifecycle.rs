//! What the process's servers tell whoever started the process, and how it asks them to stop.
//!
//! One process has one service manager, so this is the process's own. Nobody listens unless the feature `service` does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

/// What happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It opens its ports, or registers.
    Starting,
    /// Clients can connect.
    Ready,
    /// One life is over, and another begins.
    Restarting,
    /// It finishes what runs, for at most so long.
    Stopping(Duration),
    /// It is over, whether it was ready or not.
    Ended,
}

/// One server among the process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServerId(u64);

type Listener = Box<dyn Fn(ServerId, Event) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();
static BEATING: OnceLock<Hearts> = OnceLock::new();
static STOP: OnceLock<watch::Sender<bool>> = OnceLock::new();

/// Has `listener` told of every server of this process. The first one stays.
#[cfg_attr(not(feature = "service"), allow(dead_code, reason = "only services listen"))]
pub(crate) fn listen(listener: impl Fn(ServerId, Event) + Send + Sync + 'static) {
    let _ = LISTENER.set(Box::new(listener));
}

/// Asks the process's servers to stop, as SIGTERM does where there are signals.
#[cfg_attr(not(all(windows, feature = "service")), allow(dead_code, reason = "only Windows stops services without a signal"))]
pub(crate) fn ask_to_stop() {
    STOP.get_or_init(|| watch::Sender::new(false)).send_replace(true);
}

/// Waits until [`ask_to_stop`] is called.
#[cfg_attr(unix, allow(dead_code, reason = "Unix has signals"))]
pub(crate) async fn stop_asked() {
    let mut asked = STOP.get_or_init(|| watch::Sender::new(false)).subscribe();
    let _ = asked.wait_for(|asked| *asked).await;
}

impl ServerId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn tell(self, event: Event) {
        if let Some(listener) = LISTENER.get() {
            listener(self, event);
        }
    }

    /// It starts. Whatever ends it drops what is returned, and so has its end told.
    pub(crate) fn begin(self) -> Part {
        self.tell(Event::Starting);
        Part(self)
    }
}

/// A server that is alive.
#[derive(Debug)]
pub(crate) struct Part(ServerId);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.tell(Event::Ended);
    }
}

/// The runtimes that a watchdog looks at: whoever holds a thread shows it here.
#[derive(Debug)]
pub(crate) struct Hearts {
    period: Duration,
    all: Mutex<Vec<Weak<AtomicU64>>>,
}

/// A runtime that is looked at for as long as this is held.
#[derive(Clone, Debug)]
pub(crate) struct Heart {
    beats: Arc<AtomicU64>,
    period: Duration,
}

/// Has each worker beat every `period` from now on. The first one stays.
#[cfg_attr(not(all(unix, feature = "service")), allow(dead_code, reason = "only services of systemd have a watchdog"))]
pub(crate) fn watch_hearts(period: Duration) -> &'static Hearts {
    BEATING.get_or_init(|| Hearts { period, all: Mutex::default() })
}

impl Heart {
    /// One more, if anybody looks.
    pub(crate) fn new() -> Option<Self> {
        let hearts = BEATING.get()?;
        let beats = Arc::new(AtomicU64::new(0));
        hearts.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&beats));
        Some(Self { beats, period: hearts.period })
    }

    /// Beats on this runtime until the heart is dropped where it is held.
    pub(crate) async fn beat(self) {
        let Self { beats, period } = self;
        let held = Arc::downgrade(&beats);
        drop(beats);
        while let Some(beats) = held.upgrade() {
            beats.fetch_add(1, Ordering::Relaxed);
            drop(beats);
            tokio::time::sleep(period).await;
        }
    }
}

impl Hearts {
    /// How often each beats by now; those of runtimes that have ended are left out.
    #[cfg_attr(not(all(unix, feature = "service")), allow(dead_code, reason = "only services of systemd have a watchdog"))]
    pub(crate) fn look(&self) -> Vec<(Weak<AtomicU64>, u64)> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|heart| heart.strong_count() > 0);
        all.iter().filter_map(|heart| Some((Weak::clone(heart), heart.upgrade()?.load(Ordering::Relaxed)))).collect()
    }
}

/// Whether each heart of an earlier look has beaten since, or is no more.
#[cfg_attr(not(all(unix, feature = "service")), allow(dead_code, reason = "only services of systemd have a watchdog"))]
pub(crate) fn all_beat_since(earlier: &[(Weak<AtomicU64>, u64)]) -> bool {
    earlier.iter().all(|(heart, beats)| heart.upgrade().is_none_or(|heart| heart.load(Ordering::Relaxed) != *beats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_hangs_is_seen_and_one_that_ended_is_not() {
        let hearts = watch_hearts(Duration::from_secs(1));
        let (turning, hanging, over) = (Heart::new().unwrap(), Heart::new().unwrap(), Heart::new().unwrap());
        let mine = |look: Vec<(Weak<AtomicU64>, u64)>| -> Vec<_> {
            // Other tests of this process may have hearts too.
            let ours = [&turning, &hanging].map(|heart| Arc::as_ptr(&heart.beats));
            look.into_iter().filter(|(heart, _)| ours.contains(&heart.as_ptr())).collect()
        };
        let beating = tokio::spawn(turning.clone().beat());
        drop(over);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let look = mine(hearts.look());
        assert_eq!(look.len(), 2);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!all_beat_since(&look), "one hangs");
        drop(hanging);
        assert!(all_beat_since(&look), "what hung is no more");
        drop(turning);
        beating.await.unwrap();
    }
}

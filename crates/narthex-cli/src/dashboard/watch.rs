//! Tells those who watch how it goes, each second, as long as anybody does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use narthex_host::admin::Client;

use super::{Inner, look};

const INTERVAL: Duration = Duration::from_secs(1);

/// The thread that asks the host. It ends soon after this is dropped.
pub(super) struct Watching {
    over: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.thread.iter().for_each(Thread::unpark);
    }
}

pub(super) fn start(inner: &Arc<Inner>) -> Watching {
    let over = Arc::new(AtomicBool::new(false));
    let (watched, ending) = (Arc::downgrade(inner), Arc::clone(&over));
    let started = thread::Builder::new().name("narthex-dashboard".to_owned()).spawn(move || watch(&watched, &ending));
    let thread = match started {
        Ok(started) => {
            let thread = started.thread().clone();
            let sleeping = thread.clone();
            inner.watchers.on_open(move |_| {
                sleeping.unpark();
                async {}
            });
            Some(thread)
        }
        Err(error) => {
            tracing::error!(%error, "the dashboard shows nothing live: its thread cannot be started");
            None
        }
    };
    Watching { over, thread }
}

fn watch(inner: &Weak<Inner>, over: &AtomicBool) {
    let mut client = None;
    while !over.load(Ordering::Acquire) {
        let Some(inner) = inner.upgrade() else { return };
        if inner.watchers.is_empty() {
            client = None;
            drop(inner);
            // Whoever comes wakes it, also if that was just before.
            thread::park();
            continue;
        }
        if client.is_none() {
            client = Client::connect(&inner.socket).ok();
        }
        match client.as_mut().map(look::view) {
            // Who reads too slowly needs the latest only.
            Some(Ok(view)) => _ = inner.watchers.broadcast(view.to_string()).latest("view").send(),
            _ => client = None,
        }
        drop(inner);
        thread::sleep(INTERVAL);
    }
}

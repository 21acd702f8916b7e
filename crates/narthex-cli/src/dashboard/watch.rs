//! Tells those who watch how it goes, each second, as long as anybody does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use narthex_host::admin::Client;

use super::{Inner, look};

const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether anybody watches.
const LOOK: Duration = Duration::from_millis(200);

/// The thread that asks the host. It ends soon after this is dropped.
pub(super) struct Watching(Arc<AtomicBool>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) fn start(inner: &Arc<Inner>) -> Watching {
    let over = Arc::new(AtomicBool::new(false));
    let watching = Watching(Arc::clone(&over));
    let inner = Arc::downgrade(inner);
    let started = thread::Builder::new().name("narthex-dashboard".to_owned()).spawn(move || watch(&inner, &over));
    if let Err(error) = started {
        tracing::error!(%error, "the dashboard shows nothing live: its thread cannot be started");
    }
    watching
}

fn watch(inner: &Weak<Inner>, over: &AtomicBool) {
    let mut client = None;
    while !over.load(Ordering::Relaxed) {
        let Some(inner) = inner.upgrade() else { return };
        if inner.watchers.is_empty() {
            client = None;
            drop(inner);
            thread::sleep(LOOK);
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

//! Starting workers: a named thread each, with a current-thread runtime and a place for tasks that are not `Send`.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::runtime;
use tokio::task::LocalSet;

/// How many workers a server starts unless told otherwise: one per core.
#[must_use]
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the future that `start` makes on a thread of its own until it ends.
///
/// `start` runs on that thread, inside the runtime and the [`LocalSet`], so that it can make what is not `Send`.
///
/// # Errors
/// If the OS refuses a thread or an event queue.
pub fn spawn_worker<F, Fut>(name: String, start: F) -> io::Result<JoinHandle<Fut::Output>>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future,
    Fut::Output: Send + 'static,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Builder::new().name(name).spawn(move || {
        let local = LocalSet::new();
        let output = local.block_on(&runtime, async move { start().await });
        // Tasks that still hold the worker's state go before the runtime they need.
        drop(local);
        output
    })
}

//! The process's own signals to stop.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A future that says when to stop.
pub(crate) type StopSignal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends with the process's first signal to stop. The second ends the process: whoever sends it does not want to wait, for the server
/// or for what the program does after it.
pub(crate) fn process_signals() -> std::io::Result<(StopSignal, Watching)> {
    let mut signals = Signals::new()?;
    let (first, received) = oneshot::channel();
    let has_come = Arc::new(AtomicBool::new(false));
    let coming = Arc::clone(&has_come);
    let task = tokio::spawn(async move {
        signals.next().await;
        coming.store(true, Ordering::Release);
        tracing::info!("stopping; a second signal ends the process at once");
        let _ = first.send(());
        std::process::exit(signals.next().await);
    });
    let watching = Watching { task, has_come };
    let signal = Box::pin(async move {
        let _ = received.await;
    });
    Ok((signal, watching))
}

/// SIGTERM and SIGINT.
#[cfg(unix)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one, and gives the exit code of a process that it ends.
    async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        };
        128 + kind.as_raw_value()
    }
}

/// Ctrl-C, and what the service manager asks.
#[cfg(not(unix))]
struct Signals {
    /// It asks once.
    was_asked: bool,
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { was_asked: false })
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            () = crate::lifecycle::stop_asked(), if !self.was_asked => {
                self.was_asked = true;
                0
            }
            Ok(()) = tokio::signal::ctrl_c() => 130,
            else => std::future::pending().await,
        }
    }
}

/// The task that waits for signals. It ends with the server, unless that was told to stop by one: tokio catches signals for as long as the
/// process lives, so that without the task the next would do nothing.
pub(crate) struct Watching {
    task: JoinHandle<()>,
    has_come: Arc<AtomicBool>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if !self.has_come.load(Ordering::Acquire) {
            self.task.abort();
        }
    }
}

//! The process's own signals to stop.

use std::pin::Pin;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A future that says when to stop.
pub(crate) type StopSignal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Ends with the process's first signal to stop. The second, while the server still stops, ends the process: whoever sends
/// it does not want to wait.
pub(super) fn process_signals() -> std::io::Result<(StopSignal, Watching)> {
    let mut signals = Signals::new()?;
    let (first, received) = oneshot::channel();
    let watching = Watching(tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; a second signal ends the process at once");
        let _ = first.send(());
        std::process::exit(signals.next().await);
    }));
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

/// The task that waits for signals. It ends with the server.
pub(super) struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

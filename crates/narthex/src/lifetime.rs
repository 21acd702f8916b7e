//! How a server starts, goes on and stops in order: the handle, what is asked of the server by it, and the workers' phases.

mod asked;
mod course;
mod handle;
mod signals;
mod workers;

pub(crate) use asked::{Answer, Asks, What};
pub(crate) use course::{Course, Ending, Lasting, Waiter, Why};
pub(crate) use handle::Active;
pub use handle::ServerHandle;
pub(crate) use signals::StopSignal;
#[cfg(feature = "ui")]
pub(crate) use signals::process_signals;
pub(crate) use workers::{Phases, Return, Workers};

//! The rules of Narthex as pure values: no I/O, no clock, no runtime.
//!
//! * [`prefix`]: URL prefixes, what apps register and operators reserve.
//! * [`host`] and [`cooked`]: a request's host and target in the one form that routes.
//! * [`routing`]: which registration or reservation gets a request, and [`explain`]: why.
//! * [`trace`]: what a request tells of the trace that it belongs to.
//! * [`wire`]: the framed protocol between host and apps.

mod case;
pub mod cooked;
pub mod explain;
pub mod host;
pub mod prefix;
pub mod routing;
pub mod terminal;
pub mod trace;
pub mod wire;

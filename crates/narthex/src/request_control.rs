//! What a handler and its tasks can learn of a request's client and do to it, from whatever thread.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio::sync::Notify;

use crate::downstream::Downstream;

/// The client of one request: whether it is still there, and a way to be rid of it.
///
/// Requests have it in their extensions if the server is told so with
/// [`request_control`](crate::Server::request_control). Clones are of the same request, and work anywhere: also in tasks that
/// outlive the handler, whose future is dropped when the client's connection breaks.
///
/// ```
/// use narthex::RequestControl;
///
/// # async fn search() -> String { String::new() }
/// # async fn stop_the_search() {}
/// async fn handler(control: RequestControl) -> String {
///     tokio::select! {
///         found = search() => found,
///         _ = control.disconnected() => {
///             stop_the_search().await;
///             String::new()
///         }
///     }
/// }
/// # async fn with_axum(axum::Extension(control): axum::Extension<RequestControl>) -> String { handler(control).await }
/// ```
#[derive(Clone)]
pub struct RequestControl(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    disconnected: bool,
    cancelled: bool,
    /// The response is complete: nothing changes any more.
    over: bool,
    /// The task that works on the request.
    call: Option<Waker>,
}

impl RequestControl {
    /// Gives a request a control, whose other end is returned.
    pub(crate) fn give<B>(request: &mut http::Request<B>) -> Watched {
        let control = Self(Arc::default());
        request.extensions_mut().insert(control.clone());
        Watched { control, told: false }
    }

    /// Waits until the client has gone, or until the request is over. `true`: it has gone.
    ///
    /// Gone is a client that has closed its connection, in order (FIN) or not (RST), or lost it, also by a timer of the server.
    /// A client that only closes its sending side looks the same: its request goes on, and its answer is sent, for 10 seconds
    /// more; only then is the handler's future dropped. A client that goes away without a word is seen to have gone only when
    /// something is sent to it.
    ///
    /// `false`: the response was complete first. After that nothing is told about the client.
    ///
    /// Cancel safe.
    pub async fn disconnected(&self) -> bool {
        loop {
            let changed = self.0.changed.notified();
            {
                let state = self.0.state();
                if state.disconnected || state.over {
                    return state.disconnected;
                }
            }
            changed.await;
        }
    }

    /// Whether the client has gone; see [`disconnected`](Self::disconnected).
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.0.state().disconnected
    }

    /// Breaks the client's connection off without an answer, or without the rest of it (`Request_Cancelled` in logs). The
    /// handler's future or the response's body is dropped. Does nothing once the response is complete.
    pub fn cancel(&self) {
        let mut state = self.0.state();
        if state.over {
            return;
        }
        state.cancelled = true;
        let call = state.call.take();
        drop(state);
        if let Some(call) = call {
            call.wake();
        }
    }
}

impl fmt::Debug for RequestControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestControl").field("is_disconnected", &self.is_disconnected()).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a [`RequestControl`] that the call has. Dropped before the call was over, it says that the client has gone.
pub(crate) struct Watched {
    control: RequestControl,
    told: bool,
}

impl Watched {
    /// Whether the request was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.control.0.state().cancelled
    }

    /// Passes on whether the client has gone, and has `cx` woken when the request is cancelled. Returns whether it is.
    pub(crate) fn look(&mut self, cx: &Context<'_>, downstream: &impl Downstream) -> bool {
        if !self.told && downstream.client_has_closed() {
            self.told = true;
            self.disconnected();
        }
        let mut state = self.control.0.state();
        let known = state.call.as_ref().is_some_and(|call| call.will_wake(cx.waker()));
        let before = if known { None } else { state.call.replace(cx.waker().clone()) };
        let cancelled = state.cancelled;
        drop(state);
        drop(before);
        cancelled
    }

    /// The request has its answer.
    pub(crate) fn over(self) {
        let mut state = self.control.0.state();
        state.over = !state.cancelled;
    }

    fn disconnected(&self) {
        self.control.0.state().disconnected = true;
        self.control.0.changed.notify_waiters();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.control.0.state();
        // A waker keeps its task's memory.
        let call = state.call.take();
        let gone = !state.over;
        state.disconnected |= gone;
        state.over = true;
        drop(state);
        drop(call);
        self.control.0.changed.notify_waiters();
    }
}

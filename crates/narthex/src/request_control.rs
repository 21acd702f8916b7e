//! What a handler and its tasks can learn of a request's client and do to it, from whatever thread.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use http::header::LINK;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Notify;

use crate::downstream::Downstream;

/// Interim responses that a request may have. Nothing makes a client read them, and what it does not read is kept.
const MOST_INTERIM: usize = 16;

/// The client of one request: whether it is still there, a way to be rid of it, and what it is told before the response.
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
    /// Interim responses that are not sent yet.
    interim: VecDeque<(StatusCode, HeaderMap)>,
    /// How many there were.
    informed: usize,
    /// Nothing can come before the response any more.
    answered: bool,
    /// The task that works on the request.
    call: Option<Waker>,
}

/// Why no interim response was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotInformed {
    /// The response has begun, or the client has gone.
    #[error("the response has begun, or the client has gone: an interim response comes before")]
    TooLate,
    /// 16 interim responses were sent.
    #[error("a request may have {MOST_INTERIM} interim responses, and this one has had them")]
    TooMany,
    /// The status is none of 102 to 199: 100 and 101 are the server's to send.
    #[error("{0} is no status of an interim response: take 103 (early hints) or another one from 102 to 199")]
    Status(StatusCode),
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

    /// Tells a browser what it can load while the handler works: `103 Early Hints` (RFC 8297) with a `Link` field for each
    /// of `links`, such as `</style.css>; rel=preload; as=style`. The response should have the same fields once more.
    ///
    /// Sent over HTTP/2 and HTTP/3 this is safe. Browsers do not look at it over HTTP/1.1, where some old clients take it for the
    /// response; [`ConnectionInfo`](crate::ConnectionInfo) has the version. Clients of HTTP/1.0 get none.
    ///
    /// ```
    /// # use axum::{Extension, http::HeaderValue, response::Html};
    /// # async fn render() -> String { String::new() }
    /// async fn page(Extension(control): Extension<narthex::RequestControl>) -> Html<String> {
    ///     // It does not matter if they come too late.
    ///     let _ = control.early_hints([HeaderValue::from_static("</style.css>; rel=preload; as=style")]);
    ///     Html(render().await)
    /// }
    /// ```
    ///
    /// # Errors
    /// See [`inform`](Self::inform).
    pub fn early_hints(&self, links: impl IntoIterator<Item = HeaderValue>) -> Result<(), NotInformed> {
        let headers = links.into_iter().map(|link| (LINK, link)).collect();
        self.inform(StatusCode::EARLY_HINTS, headers)
    }

    /// Sends an interim response, of a status from 102 to 199, before the response. It is sent at once, from whatever thread this
    /// is called, and in this order. Fields about the connection or about framing are left out, also `Content-Length`.
    ///
    /// # Errors
    /// If it is too late, if the request has had 16 already, or if the status is another one.
    pub fn inform(&self, status: StatusCode, headers: HeaderMap) -> Result<(), NotInformed> {
        if !(102..200).contains(&status.as_u16()) {
            return Err(NotInformed::Status(status));
        }
        let mut state = self.0.state();
        if state.answered || state.over || state.cancelled {
            return Err(NotInformed::TooLate);
        }
        if state.informed == MOST_INTERIM {
            return Err(NotInformed::TooMany);
        }
        state.informed += 1;
        state.interim.push_back((status, headers));
        let call = state.call.take();
        drop(state);
        if let Some(call) = call {
            call.wake();
        }
        Ok(())
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

    /// Passes on whether the client has gone, sends interim responses, and has `cx` woken when the request is cancelled or there are
    /// more of them. Returns whether it is cancelled.
    pub(crate) fn look(&mut self, cx: &Context<'_>, downstream: &impl Downstream) -> bool {
        if !self.told && downstream.client_has_closed() {
            self.told = true;
            self.disconnected();
        }
        let mut state = self.control.0.state();
        let known = state.call.as_ref().is_some_and(|call| call.will_wake(cx.waker()));
        let before = if known { None } else { state.call.replace(cx.waker().clone()) };
        let cancelled = state.cancelled;
        let interim = std::mem::take(&mut state.interim);
        drop(state);
        drop(before);
        send(interim, downstream);
        cancelled
    }

    /// The response begins: what is to come before is sent, and nothing after.
    pub(crate) fn answers(&self, downstream: &impl Downstream) {
        let mut state = self.control.0.state();
        state.answered = true;
        let interim = std::mem::take(&mut state.interim);
        drop(state);
        send(interim, downstream)
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

fn send(interim: VecDeque<(StatusCode, HeaderMap)>, downstream: &impl Downstream) {
    for (status, headers) in interim {
        // The response goes on without. That the client has gone is seen by whoever answers.
        let _ = downstream.inform(status, &headers);
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

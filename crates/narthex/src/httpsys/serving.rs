//! A request that was not answered at once: the app's future, and what HTTP.sys still has to be given.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use narthex_httpsys::Exchange;

use super::stream::Stream;
use crate::call::{App, Running};

/// The task of a request.
pub(super) struct Serving<S: App> {
    call: Option<Running<S, Stream>>,
    exchange: Rc<Exchange>,
}

impl<S: App> Serving<S> {
    /// `None` if it is over already.
    pub(super) fn begin(call: Option<Running<S, Stream>>, exchange: Rc<Exchange>) -> Option<Self> {
        let serving = Self { call, exchange };
        // Nothing is lost by a waker that wakes nobody: whoever goes on polls all of it first.
        let over = serving.exchange.poll(&mut Context::from_waker(Waker::noop())).is_ready();
        (!over).then_some(serving)
    }
}

impl<S: App> Future for Serving<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if let Some(call) = &mut this.call
                && Pin::new(call).poll(cx).is_ready()
            {
                this.call = None;
            }
            let held_back = this.exchange.holds_back();
            if this.exchange.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // An app whose client has gone is told so by the end of its future.
            if this.exchange.client_has_gone() || this.call.is_none() && this.exchange.is_open() {
                this.exchange.cancel();
                return Poll::Ready(());
            }
            // Nobody wakes an app that waits for HTTP.sys if what it waits for came of this very poll.
            if !held_back || this.exchange.holds_back() {
                return Poll::Pending;
            }
        }
    }
}

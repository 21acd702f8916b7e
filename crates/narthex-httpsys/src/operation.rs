//! A call that HTTP.sys completes later, on any thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::Code;

/// What can be told to complete now.
pub trait Cancel: Send + Sync {
    /// Completes the operation with [`Code::OPERATION_ABORTED`], unless it has completed.
    fn cancel(&self);
}

/// The result of a call, there already or still to come.
///
/// Dropping it does not cancel the call: what HTTP.sys works on belongs to the call itself.
#[must_use = "the result is lost otherwise"]
pub struct Operation<T> {
    state: State<T>,
    cancel: Option<Arc<dyn Cancel>>,
}

enum State<T> {
    /// Taken by the poll that returns it.
    Done(Option<Result<T, Code>>),
    Pending(oneshot::Receiver<Result<T, Code>>),
}

impl<T> Operation<T> {
    /// One that has completed at once.
    pub fn done(result: Result<T, Code>) -> Self {
        Self { state: State::Done(Some(result)), cancel: None }
    }

    /// One that completes when the sender is used.
    pub fn pending(result: oneshot::Receiver<Result<T, Code>>, cancel: Option<Arc<dyn Cancel>>) -> Self {
        Self { state: State::Pending(result), cancel }
    }

    /// Completes the operation now, if it has not completed and can be cancelled. Its result still comes.
    pub fn cancel(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }
}

impl<T> Unpin for Operation<T> {}

impl<T> Future for Operation<T> {
    type Output = Result<T, Code>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.state {
            // Who polls again after the end has missed the result.
            State::Done(result) => return Poll::Ready(result.take().unwrap_or(Err(Code::OPERATION_ABORTED))),
            State::Pending(result) => ready!(Pin::new(result).poll(cx)),
        };
        self.state = State::Done(None);
        Poll::Ready(result.unwrap_or(Err(Code::OPERATION_ABORTED)))
    }
}

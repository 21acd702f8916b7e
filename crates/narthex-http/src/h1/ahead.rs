//! What a connection watches while an exchange runs: the client's next bytes, its going away, the end of a tunnel.

use std::task::{Context, Poll};

use crate::h1::conn::Conn;
use crate::h1::encode::Framing;
use crate::h1::state::{Body, Reply, State, reason_of};
use crate::reason::Reason;

/// Bytes of later requests that are read while one is in progress.
pub(crate) const READ_AHEAD: usize = 64 * 1024;

impl Conn {
    /// Ends an upgraded connection when both sides have ended theirs, or the app has and nobody reads what the client sends.
    pub(crate) fn poll_tunnel_end(&self, cx: &mut Context<'_>, state: &mut State, abandoned: bool) -> bool {
        if state.reply != Reply::Streaming(Framing::Raw) || !state.write_closed || !state.output.is_empty() {
            return false;
        }
        if state.read_closed || abandoned {
            state.reply = Reply::Complete;
            state.exchange_is_over();
            return true;
        }
        let _ = state.transport.poll_shutdown(cx);
        if state.deadlines.reading().is_none() {
            let now = self.now();
            state.deadlines.read_within(now, self.timeouts().drain_entity_body, Reason::TimerDrainEntityBody);
        }
        false
    }

    /// Watches the client while its request is in progress: for what it sends, which is kept within a bound, and for its
    /// going away. Returns whether anything came.
    pub(crate) fn poll_ahead(&self, cx: &mut Context<'_>, state: &mut State) -> bool {
        let mut arrived = false;
        while !state.read_closed && state.broken.is_none() && state.input.len() < READ_AHEAD {
            let mut buffer = self.worker().take_read_buffer();
            let read = state.transport.poll_read(cx, &mut buffer);
            match read {
                Poll::Ready(Ok(0)) => {
                    arrived = true;
                    state.read_closed = true;
                    match state.body {
                        Body::Raw => {}
                        _ if !state.rest_of_body_is_here() => state.break_off(Reason::ConnectionDropped),
                        _ => {
                            let now = self.now();
                            state.deadlines.half_closed(now);
                        }
                    }
                }
                Poll::Ready(Ok(length)) => {
                    arrived = true;
                    state.input.extend_from_slice(&buffer[..length]);
                }
                Poll::Ready(Err(error)) => state.break_off(reason_of(&error)),
                Poll::Pending => {
                    self.worker().return_read_buffer(buffer);
                    return arrived;
                }
            }
            self.worker().return_read_buffer(buffer);
        }
        arrived
    }
}

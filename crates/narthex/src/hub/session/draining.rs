//! What happens to a hub's connections when their server begins to stop.

use std::sync::Arc;

use narthex_ws::CloseCode;

use crate::hub::Inner;
use crate::lifetime::{Phases, Return};

/// As many clients as an app should let in per second.
const PER_SECOND: usize = 2_000;

/// Closes the hub's connections of this thread when its server begins to stop: with 1012 if it comes back, else with 1001.
pub(in crate::hub) fn close_when_draining(hub: &Arc<Inner>) {
    thread_local! {
        static WATCHED: std::cell::RefCell<Vec<std::sync::Weak<Inner>>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let Some(mut phases) = Phases::of_this_thread() else { return };
    let is_new = WATCHED.with_borrow_mut(|watched| {
        watched.retain(|known| known.strong_count() > 0);
        let is_new = !watched.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(hub)));
        if is_new {
            watched.push(Arc::downgrade(hub));
        }
        is_new
    });
    if !is_new {
        return;
    }
    let (hub, thread) = (Arc::downgrade(hub), std::thread::current().id());
    tokio::task::spawn_local(async move {
        let back = phases.draining().await;
        let Some(hub) = hub.upgrade() else { return };
        let lists: Vec<_> = hub.peers.lists().collect();
        let all = hub.peers.len();
        let (code, reason) = match back {
            Return::Expected => (CloseCode::SERVICE_RESTART, come_again(all)),
            Return::Unknown => (CloseCode::GOING_AWAY, "the server stops".to_owned()),
        };
        for peer in lists.iter().flat_map(|list| list.iter()).filter(|peer| peer.0.thread == thread) {
            peer.close(code, &reason);
        }
    });
}

/// What so many clients that are sent away at once are told. `narthex.js` reads the seconds.
fn come_again(clients: usize) -> String {
    format!("the server restarts: reconnect within {} s, at random", clients.div_ceil(PER_SECOND).clamp(1, 60))
}

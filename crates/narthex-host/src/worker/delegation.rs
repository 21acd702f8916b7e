//! Delegation: an app hands a request whose body it has not read to another queue, which answers it.

use std::rc::Rc;
use std::sync::Arc;

use narthex_proto::cooked::{self, Cooking};
use narthex_proto::prefix::UrlPrefix;
use narthex_proto::wire::Principal;

use crate::control::reservations::is_operator;
use crate::snapshot::{Queue, QueueEntry, Snapshot};
use crate::worker::WorkerState;
use crate::worker::queue::{Shard, Waiting};

impl WorkerState {
    /// Moves a request from the queue of `from` to the named one. `url` is the target (path and query) that the other app
    /// is to see; empty for the request's own.
    ///
    /// # Errors
    /// Says why not. The request has no answer then.
    pub(crate) fn delegate(&self, from: &Rc<Shard>, request: Rc<Waiting>, queue: &str, url: &str) -> Result<(), &'static str> {
        if !request.hop() {
            return Err("it was delegated too often: apps seem to delegate to each other in circles");
        }
        let snapshot = Arc::clone(&self.snapshot.borrow());
        let (index, entry) = snapshot.queue_named(queue).ok_or("no app has a request queue of that name open")?;
        if !entry.rules.accepts_delegation || !lets_in(entry, &from.queue) {
            return Err("that request queue accepts no delegation from this app: its app has to say so when it registers");
        }
        if !may_have(&snapshot, &from.queue, entry) {
            return Err(
                "that request queue belongs to another user: the queue that delegates to it must name that user as an opener",
            );
        }
        if !entry.rules.active {
            return Err("that request queue is inactive");
        }
        let shard = self.shards.borrow().get(index).and_then(Option::clone).ok_or("that request queue is not here yet")?;
        readdress(&snapshot, index, &request, url)?;
        shard.take_over(request);
        Ok(())
    }
}

/// Who may open a queue may delegate to it. Groups are known to the control thread only.
fn lets_in(entry: &QueueEntry, from: &Queue) -> bool {
    entry.queue.uid == from.uid
        || entry.openers.iter().any(|opener| matches!(opener, Principal::Everyone) || *opener == Principal::User(from.uid))
}

/// Whether the owner of a queue may have requests of the queue `from`: anybody can take a name that another app delegates to.
/// Who may open a queue may have its requests anyway.
fn may_have(snapshot: &Snapshot, from: &Queue, entry: &QueueEntry) -> bool {
    let uid = entry.queue.uid;
    let source = snapshot.queues.iter().flatten().find(|source| source.queue.id == from.id);
    uid == from.uid
        || is_operator(uid)
        || source.is_some_and(|source| {
            source.openers.iter().any(|opener| match opener {
                Principal::User(user) => *user == uid,
                Principal::Group(gid) => entry.gids.contains(gid),
                Principal::Everyone => true,
            })
        })
}

/// Makes the request one for an app of the queue at `index`: below the longest of its prefixes that covers the target, or
/// else with the whole path, as if that app were alone on the port.
fn readdress(snapshot: &Snapshot, index: usize, request: &Waiting, url: &str) -> Result<(), &'static str> {
    let own = request_target(&request.head).ok_or("the request has no target")?;
    let target = if url.is_empty() { own } else { url };
    // Strict or not was decided when the request came.
    let cooked = cooked::cook(target, Cooking::Strict).or_else(|_| cooked::cook(target, Cooking::HttpSys));
    let cooked = cooked.map_err(|_| "the URL given with it is no path")?;
    let in_queue = |group: usize| snapshot.group(group).is_some_and(|group| group.queue == index);
    let registrations = snapshot.routes.registrations().filter(|(_, registration)| in_queue(registration.group));
    let covers = |prefix: &UrlPrefix| prefix.covers_path(cooked.path());
    let best = registrations.max_by_key(|(prefix, _)| (covers(prefix), prefix.path().len()));
    let (prefix, registration) = best.ok_or("the app of that request queue has registered nothing")?;
    let base = if covers(prefix) { prefix.path() } else { "/" };
    let relative = cooked.relative_to(base);
    request.readdress(registration.id, &relative.path_base, &relative.path_and_query);
    Ok(())
}

/// The target of a valid head.
fn request_target(head: &[u8]) -> Option<&str> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let line = head.get(..memchr::memchr(b'\r', head)?)?;
    let (start, end) = (memchr::memchr(b' ', line)?, memchr::memrchr(b' ', line)?);
    std::str::from_utf8(line.get(start + 1..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_stands_between_the_two_spaces_of_the_request_line() {
        assert_eq!(request_target(b"GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n"), Some("/a?b"));
        assert_eq!(request_target(b"\r\nGET /a HTTP/1.1\r\n\r\n"), Some("/a"));
        assert_eq!(request_target(b"GET"), None);
    }
}

//! What the app wants of the host while it runs, by way of the control connection.

use std::io;
use std::path::Path;
use std::time::Duration;

use narthex_proto::wire::{CachePolicy, Message, RefusalCode};
use tokio::time::timeout;

use super::control::{Connection, Failure};
use crate::error::Error;
use crate::fragments::{Names, Order, What};

/// A host that does not answer for so long is taken for lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries an order out, and tells the one who gave it. `false`: the connection cannot be used any more.
pub(super) async fn carry_out(order: Order, id: u64, connection: &mut Connection, names: &Names, path: &Path) -> bool {
    let Order { name, what, done } = order;
    let url = names.url(&name);
    let message = match what {
        What::Store(policy, bytes) => {
            let time_to_live = if let CachePolicy::TimeToLive(seconds) = policy { Some(seconds) } else { None };
            Message::StoreFragment { id, url, time_to_live, bytes: bytes.into() }
        }
        What::Delete => Message::DeleteFragment { id, url },
    };
    let answer = timeout(PATIENCE, connection.ask(message)).await.unwrap_or(Err(Failure::Ended));
    let refused = |code, message| Err(Error::Fragment { name, code, message });
    let (result, usable) = match answer {
        Ok(Message::Done { .. }) => (Ok(()), true),
        Ok(Message::Refused { code, message, .. }) => (refused(code, message), true),
        Ok(_) => (Err(Failure::Ended.at(path)), false),
        // Nothing was sent.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::InvalidInput => {
            (refused(RefusalCode::LimitReached, format!("cannot store the fragment: {error}; send it in smaller ones")), true)
        }
        Err(failure) => (Err(failure.at(path)), false),
    };
    // Who gave it up needs no answer.
    let _ = done.send(result);
    usable
}

//! Fragments: what apps keep in the response cache under names of their own. A fragment belongs to the request queue of the
//! prefix that its name lies below, as in HTTP.sys: responses to that queue's requests may name it.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use narthex_proto::wire::{CachePolicy, RefusalCode};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::names::{self, MOST_OF_URL};
use super::state::{Refusal, State};
use super::{Shared, all};
use crate::cache::{FragmentError, FragmentName};
use crate::snapshot::AppId;
use crate::worker::Command;

/// A name that an app may use, and whose it is.
struct Owned {
    name: FragmentName,
    registration: u32,
}

impl Shared {
    /// Keeps `bytes` under `url`, for every worker when this returns.
    pub(super) async fn store_fragment(
        &self,
        app: AppId,
        url: &str,
        time_to_live: Option<NonZeroU32>,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        // Otherwise a worker might get it after it has dropped what belonged to the registration.
        let _one_at_a_time = self.changing.lock().await;
        let owned = self.state.borrow().owned_fragment(app, url)?;
        let policy = time_to_live.map_or(CachePolicy::UntilFlushed, CachePolicy::TimeToLive);
        let (done, stored) = oneshot::channel();
        let Owned { name, registration } = owned;
        // One worker puts the fragments of a name in order.
        let (first, others) = self.workers.split_first().ok_or_else(stopping)?;
        // Without the room that gathering them took.
        let bytes = Bytes::from(bytes.into_boxed_slice());
        let _ = first.send(Command::FragmentStore { name, registration, policy, bytes, done });
        let entry = stored.await.map_err(|_| stopping())?.map_err(|error| refusal(url, &error))?;
        let tell = |worker: &UnboundedSender<Command>| {
            let (done, is_done) = oneshot::channel();
            let _ = worker.send(Command::FragmentStored { entry: Arc::clone(&entry), done });
            is_done
        };
        all(others.iter().map(tell).collect()).await;
        Ok(())
    }

    /// Drops what is kept under `url`. No worker has it when this returns.
    pub(super) async fn delete_fragment(&self, app: AppId, url: &str) -> Result<(), Refusal> {
        let _one_at_a_time = self.changing.lock().await;
        let Owned { name, .. } = self.state.borrow().owned_fragment(app, url)?;
        all(self.ask(|done| Command::FragmentRemove { name: name.clone(), done })).await;
        Ok(())
    }
}

impl State {
    fn owned_fragment(&self, app: AppId, url: &str) -> Result<Owned, Refusal> {
        let shown = || names::shown(url, MOST_OF_URL);
        let invalid = |error: &dyn std::fmt::Display| {
            let error = names::shown(&error.to_string(), MOST_OF_URL + 200);
            Refusal::new(RefusalCode::Invalid, format!("cannot store a fragment: {error}"))
        };
        let parsed = FragmentName::parse(url, 0).map_err(|error| invalid(&error))?;
        let wanted = &parsed.url;
        let owner = self.apps.get(&app).ok_or_else(Refusal::app_has_left)?;
        let own = owner.groups.iter().flat_map(|group| group.urls.iter().map(move |held| (group, &held.prefix)));
        let covering = own.filter(|(_, prefix)| prefix.covers(wanted.scheme, &wanted.host, wanted.port, wanted.path()));
        let Some((group, prefix)) = covering.max_by_key(|(_, prefix)| prefix.path().len()) else {
            let message = format!(
                "cannot store the fragment {}: no prefix of this app is above it; name it below one that the app has registered \
                 (narthex show servicestate lists them)",
                shown()
            );
            return Err(Refusal::new(RefusalCode::AccessDenied, message));
        };
        let resolved = self.snapshot.group(group.index).ok_or_else(Refusal::app_has_left)?;
        if !resolved.response_cache {
            let message = format!(
                "cannot store the fragment {}: the response cache is off for its URL group; send the bytes instead, or switch it \
                 on (narthex add setting name=response_cache value=true)",
                shown()
            );
            return Err(Refusal::new(RefusalCode::Unsupported, message));
        }
        let queue = self.snapshot.queue(group.queue).ok_or_else(Refusal::app_has_left)?.queue.id;
        let (_, registration) = self.snapshot.routes.registration(prefix).ok_or_else(Refusal::app_has_left)?;
        let name = FragmentName::parse(url, queue).map_err(|error| invalid(&error))?;
        Ok(Owned { name, registration: registration.id })
    }
}

fn stopping() -> Refusal {
    Refusal::new(RefusalCode::ShuttingDown, "the host is stopping: store the fragment when it is back")
}

fn refusal(url: &str, error: &FragmentError) -> Refusal {
    let code = match error {
        FragmentError::Url(_) => RefusalCode::Invalid,
        FragmentError::TooLong { .. } | FragmentError::NoRoom => RefusalCode::LimitReached,
    };
    Refusal::new(code, format!("cannot store the fragment {}: {error}", names::shown(url, MOST_OF_URL)))
}

//! Fragments: pieces of responses that the machine's host keeps for the app, so that they need not cross to it each time.

mod composed;
mod desk;
#[cfg(unix)]
mod names;

use bytes::Bytes;

pub use composed::{Composed, FallbackTooShort, FragmentPart};
pub(crate) use desk::Desk;
#[cfg(unix)]
pub(crate) use desk::{Order, What};
#[cfg(unix)]
pub(crate) use names::Names;

use crate::cache::CachePolicy;
use crate::error::Result;
use crate::lifetime::ServerHandle;

impl ServerHandle {
    /// Has the host keep `bytes` under `name`, in the place of what it keeps there. Bodies made with [`Composed`] may name
    /// them then, whatever connection and worker they are for.
    ///
    /// `name` is a path below the server's first prefix, such as `/menu`, or a whole URL below any of its prefixes. It is a
    /// name only: no client can ask for it, and a route of the same path is not in its way. Processes that share a request
    /// queue share its fragments.
    ///
    /// It may be gone at any time: when its policy says so, when no response named it for some minutes, when the operator
    /// flushes it, when the host starts again. So every use has a fallback, and to store it again there is up to the app.
    /// A time of less than a second stores nothing, and deletes what was there.
    ///
    /// An [embedded](crate::Provider::embedded) app has no host: nothing is stored, and bodies use their fallbacks. While a
    /// host is away, this waits for it. Dropping the future leaves open whether the fragment is stored.
    ///
    /// # Errors
    /// [`Error::Fragment`](crate::Error::Fragment) if the host refuses it: the name is not below a prefix of this app, the
    /// bytes are more than the host's `max_cache_response_size` (256 KiB unless the operator has set it) or than 16 MiB, or
    /// the cache is full or switched off. [`Error::NotRunning`](crate::Error::NotRunning) before `on_ready` and after the
    /// server's end.
    pub async fn store_fragment(&self, name: impl AsRef<str>, policy: CachePolicy, bytes: impl Into<Bytes>) -> Result<()> {
        self.desk().store(name.as_ref(), policy, bytes.into()).await
    }

    /// Has the host forget what it keeps under `name`, if it keeps anything.
    ///
    /// # Errors
    /// As for [`store_fragment`](Self::store_fragment).
    pub async fn delete_fragment(&self, name: impl AsRef<str>) -> Result<()> {
        self.desk().delete(name.as_ref()).await
    }
}

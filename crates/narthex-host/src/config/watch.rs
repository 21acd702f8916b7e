//! Notices that the file has changed. Polling: it works on every file system, and a look once in a while costs nothing.

use std::time::Duration;

use super::file::{ConfigFile, Stamp};

/// Two looks, and a change is noticed about a second after the last write.
const PERIOD: Duration = Duration::from_millis(500);

/// Watches a configuration file.
#[derive(Debug)]
pub(crate) struct Watch {
    file: ConfigFile,
    seen: Option<Stamp>,
}

impl Watch {
    /// Changes from now on count.
    pub(crate) fn new(file: ConfigFile) -> Self {
        let seen = file.stamp();
        Self { file, seen }
    }

    /// Returns when the file is another one than before, or is gone, and has come to rest: an editor that empties a file
    /// before it writes it must not make the host forget everything in between.
    pub(crate) async fn changed(&mut self) {
        let mut last = self.seen;
        loop {
            tokio::time::sleep(PERIOD).await;
            let now = self.file.stamp();
            if now != self.seen && now == last {
                self.seen = now;
                return;
            }
            last = now;
        }
    }
}

//! Notices that the file has changed. Polling: it works on every file system, and a look once in a while costs nothing.

use std::time::Duration;

use narthex_http::Stamp;

use super::file::ConfigFile;

/// Two looks, and a change is noticed about a second after the last write.
pub(crate) const PERIOD: Duration = Duration::from_millis(500);

/// Watches a configuration file.
#[derive(Debug)]
pub(crate) struct Watch {
    file: ConfigFile,
    seen: Option<Stamp>,
}

impl Watch {
    /// Watches a file that was `seen` so.
    pub(crate) fn new(file: ConfigFile, seen: Option<Stamp>) -> Self {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_noticed_once_it_rests_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = ConfigFile::new(directory.path().join("narthex.toml"));
        let mut watch = Watch::new(file.clone(), file.stamp());
        let waits = async |watch: &mut Watch| tokio::time::timeout(PERIOD * 5, watch.changed()).await.is_err();
        assert!(waits(&mut watch).await, "nothing has changed");
        fs::write(file.path(), "iplisten = []").unwrap();
        watch.changed().await;
        assert!(waits(&mut watch).await, "nothing has changed since");
        fs::remove_file(file.path()).unwrap();
        watch.changed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_still_being_written_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = ConfigFile::new(directory.path().join("narthex.toml"));
        let mut watch = Watch::new(file.clone(), file.stamp());
        let writing = async {
            for length in 1..20 {
                fs::write(file.path(), "#".repeat(length)).unwrap();
                tokio::time::sleep(PERIOD / 2).await;
            }
        };
        tokio::select! {
            biased;
            () = watch.changed() => panic!("the file changed at every look"),
            () = writing => {}
        }
        watch.changed().await;
    }
}

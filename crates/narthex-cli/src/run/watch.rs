//! Notices that files have changed. Polling: it works on every file system, and a look once in a while costs nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use narthex_http::Stamp;

/// Two looks, and a change is noticed about a second after the last write.
const PERIOD: Duration = Duration::from_millis(500);

/// Watches files, and directories with the files that are directly in them.
#[derive(Debug)]
pub(super) struct Watch {
    paths: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

impl Watch {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let seen = stamps(&paths);
        Self { paths, seen }
    }

    /// Returns when one of them is another one than before and all have come to rest: an editor may empty a file before it writes
    /// it. Never, if there are none.
    ///
    /// Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.paths.is_empty() {
            std::future::pending::<()>().await;
        }
        let mut last = self.seen.clone();
        loop {
            tokio::time::sleep(PERIOD).await;
            let now = stamps(&self.paths);
            if now != self.seen && now == last {
                self.seen = now;
                return;
            }
            last = now;
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().flat_map(|path| std::iter::once(Stamp::of(path)).chain(inside(path))).collect()
}

fn inside(directory: &Path) -> Vec<Option<Stamp>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| Stamp::of(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_or_comes_or_goes_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        let mut watch = Watch::new(vec![file.clone(), directory.path().to_owned()]);
        let rests = async |watch: &mut Watch| tokio::time::timeout(PERIOD * 5, watch.changed()).await.is_err();
        assert!(rests(&mut watch).await);
        fs::write(&file, "1").unwrap();
        watch.changed().await;
        assert!(rests(&mut watch).await);
        fs::write(directory.path().join("b"), "1").unwrap();
        watch.changed().await;
        fs::remove_file(&file).unwrap();
        watch.changed().await;
        assert!(rests(&mut watch).await);
    }
}

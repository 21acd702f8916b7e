//! Whether a process can take requests: when it has started, and from then on.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use narthex::forward::{Forward, Upstream};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::endpoint::Endpoint;

/// Between two looks while it starts, at first and at most.
const LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// A check that takes longer has failed.
const CHECK: Duration = Duration::from_secs(5);
/// After so many failed checks in a row a process is taken for broken. One may come of a moment's load.
pub(super) const FAILED_CHECKS: u32 = 3;

/// Asks a process for its health path.
pub(super) struct Check {
    path: String,
    forward: Forward,
}

impl Check {
    /// `upstream` is its address.
    pub(super) fn new(path: &str, upstream: Upstream) -> Self {
        Self { path: path.to_owned(), forward: Forward::new().route("/", upstream.connect_timeout(CHECK).head_timeout(CHECK)) }
    }

    async fn passes(&self) -> Result<(), StatusCode> {
        let mut request = Request::new(Empty::<Bytes>::new());
        if let Ok(uri) = self.path.parse() {
            *request.uri_mut() = uri;
        }
        let mut forward = self.forward.clone();
        let Ok(response) = forward.call(request).await;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(status) }
    }

    /// Returns when so many checks in a row have failed that the process is to be replaced.
    pub(super) async fn failing(&self, every: Duration) {
        let mut failed = 0;
        while failed < FAILED_CHECKS {
            sleep(every).await;
            failed = if self.passes().await.is_ok() { 0 } else { failed + 1 };
        }
    }
}

/// Waits until a process that has just been started can take requests.
///
/// # Errors
/// What is missing, if it takes too long.
pub(super) async fn ready(endpoint: &Endpoint, check: Option<&Check>, limit: Duration) -> Result<(), String> {
    let mut missing = endpoint.hint();
    let looking = async {
        let mut pause = LOOK;
        loop {
            if endpoint.accepts().await {
                let Some(check) = check else { return };
                match check.passes().await {
                    Ok(()) => return,
                    Err(status) => missing = format!("{} answers {status}", check.path),
                }
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_LOOK);
        }
    };
    let looked = timeout(limit, looking).await;
    looked.map_err(|_| format!("it was not ready within {limit:?}: {missing}"))
}

//! Requests on many lanes at once: on each, one after the other.

use std::time::Instant;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::tally::{Bound, Tally};

/// What sends its requests independently of others: a connection of HTTP/1.1, or one of the streams of another.
pub(crate) trait Lane: Send + 'static {
    /// One request. Gives the length of the answer's body.
    fn exchange(&mut self) -> impl Future<Output = Result<usize>> + Send;
}

/// Keeps all of them busy; one that fails stops. The time that opening them took, since `opening`, is no part of `bound`.
pub(crate) async fn run(lanes: Vec<impl Lane>, bound: Bound, opening: Instant) -> Result<Tally> {
    let bound = bound.restarted(opening);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut lane in lanes {
        running.spawn(async move {
            let mut tally = Tally::default();
            while bound.goes_on(&tally) {
                let start = Instant::now();
                let outcome = lane.exchange().await;
                let failed = outcome.is_err();
                tally.add(start, outcome);
                if failed {
                    break;
                }
            }
            tally
        });
    }
    let mut all = Tally::default();
    while let Some(tally) = running.join_next().await {
        all.merge(tally?);
    }
    Ok(all.lasted(start.elapsed()))
}

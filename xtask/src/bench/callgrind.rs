//! User-mode instructions per request, counted by valgrind: slow, blind to the kernel, and the same in every run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::subjects::{Running, Watched};

/// Multiples of every counted number of connections.
pub(super) const REQUESTS: [usize; 2] = [1024, 5120];

/// User instructions of all server processes for one request: `start` starts them, `drive` makes so many requests.
pub(super) fn per_request(
    start: impl Fn(&Watched) -> Result<Running>,
    drive: impl Fn(&Running, usize) -> Result<()>,
) -> Result<f64> {
    let [few, many] = super::counting::twice(|| start(&Watched::Callgrind), drive, REQUESTS, total)?;
    let difference = many.checked_sub(few).context("more requests took fewer instructions")?;
    Ok(difference as f64 / (REQUESTS[1] - REQUESTS[0]) as f64)
}

/// The instructions of every process that wrote a profile into `directory`.
fn total(directory: &Path) -> Result<u64> {
    let mut sum = None;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_profile = path.file_stem().is_some_and(|stem| stem == "callgrind");
        if !is_profile {
            continue;
        }
        let profile = fs::read_to_string(&path)?;
        let count = profile
            .lines()
            .find_map(|line| line.strip_prefix("totals:"))
            .and_then(|rest| rest.trim().parse::<u64>().ok())
            .context("a callgrind profile has no totals")?;
        sum = Some(sum.unwrap_or(0) + count);
    }
    match sum {
        Some(sum) => Ok(sum),
        None => bail!("callgrind wrote no profile"),
    }
}

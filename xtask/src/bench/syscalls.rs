//! System calls per request, counted by strace: they are most of the kernel's part of a request.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::subjects::{Running, Watched};

const REQUESTS: [usize; 2] = [640, 3200];

/// Calls of one request by name; rare ones are left out.
pub(super) type Calls = BTreeMap<String, f64>;

/// The system calls of all server processes for one request: `start` starts them, `drive` makes so many requests.
pub(super) fn per_request(
    start: impl Fn(&Watched) -> Result<Running>,
    drive: impl Fn(&Running, usize) -> Result<()>,
) -> Result<Calls> {
    let [few, many] = super::counting::twice(|| start(&Watched::Strace), drive, REQUESTS, total)?;
    let requests = (REQUESTS[1] - REQUESTS[0]) as f64;
    let mut calls = Calls::new();
    for (name, count) in many {
        let before = few.get(&name).copied().unwrap_or(0);
        let each = count.saturating_sub(before) as f64 / requests;
        // Less than one call in two hundred requests is a timer or start-up noise.
        if each >= 0.005 {
            calls.insert(name, each);
        }
    }
    Ok(calls)
}

fn total(directory: &Path) -> Result<BTreeMap<String, u64>> {
    let mut sum = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_stem().is_none_or(|stem| stem != "strace") {
            continue;
        }
        let table = fs::read_to_string(&path)?;
        for (name, calls) in parse(&table).context("cannot understand strace's table")? {
            *sum.entry(name).or_insert(0) += calls;
        }
    }
    if sum.is_empty() {
        bail!("strace counted nothing");
    }
    Ok(sum)
}

/// Rows of `% time, seconds, usecs/call, calls, errors (may be empty), name` between two rules.
fn parse(table: &str) -> Option<Vec<(String, u64)>> {
    let is_rule = |line: &&str| line.starts_with("------");
    let rows = table.lines().skip_while(|line| !is_rule(line)).skip(1);
    rows.take_while(|line| !is_rule(line))
        .map(|row| {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let calls = fields.get(3)?.parse().ok()?;
            Some(((*fields.last()?).to_owned(), calls))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_with_and_without_errors() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 56.90    0.000066          33         2           write
 15.52    0.000018           4         4         1 epoll_pwait
------ ----------- ----------- --------- --------- ------------------
100.00    0.000116           1        79         3 total
";
        let calls = vec![("write".to_owned(), 2), ("epoll_pwait".to_owned(), 4)];
        assert_eq!(parse(table), Some(calls));
    }
}

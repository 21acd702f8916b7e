//! What happened between two looks at a host.

use std::collections::HashMap;
use std::time::Duration;

use narthex_host::admin::{GroupState, QueueState, ServiceState, TrafficState};

/// One URL group, over the interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) url: String,
    /// Further URLs of the group.
    pub(super) more_urls: usize,
    pub(super) app: String,
    pub(super) pid: u32,
    pub(super) requests: f64,
    /// Per second: answers 5xx and requests that got none.
    pub(super) failures: f64,
    /// Bytes per second to clients.
    pub(super) sent: f64,
    /// Microseconds; `None` if there was no request.
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
    pub(super) tunnels: u64,
    pub(super) waiting: u64,
    pub(super) in_progress: u64,
}

/// The whole host, over the interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) requests: f64,
    pub(super) refusals: f64,
    pub(super) sent: f64,
    pub(super) received: f64,
}

/// What a table can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// Requests per second
    #[default]
    Requests,
    /// The slowest hundredth
    Latency,
    /// Failures per second
    Failures,
    /// Bytes per second to clients
    Sent,
    /// Waiting requests
    Waiting,
    /// The URL
    Url,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Requests => Self::Latency,
            Self::Latency => Self::Failures,
            Self::Failures => Self::Sent,
            Self::Sent => Self::Waiting,
            Self::Waiting => Self::Url,
            Self::Url => Self::Requests,
        }
    }
}

pub(super) fn totals(before: &ServiceState, now: &ServiceState, took: Duration) -> Totals {
    let rate = |before, now| per_second(before, now, took);
    Totals {
        requests: rate(before.requests, now.requests),
        refusals: rate(before.refusals, now.refusals),
        sent: rate(before.traffic.bytes_sent, now.traffic.bytes_sent),
        received: rate(before.traffic.bytes_received, now.traffic.bytes_received),
    }
}

/// The groups, in order.
pub(super) fn rows(before: &ServiceState, now: &ServiceState, took: Duration, order: Order) -> Vec<Row> {
    let groups = |state: &'_ ServiceState| -> HashMap<u64, TrafficState> {
        state.sessions.iter().flat_map(|session| &session.groups).map(|group| (group.id, group.traffic.clone())).collect()
    };
    let (earlier, queues) = (groups(before), &now.queues);
    let queue = |group: &GroupState| queues.iter().find(|queue| queue.id == group.queue);
    let nothing = TrafficState::default();
    let mut rows: Vec<Row> = Vec::new();
    for session in &now.sessions {
        for group in &session.groups {
            let earlier = earlier.get(&group.id).unwrap_or(&nothing);
            let rate = |of: fn(&TrafficState) -> u64| per_second(of(earlier), of(&group.traffic), took);
            let buckets = difference(&earlier.latency_buckets, &group.traffic.latency_buckets);
            rows.push(Row {
                url: group.urls.first().cloned().unwrap_or_default(),
                more_urls: group.urls.len().saturating_sub(1),
                app: session.name.clone(),
                pid: session.pid,
                requests: rate(|traffic| traffic.requests),
                failures: rate(|traffic| traffic.server_errors + traffic.no_answer),
                sent: rate(|traffic| traffic.bytes_sent),
                p50: quantile(&buckets, 50),
                p99: quantile(&buckets, 99),
                tunnels: group.traffic.tunnels_open,
                waiting: queue(group).map_or(0, |queue: &QueueState| queue.waiting),
                in_progress: queue(group).map_or(0, |queue| queue.in_progress),
            });
        }
    }
    rows.sort_by(|one, other| {
        let descending = |one: f64, other: f64| other.total_cmp(&one);
        let by = match order {
            Order::Requests => descending(one.requests, other.requests),
            Order::Latency => other.p99.cmp(&one.p99),
            Order::Failures => descending(one.failures, other.failures),
            Order::Sent => descending(one.sent, other.sent),
            Order::Waiting => other.waiting.cmp(&one.waiting),
            Order::Url => std::cmp::Ordering::Equal,
        };
        by.then_with(|| one.url.cmp(&other.url))
    });
    rows
}

/// A host that was restarted meanwhile counts from zero: that is no negative rate.
fn per_second(before: u64, now: u64, took: Duration) -> f64 {
    now.checked_sub(before).unwrap_or(now) as f64 / took.as_secs_f64().max(0.001)
}

fn difference(before: &[(u64, u64)], now: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let before: HashMap<u64, u64> = before.iter().copied().collect();
    let new = |(bound, count): &(u64, u64)| (*bound, count.saturating_sub(before.get(bound).copied().unwrap_or(0)));
    now.iter().map(new).filter(|(_, count)| *count > 0).collect()
}

/// What so many of a hundred took at most.
fn quantile(buckets: &[(u64, u64)], percent: u64) -> Option<u64> {
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    let wanted = (all * percent).div_ceil(100);
    let mut seen = 0;
    buckets.iter().find_map(|(bound, count)| {
        seen += count;
        (seen >= wanted && wanted > 0).then_some(*bound)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(text: serde_json::Value) -> ServiceState {
        let mut whole = serde_json::json!({
            "version": "1", "pid": 1, "uptime_seconds": 0, "workers": 1, "listeners": [], "connections": 0, "requests": 0,
            "refusals": 0, "sessions": [], "queues": []
        });
        for (key, value) in text.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn with_groups(groups: &[(u64, &str, TrafficState)]) -> ServiceState {
        let groups: Vec<_> = groups
            .iter()
            .map(|(id, url, traffic)| {
                serde_json::json!({ "id": id, "state": "active", "connections": 0, "queue": id, "timeouts": null, "urls": [url],
                    "traffic": traffic })
            })
            .collect();
        state(serde_json::json!({ "sessions": [{ "id": 1, "name": "app", "pid": 7, "uid": 0, "groups": groups }] }))
    }

    fn traffic(requests: u64, buckets: &[(u64, u64)]) -> TrafficState {
        TrafficState { requests, latency_buckets: buckets.to_vec(), ..TrafficState::default() }
    }

    #[test]
    fn rates_and_quantiles_are_of_the_interval_and_not_of_all_time() {
        let before = with_groups(&[(1, "http://+:80/a/", traffic(1000, &[(100, 1000)]))]);
        let now = with_groups(&[(1, "http://+:80/a/", traffic(1100, &[(100, 1000), (5000, 98), (90_000, 2)]))]);
        let rows = rows(&before, &now, 2 * SECOND, Order::Requests);
        assert_eq!((rows[0].requests, rows[0].p50, rows[0].p99), (50.0, Some(5000), Some(90_000)));
    }

    #[test]
    fn who_was_not_there_before_and_who_did_nothing_have_rates_too() {
        let now = with_groups(&[(1, "http://+:80/b/", traffic(0, &[])), (2, "http://+:80/a/", traffic(3, &[(10, 3)]))]);
        let rows = rows(&state(serde_json::json!({})), &now, SECOND, Order::Requests);
        let short: Vec<_> = rows.iter().map(|row| (row.url.as_str(), row.requests, row.p99)).collect();
        assert_eq!(short, [("http://+:80/a/", 3.0, Some(10)), ("http://+:80/b/", 0.0, None)]);
    }

    #[test]
    fn a_host_that_has_started_again_has_no_negative_rate() {
        let count = |requests: u64| state(serde_json::json!({ "requests": requests }));
        assert_eq!(totals(&count(1000), &count(5), SECOND).requests, 5.0);
    }

    #[test]
    fn every_order_is_reached_by_going_on() {
        let mut order = Order::default();
        let mut seen = Vec::new();
        while !seen.contains(&order) {
            seen.push(order);
            order = order.next();
        }
        assert_eq!(seen.len(), <Order as clap::ValueEnum>::value_variants().len());
    }
}

//! The same numbers for Prometheus, in its text format (version 0.0.4). docs/operators.md lists the names.
//!
//! What has a label is of apps that are there; of those that are gone, the totals of the host tell.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use narthex_host::admin::{Answer, Question, ServiceState, SslcertState, TrafficState};

use super::Inner;
use super::look::unavailable;

/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 14] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

pub(super) async fn page(State(inner): State<Arc<Inner>>) -> Response {
    let asked = inner.ask(|client| {
        let state = client.service_state()?;
        let certificates = client.question(&Question::ShowSslcert { binding: None })?;
        Ok((state, certificates))
    });
    match asked.await {
        Ok((state, certificates)) => {
            let certificates = if let Answer::Sslcerts(found) = certificates { found } else { Vec::new() };
            let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];
            (headers, text(&state, &certificates)).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

fn text(state: &ServiceState, certificates: &[SslcertState]) -> String {
    // Of all groups that share a URL.
    let mut by_url: BTreeMap<&str, TrafficState> = BTreeMap::new();
    for group in state.sessions.iter().flat_map(|session| &session.groups) {
        // A group is named by its first URL.
        by_url.entry(group.urls.first().map_or("", String::as_str)).or_default().add(&group.traffic);
    }
    let mut out = Exposition::default();
    out.plain("uptime_seconds", "gauge", "Since the host started.", state.uptime_seconds);
    out.plain("connections", "gauge", "Client connections that are open.", state.connections);
    out.plain("cache_bytes", "gauge", "What the response cache takes.", state.cache_bytes);
    out.plain("log_lines_lost_total", "counter", "Lines that no log has.", state.log_lines_lost);
    out.head("refused_total", "counter", "What the host refused or ended itself, by the reason token of the error log.");
    for (reason, count) in &state.refused {
        out.sample("refused_total", &[("reason", reason)], count);
    }
    out.plain("host_requests_total", "counter", "Requests that are over, of apps that are gone, too.", state.traffic.requests);
    out.head("host_responses_total", "counter", "The same by the first digit of the status; none: the client got no answer.");
    for (class, count) in classes(&state.traffic) {
        out.sample("host_responses_total", &[("status", class)], &count);
    }
    out.plain("host_sent_bytes_total", "counter", "Bytes to clients, with heads and framing.", state.traffic.bytes_sent);
    out.plain("host_received_bytes_total", "counter", "Bytes from clients: heads and bodies.", state.traffic.bytes_received);
    out.head("requests_total", "counter", "Requests that are over, by the first URL of their group.");
    each(&by_url, |url, sum| out.sample("requests_total", &[("url", url)], &sum.requests));
    out.head("responses_total", "counter", "The same by the first digit of the status; none: the client got no answer.");
    each(&by_url, |url, sum| {
        for (class, count) in classes(sum) {
            out.sample("responses_total", &[("url", url), ("status", class)], &count);
        }
    });
    out.head("sent_bytes_total", "counter", "Bytes to clients, with heads and framing.");
    each(&by_url, |url, sum| out.sample("sent_bytes_total", &[("url", url)], &sum.bytes_sent));
    out.head("received_bytes_total", "counter", "Bytes from clients: heads and bodies.");
    each(&by_url, |url, sum| out.sample("received_bytes_total", &[("url", url)], &sum.bytes_received));
    out.head("tunnels_open", "gauge", "WebSockets and other tunnels.");
    each(&by_url, |url, sum| out.sample("tunnels_open", &[("url", url)], &sum.tunnels_open));
    out.head("request_duration_seconds", "histogram", "From a request's first byte to its response's last one; no tunnels.");
    each(&by_url, |url, sum| out.histogram(url, sum));
    let queues =
        [("queue_waiting", "gauge", "Requests that wait."), ("queue_in_progress", "gauge", "Requests that apps work on.")];
    let further =
        [("queue_length_limit", "gauge", "How many may wait."), ("queue_rejected_total", "counter", "How many found it full.")];
    for (name, kind, help) in queues.into_iter().chain(further) {
        out.head(name, kind, help);
        for queue in &state.queues {
            // Any app may give its queue the name that it likes, and two may like the same.
            let (id, label) = (queue.id.to_string(), queue.name.as_deref().unwrap_or_default());
            let value = match name {
                "queue_waiting" => queue.waiting,
                "queue_in_progress" => queue.in_progress,
                "queue_length_limit" => queue.length_limit.into(),
                _ => queue.rejected,
            };
            out.sample(name, &[("queue_id", &id), ("queue", label)], &value);
        }
    }
    out.head("certificate_days_left", "gauge", "Whole days until a binding's certificate ends.");
    for bound in certificates {
        if let Some(certificate) = &bound.certificate {
            out.sample("certificate_days_left", &[("binding", &bound.key.to_string())], &certificate.days_left);
        }
    }
    out.0
}

fn classes(sum: &TrafficState) -> [(&'static str, u64); 6] {
    [
        ("none", sum.no_answer),
        ("1xx", sum.informational),
        ("2xx", sum.successful),
        ("3xx", sum.redirected),
        ("4xx", sum.client_errors),
        ("5xx", sum.server_errors),
    ]
}

fn each<'a>(by_url: &BTreeMap<&'a str, TrafficState>, mut write: impl FnMut(&'a str, &TrafficState)) {
    by_url.iter().for_each(|(url, sum)| write(url, sum));
}

/// What Prometheus reads. Writing into text does not fail.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP narthex_{name} {help}\n# TYPE narthex_{name} {kind}");
    }

    fn plain(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.sample(name, &[], &value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &impl std::fmt::Display) {
        let _ = write!(self.0, "narthex_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, url: &str, sum: &TrafficState) {
        for bound in BOUNDS {
            let within: u64 = sum.latency_buckets.iter().filter(|(upper, _)| *upper <= bound).map(|(_, count)| count).sum();
            let seconds = (bound as f64 / 1e6).to_string();
            self.sample("request_duration_seconds_bucket", &[("url", url), ("le", &seconds)], &within);
        }
        let all: u64 = sum.latency_buckets.iter().map(|(_, count)| count).sum();
        self.sample("request_duration_seconds_bucket", &[("url", url), ("le", "+Inf")], &all);
        self.sample("request_duration_seconds_sum", &[("url", url)], &(sum.latency_us.sum as f64 / 1e6));
        self.sample("request_duration_seconds_count", &[("url", url)], &all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_one_url_are_summed_and_labels_are_escaped() {
        let traffic =
            TrafficState { requests: 2, successful: 2, latency_buckets: vec![(800, 1), (3_000, 1)], ..TrafficState::default() };
        let group = |url: &str| {
            serde_json::json!({
                "id": 1, "state": "active", "queue": 1, "timeouts": null, "urls": [url], "traffic": traffic,
            })
        };
        let session =
            |groups: &[serde_json::Value]| serde_json::json!({ "id": 1, "name": "a", "pid": 1, "uid": 1, "groups": groups });
        let queue = |id: u64, name: Option<&str>| {
            serde_json::json!({
                "id": id, "name": name, "state": "active", "length_limit": 1000, "waiting": id, "in_progress": 0, "rejected": 0,
                "processes": [],
            })
        };
        let state = serde_json::json!({
            "version": "1", "pid": 1, "uptime_seconds": 5, "workers": 1, "listeners": [], "connections": 3, "requests": 4, "refusals": 0,
            "sessions": [session(&[group("http://+:80/a/")]), session(&[group("http://+:80/a/"), group("http://+:80/\"\\/")])],
            "queues": [queue(12, None), queue(13, Some("12"))], "refused": [["QueueFull", 7]],
            "traffic": TrafficState { requests: 9, successful: 8, no_answer: 1, ..TrafficState::default() },
        });
        let text = text(&serde_json::from_value(state).unwrap(), &[]);
        for line in [
            "narthex_uptime_seconds 5",
            "narthex_refused_total{reason=\"QueueFull\"} 7",
            "narthex_host_requests_total 9",
            "narthex_host_responses_total{status=\"none\"} 1",
            "narthex_requests_total{url=\"http://+:80/a/\"} 4",
            "narthex_requests_total{url=\"http://+:80/\\\"\\\\/\"} 2",
            "narthex_responses_total{url=\"http://+:80/a/\",status=\"2xx\"} 4",
            "narthex_request_duration_seconds_bucket{url=\"http://+:80/a/\",le=\"0.0005\"} 0",
            "narthex_request_duration_seconds_bucket{url=\"http://+:80/a/\",le=\"0.001\"} 2",
            "narthex_request_duration_seconds_bucket{url=\"http://+:80/a/\",le=\"+Inf\"} 4",
            "narthex_request_duration_seconds_count{url=\"http://+:80/a/\"} 4",
            "narthex_queue_waiting{queue_id=\"12\",queue=\"\"} 12",
            "narthex_queue_waiting{queue_id=\"13\",queue=\"12\"} 13",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
    }
}

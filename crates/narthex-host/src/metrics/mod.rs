//! What is counted of requests: by each worker for itself, without a lock or an atomic, and added up when somebody asks.

mod latencies;

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::size_of;

use narthex_http::{Ended, Reason, Refused};

pub(crate) use latencies::Latencies;

use crate::admin::TrafficState;

/// The numbers of one URL group, or of a whole host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    /// Without latencies.
    counts: TrafficState,
    /// Of what is no tunnel.
    latencies: Latencies,
}

impl Meter {
    fn ended(&mut self, ended: &Ended<'_>) {
        let counts = &mut self.counts;
        counts.requests += 1;
        *match ended.status / 100 {
            // A tunnel's only response is informational.
            1 => &mut counts.informational,
            2 => &mut counts.successful,
            3 => &mut counts.redirected,
            4 => &mut counts.client_errors,
            5 => &mut counts.server_errors,
            _ => &mut counts.no_answer,
        } += 1;
        counts.bytes_sent += ended.sent;
        counts.bytes_received += ended.received;
        if ended.status == 101 {
            counts.tunnels_open = counts.tunnels_open.saturating_sub(1);
        } else {
            self.latencies.add(ended.taken);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.latencies.merge(&other.latencies);
    }

    /// For people and programs.
    pub(crate) fn state(&self) -> TrafficState {
        TrafficState {
            latency_us: self.latencies.quantiles(),
            latency_buckets: self.latencies.buckets().collect(),
            ..self.counts.clone()
        }
    }
}

/// The meters of a worker.
#[derive(Debug, Default)]
pub(crate) struct Meters(RefCell<Counted>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// By the tags of groups. What has ended is counted in the sum of those that are gone.
    by_tag: HashMap<u32, Meter, foldhash::fast::RandomState>,
    gone: Meter,
    refused: Vec<(Reason, u64)>,
}

impl Meters {
    pub(crate) fn ended(&self, ended: &Ended<'_>) {
        let mut counted = self.0.borrow_mut();
        counted.by_tag.entry(ended.tag).or_default().ended(ended);
    }

    pub(crate) fn refused(&self, refused: &Refused<'_>) {
        let refusals = &mut self.0.borrow_mut().refused;
        match refusals.iter_mut().find(|(reason, _)| *reason == refused.reason) {
            Some((_, count)) => *count += 1,
            None => refusals.push((refused.reason, 1)),
        }
    }

    /// A request of this group has become a tunnel, which ends as a request does.
    pub(crate) fn tunnelled(&self, tag: u32) {
        let mut counted = self.0.borrow_mut();
        let meter = counted.by_tag.entry(tag).or_default();
        meter.counts.tunnels += 1;
        meter.counts.tunnels_open += 1;
    }

    /// Groups that are no more are counted together, once nothing of theirs is under way.
    pub(crate) fn retain(&self, is_live: impl Fn(u32) -> bool) {
        let mut counted = self.0.borrow_mut();
        let Counted { by_tag, gone, .. } = &mut *counted;
        by_tag.retain(|tag, meter| {
            let stays = is_live(*tag) || meter.counts.tunnels_open > 0;
            if !stays {
                gone.merge(meter);
            }
            stays
        });
    }

    pub(crate) fn report(&self) -> Counted {
        self.0.borrow().clone()
    }
}

impl Counted {
    pub(crate) fn merge(&mut self, other: &Self) {
        for (tag, meter) in &other.by_tag {
            self.by_tag.entry(*tag).or_default().merge(meter);
        }
        self.gone.merge(&other.gone);
        for (reason, more) in &other.refused {
            match self.refused.iter_mut().find(|(known, _)| known == reason) {
                Some((_, count)) => *count += more,
                None => self.refused.push((*reason, *more)),
            }
        }
    }

    /// Of one group.
    pub(crate) fn group(&self, tag: u32) -> TrafficState {
        self.by_tag.get(&tag).map(Meter::state).unwrap_or_default()
    }

    /// Of the host since it started.
    pub(crate) fn total(&self) -> TrafficState {
        let mut total = self.gone.clone();
        self.by_tag.values().for_each(|meter| total.merge(meter));
        total.state()
    }

    /// How often each reason token was logged, the most frequent first.
    pub(crate) fn refusals(&self) -> Vec<(String, u64)> {
        // Several reasons have the same token.
        let mut tokens: Vec<(String, u64)> = Vec::new();
        for (reason, count) in &self.refused {
            match tokens.iter_mut().find(|(token, _)| token == reason.token()) {
                Some((_, sum)) => *sum += count,
                None => tokens.push((reason.token().to_owned(), *count)),
            }
        }
        tokens.sort_by(|(one, few), (other, many)| many.cmp(few).then_with(|| one.cmp(other)));
        tokens
    }
}

// A worker has one for each group.
const _: () = assert!(size_of::<Meter>() < 256);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use narthex_http::ConnectionInfo;
    use narthex_proto::prefix::Scheme;

    use super::*;

    fn ended(connection: &ConnectionInfo, tag: u32, status: u16) -> Ended<'_> {
        let taken = Duration::from_micros(100);
        Ended { tag, record: &[], id: None, connection, status, reason: None, sent: 10, received: 5, taken }
    }

    fn connection() -> ConnectionInfo {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        ConnectionInfo { id: 1, peer: address, local: address, scheme: Scheme::Http, secure: false }
    }

    #[test]
    fn requests_are_counted_by_group_and_what_is_gone_stays_in_the_sum() {
        let connection = connection();
        let (one, other) = (Meters::default(), Meters::default());
        one.ended(&ended(&connection, 1, 200));
        one.ended(&ended(&connection, 2, 404));
        other.ended(&ended(&connection, 1, 0));
        one.retain(|tag| tag == 1);
        let mut counted = one.report();
        counted.merge(&other.report());
        let group = counted.group(1);
        assert_eq!((group.requests, group.successful, group.no_answer, group.bytes_sent), (2, 1, 1, 20));
        assert_eq!(counted.group(2), TrafficState::default());
        let total = counted.total();
        assert_eq!((total.requests, total.client_errors, total.bytes_received), (3, 1, 15));
    }

    #[test]
    fn a_tunnel_is_open_until_it_ends_and_has_no_latency() {
        let connection = connection();
        let meters = Meters::default();
        meters.tunnelled(7);
        meters.retain(|_| false);
        assert_eq!(meters.report().group(7).tunnels_open, 1, "a group that has a tunnel is not gone");
        meters.ended(&ended(&connection, 7, 101));
        let group = meters.report().group(7);
        assert_eq!((group.tunnels, group.tunnels_open, group.latency_buckets.len()), (1, 0, 0));
    }
}

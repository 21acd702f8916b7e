//! The settings of sessions, URL groups and request queues: what is valid, and what is inherited (a group's from its session,
//! a session's from the host).

use std::sync::Arc;
use std::time::Duration;

use narthex_http::{Bandwidth, ConnectionCaps, Limits, ProxyProtocol, Timeouts};
use narthex_proto::wire::{
    self, Activity, LogFormat, Logging, Owner, Properties, QueueSettings, RefusalCode, Timeouts as WireTimeouts,
};

use super::names;
use super::state::Refusal;
use crate::cache::CacheSettings;
use crate::config::Config;
use crate::log::{self, ErrorLogOptions, Log};
use crate::snapshot::{AppId, Group, GroupCounters, QueueRules};

/// HTTP.sys's own upper bound for the length of a queue.
const MOST_QUEUED: u32 = 65_535;
/// Characters, as in HTTP.sys.
const LONGEST_QUEUE_NAME: usize = 260;
/// Less cannot be paced evenly (HTTP.sys: `MIN_ALLOWED_BANDWIDTH_THROTTLING_RATE`).
const LEAST_BANDWIDTH: u64 = 1024;
/// Seconds.
const LONGEST_GRACE: u32 = 3_600;
/// A queue's list of users and groups.
const MOST_OPENERS: usize = 64;

/// What apps inherit from the host.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) queue_length: u32,
    pub(crate) restart_grace: Duration,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body: Option<u64>,
    pub(crate) response_cache: bool,
    pub(crate) logging: Option<Logging>,
}

impl Defaults {
    pub(crate) fn of(config: &Config) -> Self {
        let settings = &config.settings;
        Self {
            queue_length: settings.queue_length,
            restart_grace: Duration::from_secs(settings.restart_grace.into()),
            timeouts: machine_timeouts(config),
            max_body: settings.max_request_body,
            response_cache: settings.response_cache,
            logging: settings.central_log(),
        }
    }
}

/// The timers of a connection whose app is not known yet.
pub(crate) fn machine_timeouts(config: &Config) -> Timeouts {
    let seconds = |configured: Option<u16>, default| match configured {
        None => default,
        Some(u16::MAX) => None,
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
    };
    let mut timeouts = Timeouts::default();
    timeouts.idle_connection = seconds(config.idle_connection, timeouts.idle_connection);
    timeouts.header_wait = seconds(config.header_wait, timeouts.header_wait);
    timeouts
}

/// The sizes that the configuration allows.
pub(crate) fn limits(config: &Config) -> Limits {
    let settings = &config.settings;
    let mut limits = Limits::default();
    limits.max_head = settings.max_request_bytes;
    limits.max_target = settings.max_url_length;
    limits.max_headers = settings.max_header_count;
    limits.max_field_length = settings.max_field_length;
    limits.max_segment_length = settings.url_segment_max_length;
    limits.max_segments = settings.url_segment_max_count;
    limits.max_body = settings.max_request_body;
    limits.http2 = settings.http2;
    limits.http2_max_streams = settings.http2_max_streams;
    limits.http2_initial_window = settings.http2_initial_window;
    limits
}

/// Where connections begin with a PROXY header.
pub(crate) fn proxy_protocol(config: &Config) -> ProxyProtocol {
    ProxyProtocol::at(config.settings.proxy_protocol.iter().copied())
}

/// What the cache goes by.
pub(crate) fn cache(config: &Config) -> CacheSettings {
    let settings = &config.settings;
    CacheSettings {
        most: settings.max_cache_response_size,
        range: usize::try_from(settings.cache_range_chunk_size).unwrap_or(usize::MAX),
        period: Duration::from_secs(settings.scavenger_period),
    }
}

/// The error log, if there is one.
pub(crate) fn error_log(config: &Config) -> Option<ErrorLogOptions> {
    let settings = &config.settings;
    settings.error_log.then(|| ErrorLogOptions {
        rollover: settings.error_log_rollover,
        max_size: settings.error_log_max_size,
        ..ErrorLogOptions::default()
    })
}

/// How many client connections the configuration allows.
pub(crate) fn caps(config: &Config) -> ConnectionCaps {
    let mut caps = ConnectionCaps::default();
    caps.total = config.settings.max_connections.unwrap_or(caps.total);
    caps.per_client = config.settings.max_connections_per_client;
    caps
}

/// Whether these can be the properties of a session or a group.
pub(crate) fn check(properties: &Properties, of: Owner) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(RefusalCode::Invalid, message));
    if of == Owner::Session && properties.max_connections.is_some() {
        return invalid("a session has no connection limit: set it for a URL group".to_owned());
    }
    if properties.max_connections == Some(0) {
        return invalid("a limit of no connections would refuse everybody: make the group inactive instead".to_owned());
    }
    if let Some(rate) = properties.max_bandwidth.filter(|rate| *rate < LEAST_BANDWIDTH) {
        return invalid(format!("{rate} bytes per second cannot be paced: choose {LEAST_BANDWIDTH} or more"));
    }
    if let Some(logging) = &properties.logging {
        log::check(logging).or_else(|error| invalid(error.to_string()))?;
    }
    let WireTimeouts { idle_connection, header_wait, entity_body, drain_entity_body, request_queue, .. } = properties.timeouts;
    let longest = [idle_connection, header_wait, entity_body, drain_entity_body, request_queue].into_iter().flatten().max();
    if let Some(seconds) = longest.filter(|seconds| *seconds > wire::Timeouts::DISABLED) {
        let never = wire::Timeouts::DISABLED;
        return invalid(format!("a timer of {seconds} s is too long: choose at most {} s, or {never} for never", never - 1));
    }
    Ok(())
}

/// Takes over what `change` has.
pub(crate) fn merge(into: &mut Properties, change: &Properties) {
    fn replace<T: Clone>(into: &mut Option<T>, change: &Option<T>) {
        if change.is_some() {
            into.clone_from(change);
        }
    }
    replace(&mut into.state, &change.state);
    replace(&mut into.max_connections, &change.max_connections);
    replace(&mut into.max_bandwidth, &change.max_bandwidth);
    replace(&mut into.max_body, &change.max_body);
    replace(&mut into.response_cache, &change.response_cache);
    replace(&mut into.delegates, &change.delegates);
    replace(&mut into.logging, &change.logging);
    let (into, change): (&mut WireTimeouts, &WireTimeouts) = (&mut into.timeouts, &change.timeouts);
    replace(&mut into.idle_connection, &change.idle_connection);
    replace(&mut into.header_wait, &change.header_wait);
    replace(&mut into.entity_body, &change.entity_body);
    replace(&mut into.drain_entity_body, &change.drain_entity_body);
    replace(&mut into.request_queue, &change.request_queue);
    replace(&mut into.min_send_rate, &change.min_send_rate);
}

/// `own` with what it leaves open taken from `inherited`.
fn inherit(own: &Properties, inherited: &Properties) -> Properties {
    let mut whole = inherited.clone();
    let mut own = own.clone();
    for timer in [
        &mut own.timeouts.idle_connection,
        &mut own.timeouts.header_wait,
        &mut own.timeouts.entity_body,
        &mut own.timeouts.drain_entity_body,
        &mut own.timeouts.request_queue,
        &mut own.timeouts.min_send_rate,
    ] {
        // 0 is HTTP.sys's way to say "inherited".
        *timer = timer.filter(|value| *value != 0);
    }
    merge(&mut whole, &own);
    // An inactive session stops all of its groups.
    if inherited.state == Some(Activity::Inactive) {
        whole.state = Some(Activity::Inactive);
    }
    whole
}

/// A group as its requests meet it.
pub(crate) fn resolve(
    (id, app, queue): (u64, AppId, usize),
    own: &Properties,
    session: &Properties,
    defaults: &Defaults,
    counters: &Arc<GroupCounters>,
    log: Option<Arc<Log>>,
) -> Group {
    let whole = inherit(own, session);
    let bandwidth = whole.max_bandwidth.filter(|rate| *rate != u64::MAX).map(|rate| {
        // One for as long as the group lives: connections that wait for their turn keep it.
        let bandwidth = counters.bandwidth.get_or_init(|| Bandwidth::new(rate));
        bandwidth.set_rate(rate);
        Arc::clone(bandwidth)
    });
    Group {
        id,
        app,
        queue,
        active: whole.state.unwrap_or_default() == Activity::Active,
        max_body: whole.max_body.map_or(defaults.max_body, |most| (most != u64::MAX).then_some(most)),
        timeouts: timeouts(&whole.timeouts, &defaults.timeouts),
        max_connections: whole.max_connections.filter(|most| *most != u32::MAX).map(|most| most as usize),
        response_cache: defaults.response_cache && whole.response_cache.unwrap_or(true),
        delegates: whole.delegates.unwrap_or(false),
        bandwidth,
        log,
        counters: Arc::clone(counters),
    }
}

/// Where a group's requests are logged.
pub(crate) enum LogOf {
    /// As the app wants it.
    App(Logging),
    /// In the host's central log, as the operator wants it.
    Host(Logging),
}

/// Where a group's requests are logged, if they are: its own, its session's or the host's central log.
pub(crate) fn logging(own: &Properties, session: &Properties, defaults: &Defaults) -> Option<LogOf> {
    let logged = |logging: Logging| (logging.format != LogFormat::Off).then_some(logging);
    match inherit(own, session).logging {
        Some(logging) => logged(logging).map(LogOf::App),
        None => defaults.logging.clone().and_then(logged).map(LogOf::Host),
    }
}

/// The group's timers, if it has any of its own.
fn timeouts(asked: &wire::Timeouts, inherited: &Timeouts) -> Option<Timeouts> {
    if asked.is_empty() {
        return None;
    }
    let seconds = |asked: Option<u32>, inherited| match asked {
        None | Some(0) => inherited,
        Some(wire::Timeouts::DISABLED) => None,
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
    };
    let mut timeouts = inherited.clone();
    timeouts.idle_connection = seconds(asked.idle_connection, timeouts.idle_connection);
    timeouts.header_wait = seconds(asked.header_wait, timeouts.header_wait);
    timeouts.entity_body = seconds(asked.entity_body, timeouts.entity_body);
    timeouts.drain_entity_body = seconds(asked.drain_entity_body, timeouts.drain_entity_body);
    timeouts.request_queue = seconds(asked.request_queue, timeouts.request_queue);
    timeouts.min_send_rate = match asked.min_send_rate {
        None | Some(0) => timeouts.min_send_rate,
        Some(wire::Timeouts::NO_MIN_SEND_RATE) => 0,
        Some(rate) => rate,
    };
    Some(timeouts)
}

/// Whether these can be a queue's settings.
pub(crate) fn check_queue(settings: &QueueSettings) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(RefusalCode::Invalid, message));
    if let Some(length) = settings.length.filter(|length| !(1..=MOST_QUEUED).contains(length)) {
        return invalid(format!("a request queue cannot hold {length} requests: choose 1 to {MOST_QUEUED}"));
    }
    if let Some(grace) = settings.restart_grace.filter(|grace| *grace > LONGEST_GRACE) {
        return invalid(format!("a request queue cannot wait {grace} seconds for its next process: choose 0 to {LONGEST_GRACE}"));
    }
    if settings.openers.len() > MOST_OPENERS {
        return invalid(format!("a request queue can name at most {MOST_OPENERS} users and groups: use a group"));
    }
    // The name is shown to operators, and is what other processes find the queue by.
    let Some(name) = &settings.name else { return Ok(()) };
    let length = name.chars().count();
    if (1..=LONGEST_QUEUE_NAME).contains(&length) && !name.contains(names::is_invisible) {
        return Ok(());
    }
    invalid(format!("a request queue's name has 1 to {LONGEST_QUEUE_NAME} characters, and no control characters: choose another"))
}

/// A new queue's rules.
pub(crate) fn queue_rules(settings: &QueueSettings, defaults: &Defaults) -> QueueRules {
    let rules = QueueRules {
        length: defaults.queue_length as usize,
        active: true,
        verbosity: wire::Verbosity::default(),
        accepts_delegation: false,
        restart_grace: defaults.restart_grace,
    };
    changed_rules(rules, settings)
}

/// `rules` with what `change` has.
pub(crate) fn changed_rules(mut rules: QueueRules, change: &QueueSettings) -> QueueRules {
    rules.length = change.length.map_or(rules.length, |length| length as usize);
    rules.active = change.state.map_or(rules.active, |state| state == Activity::Active);
    rules.verbosity = change.verbosity.unwrap_or(rules.verbosity);
    rules.accepts_delegation = change.accepts_delegation.unwrap_or(rules.accepts_delegation);
    if let Some(seconds) = change.restart_grace {
        rules.restart_grace = Duration::from_secs(seconds.into());
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        let timeouts = Timeouts::default();
        Defaults {
            queue_length: 1000,
            restart_grace: Duration::ZERO,
            timeouts,
            max_body: Some(30_000_000),
            response_cache: true,
            logging: None,
        }
    }

    fn resolved(own: &Properties, session: &Properties) -> Group {
        resolve((1, 2, 0), own, session, &defaults(), &Arc::default(), None)
    }

    fn timers(timeouts: wire::Timeouts) -> Properties {
        Properties { timeouts, ..Properties::default() }
    }

    #[test]
    fn a_group_goes_before_its_session_and_a_session_before_the_host() {
        let session = Properties {
            max_body: Some(10),
            timeouts: wire::Timeouts { header_wait: Some(5), entity_body: Some(6), ..wire::Timeouts::default() },
            ..Properties::default()
        };
        let own = Properties {
            timeouts: wire::Timeouts { header_wait: Some(1), ..wire::Timeouts::default() },
            ..Properties::default()
        };
        let group = resolved(&own, &session);
        let timeouts = group.timeouts.unwrap();
        let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs());
        assert_eq!((seconds(timeouts.header_wait), seconds(timeouts.entity_body)), (Some(1), Some(6)));
        assert_eq!(seconds(timeouts.idle_connection), Some(120));
        assert_eq!(group.max_body, Some(10));
        assert_eq!(resolved(&Properties::default(), &Properties::default()).max_body, Some(30_000_000));
    }

    #[test]
    fn zero_inherits_a_timer_and_65535_disables_it() {
        let session = timers(wire::Timeouts { idle_connection: Some(7), min_send_rate: Some(99), ..wire::Timeouts::default() });
        let own = timers(wire::Timeouts {
            idle_connection: Some(0),
            request_queue: Some(wire::Timeouts::DISABLED),
            min_send_rate: Some(wire::Timeouts::NO_MIN_SEND_RATE),
            ..wire::Timeouts::default()
        });
        let timeouts = resolved(&own, &session).timeouts.unwrap();
        assert_eq!(timeouts.idle_connection, Some(Duration::from_secs(7)));
        assert_eq!((timeouts.request_queue, timeouts.min_send_rate), (None, 0));
    }

    #[test]
    fn an_inactive_session_stops_its_groups_and_an_inactive_group_only_itself() {
        let inactive = Properties { state: Some(Activity::Inactive), ..Properties::default() };
        let active = Properties { state: Some(Activity::Active), ..Properties::default() };
        assert!(resolved(&Properties::default(), &active).active);
        assert!(!resolved(&inactive, &active).active);
        assert!(!resolved(&active, &inactive).active);
    }

    #[test]
    fn the_largest_numbers_mean_no_limit() {
        let own = Properties { max_body: Some(u64::MAX), max_connections: Some(u32::MAX), ..Properties::default() };
        let group = resolved(&own, &Properties { max_body: Some(1), ..Properties::default() });
        assert_eq!((group.max_body, group.max_connections), (None, None));
    }

    #[test]
    fn values_without_sense_are_refused_with_the_range() {
        let refused = |properties: Properties, of, text: &str| {
            let refusal = check(&properties, of).unwrap_err();
            assert!(refusal.message.contains(text), "{}", refusal.message);
        };
        let group = Owner::Group(1);
        refused(Properties { max_connections: Some(0), ..Properties::default() }, group, "inactive instead");
        refused(Properties { max_connections: Some(5), ..Properties::default() }, Owner::Session, "for a URL group");
        refused(Properties { max_bandwidth: Some(1023), ..Properties::default() }, group, "1024 or more");
        refused(timers(wire::Timeouts { header_wait: Some(65_536), ..wire::Timeouts::default() }), group, "at most 65534 s");
        for length in [0, 65_536] {
            let refusal = check_queue(&QueueSettings { length: Some(length), ..QueueSettings::default() }).unwrap_err();
            assert!(refusal.message.contains("1 to 65535"), "{}", refusal.message);
        }
    }
}

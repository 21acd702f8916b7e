//! What an app sets, as HTTP.sys is told it.

use narthex_httpsys::{GroupProperty, QueueProperty, Verbosity};
use narthex_proto::wire::Verbosity as Http503Verbosity;

use crate::change::GroupSettings;

/// The properties of the URL group that were asked for.
pub(super) fn group(settings: &GroupSettings) -> Vec<GroupProperty> {
    let timeouts = settings.timeouts.for_httpsys();
    let bandwidth = |most: Option<u64>| most.and_then(|most| u32::try_from(most).ok()).filter(|most| *most < u32::MAX);
    [
        settings.active.map(GroupProperty::Active),
        (timeouts != narthex_httpsys::Timeouts::default()).then_some(GroupProperty::Timeouts(timeouts)),
        settings.max_connections.map(GroupProperty::MaxConnections),
        settings.max_bandwidth.map(|most| GroupProperty::MaxBandwidth(bandwidth(most))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The properties of the request queue that were asked for.
pub(super) fn queue(settings: &GroupSettings) -> Vec<QueueProperty> {
    let queue = &settings.queue;
    [
        queue.length.map(QueueProperty::Length),
        queue.active.map(QueueProperty::Active),
        queue.verbosity.map(|level| QueueProperty::Verbosity(verbosity(level))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn verbosity(level: Http503Verbosity) -> Verbosity {
    match level {
        Http503Verbosity::Basic => Verbosity::Basic,
        Http503Verbosity::Limited => Verbosity::Limited,
        Http503Verbosity::Full => Verbosity::Full,
    }
}

/// What was asked for that only Narthex's own host has, by name.
pub(super) fn not_here(settings: &GroupSettings) -> Vec<&'static str> {
    let queue = &settings.queue;
    let present = [
        ("delegates", settings.delegates == Some(true)),
        ("logging", settings.logging.is_some()),
        ("openers", !queue.openers.is_empty()),
        ("accepts_delegation", queue.accepts_delegation == Some(true)),
        ("restart_grace", queue.restart_grace.is_some()),
    ];
    present.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}

//! Values that settings may not have, and what stays as it was when they are refused.

use narthex_proto::wire::{GroupSettings, Owner, Properties, QueueSettings, Timeouts};
use narthex_tests::wire_app::WireApp;

use crate::failures::scene::{own, plain, queued, timed};
use crate::failures::stage::Stage;

fn queue(length: u32) -> GroupSettings {
    queued(QueueSettings { length: Some(length), ..QueueSettings::default() })
}

fn bandwidth(rate: u64) -> GroupSettings {
    own(Properties { max_bandwidth: Some(rate), ..Properties::default() })
}

fn connections(most: u32) -> GroupSettings {
    own(Properties { max_connections: Some(most), ..Properties::default() })
}

fn timer(seconds: u32) -> [GroupSettings; 5] {
    let seconds = Some(seconds);
    let none = Timeouts::default();
    [
        Timeouts { idle_connection: seconds, ..none },
        Timeouts { header_wait: seconds, ..none },
        Timeouts { entity_body: seconds, ..none },
        Timeouts { drain_entity_body: seconds, ..none },
        Timeouts { request_queue: seconds, ..none },
    ]
    .map(timed)
}

#[test]
fn values_out_of_range_are_refused_at_registration_and_later_and_name_the_range() {
    let stage = Stage::new();
    let (mut app, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    let group = Owner::Group(app.group());
    let before = stage.state()["sessions"].take();
    let mut refused = vec![
        (queue(0), "1 to 65535"),
        (queue(65_536), "1 to 65535"),
        (bandwidth(1023), "1024 or more"),
        (bandwidth(0), "1024 or more"),
        (connections(0), "inactive instead"),
    ];
    refused.extend(timer(65_536).map(|settings| (settings, "at most 65534 s, or 65535 for never")));
    for (settings, advice) in refused {
        let message = app.try_set(group, settings.properties.clone(), settings.queue.clone()).expect_err("a change");
        assert!(message.contains(advice), "{message}");
        let message = app.register("http://127.0.0.1:0/more/", settings).expect_err("a registration");
        assert!(message.contains(advice), "{message}");
    }
    assert_eq!(stage.state()["sessions"], before, "what is refused changes nothing");
}

#[test]
fn the_ends_of_the_ranges_are_in_them() {
    let stage = Stage::new();
    let mut app = WireApp::new(&stage.host);
    let mut taken = vec![queue(1), queue(65_535), bandwidth(1024), bandwidth(u64::MAX), connections(1), connections(u32::MAX)];
    taken.extend(timer(1));
    taken.extend(timer(65_534));
    taken.extend(timer(65_535));
    for settings in taken {
        let outcome = app.register("http://127.0.0.1:0/", settings.clone());
        outcome.unwrap_or_else(|refusal| panic!("{settings:?}: {refusal}"));
    }
}

#[test]
fn a_session_has_neither_a_connection_limit_nor_a_queue() {
    let stage = Stage::new();
    let (mut app, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    let limit = connections(5).properties;
    let message = app.try_set(Owner::Session, limit, QueueSettings::default()).expect_err("a session's limit");
    assert!(message.contains("for a URL group"), "{message}");
    let message = app.try_set(Owner::Session, Properties::default(), queue(5).queue).expect_err("a session's queue");
    assert!(message.contains("name the URL group"), "{message}");
    let nobodys = app.try_set(Owner::Group(987_654), Properties::default(), queue(5).queue);
    assert!(nobodys.is_err(), "another app's group");
}

#[test]
fn verbs_refuse_values_out_of_range() {
    let stage = Stage::new();
    let verbs = [
        "add timeout timeouttype=headerwaittimeout value=0",
        "add timeout timeouttype=headerwaittimeout value=65536",
        "add timeout timeouttype=requestqueue value=5",
        "add setting settingtype=queue_length value=0",
        "add setting settingtype=queue_length value=65536",
        "add setting settingtype=max_bandwidth value=1023",
        "add setting settingtype=max_connections value=1023",
    ];
    let before = (stage.verb("show setting --json"), stage.verb("show timeout --json"));
    for verb in verbs {
        assert!(stage.narthex(verb).is_err(), "{verb}");
    }
    assert_eq!((stage.verb("show setting --json"), stage.verb("show timeout --json")), before);
    stage.verb("add timeout timeouttype=headerwaittimeout value=65535");
}

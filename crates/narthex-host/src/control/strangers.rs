//! What users of one host who do not know each other can do to each other.

use std::sync::Arc;

use narthex_proto::wire::{GroupSettings, LogFormat, Logging, Principal, Properties, QueueSettings, RefusalCode};

use super::ports::PortChange;
use super::reservations::Caller;
use super::state::State;
use crate::config::Config;
use crate::log::{LogOptions, Logs};
use crate::snapshot::AppId;

// User ids that no machine has, so that neither is an operator.
const A: u32 = 3_900_000_001;
const B: u32 = 3_900_000_002;
const DEVS: u32 = 3_900_000_100;

/// A host, and the ports that are open, so that nobody gets one of them again.
struct Host(State, Vec<PortChange>);

fn host() -> Host {
    let logs = Logs::start(LogOptions::new("/nonexistent".into())).unwrap();
    Host(State::new(1, Vec::new(), Arc::new(Config::default()), logs), Vec::new())
}

fn app(host: &mut Host, uid: u32) -> AppId {
    host.0.add_app("app", 1, 1, Caller { uid, groups: vec![DEVS] }, String::new())
}

fn register(host: &mut Host, app: AppId, urls: &[String], group: &GroupSettings) -> Result<(), RefusalCode> {
    let registered = host.0.register(app, group, urls, None).map_err(|refusal| refusal.code)?;
    host.1.push(registered.change);
    Ok(())
}

/// Registers some URL in the queue "shop".
fn open_shop(host: &mut Host, app: AppId, openers: &[Principal]) -> Result<(), RefusalCode> {
    let queue = QueueSettings { name: Some("shop".to_owned()), openers: openers.to_vec(), ..QueueSettings::default() };
    register(host, app, &["http://127.0.0.1:0/".to_owned()], &GroupSettings { queue, ..GroupSettings::default() })
}

#[test]
fn a_queue_that_a_stranger_has_named_first_gets_nobodys_requests() {
    for (openers, opened) in [
        (&[][..], false),
        (&[Principal::User(A)], false),
        (&[Principal::User(B)], true),
        (&[Principal::Group(DEVS)], true),
        (&[Principal::Everyone], true),
    ] {
        let mut host = host();
        let (stranger, shop) = (app(&mut host, B), app(&mut host, A));
        open_shop(&mut host, stranger, &[Principal::Everyone]).unwrap();
        let joined = open_shop(&mut host, shop, openers);
        assert_eq!(joined.err(), (!opened).then_some(RefusalCode::AccessDenied), "{openers:?}");
    }
}

#[test]
fn an_operators_queue_is_opened_without_naming_the_operator() {
    let mut host = host();
    let (operator, shop) = (app(&mut host, 0), app(&mut host, A));
    open_shop(&mut host, operator, &[Principal::User(A)]).unwrap();
    open_shop(&mut host, shop, &[]).unwrap();
}

#[test]
fn a_user_with_many_apps_has_no_more_addresses_than_one_with_one() {
    let mut host = host();
    let some = vec!["http://127.0.0.1:0/".to_owned(); 100];
    let group = GroupSettings::default();
    let mut add = |uid| {
        let app = app(&mut host, uid);
        register(&mut host, app, &some, &group).err()
    };
    assert_eq!([add(A), add(A), add(A), add(B), add(0)], [None, None, Some(RefusalCode::LimitReached), None, None]);
}

#[test]
fn the_urls_of_a_user_have_a_bound_in_bytes() {
    let mut host = host();
    let path = "x".repeat(250) + "/";
    let long = |turn: usize| vec![format!("http://127.0.0.1:0/{turn}/{}", path.repeat(200))];
    let group = GroupSettings::default();
    let refused = (0..100).find_map(|turn| {
        let app = app(&mut host, A);
        register(&mut host, app, &long(turn), &group).err()
    });
    assert_eq!(refused, Some(RefusalCode::LimitReached));
    let app = app(&mut host, B);
    register(&mut host, app, &long(0), &group).unwrap();
}

#[test]
fn a_user_does_not_take_all_the_logs_that_a_host_can_have() {
    let mut host = host();
    let mut log = |uid, site: &str| {
        let logging = Some(Logging { site: Some(site.to_owned()), ..Logging::default() });
        let group = GroupSettings { properties: Properties { logging, ..Properties::default() }, ..GroupSettings::default() };
        let app = app(&mut host, uid);
        register(&mut host, app, &["http://127.0.0.1:0/".to_owned()], &group).err()
    };
    let refused = (0..100).position(|number| log(A, &format!("site{number}")).is_some());
    assert_eq!(refused, Some(32));
    assert_eq!(log(A, "site0"), None, "one that the user has");
    assert_eq!(log(B, "site0"), None);
}

#[test]
fn what_is_not_logged_is_not_kept_to_be_shown() {
    let mut host = host();
    let logging = Some(Logging { format: LogFormat::Off, site: Some("x".repeat(1 << 20)), ..Logging::default() });
    let group = GroupSettings { properties: Properties { logging, ..Properties::default() }, ..GroupSettings::default() };
    let app = app(&mut host, A);
    let refused = register(&mut host, app, &["http://127.0.0.1:0/".to_owned()], &group);
    assert_eq!(refused.err(), Some(RefusalCode::Invalid));
}

//! Stored answers belong to the registration that they came from.

use narthex_proto::wire::{BodyLength, CachePolicy, GroupSettings, Properties, ResponseHead};
use narthex_tests::wire_app::{Session, WireApp};
use narthex_tests::{App, AppOptions, Client, Host, Provider};
use tempfile::TempDir;

use crate::caching::stage::{Asker, CACHED, Stage, answer, is_stored};

#[test]
fn an_app_that_goes_takes_its_answers_with_it() {
    let mut stage = Stage::new();
    let target = answer(CACHED);
    stage.get(&target);
    assert!(is_stored(&stage.get(&target)));
    let prefix = format!("http://127.0.0.1:{}/", stage.app.address.port());
    stage.app.process.crash();
    crate::caching::stage::eventually("the end of its answers", || stage.cached().is_empty());

    stage.app = App::start(Provider::Shared, Some(&stage.host), &AppOptions::new("second", prefix));
    let first = stage.get(&target);
    assert_eq!((is_stored(&first), first.header("x-app")), (false, Some("second")));
    assert_eq!(stage.get(&target).header("x-app"), Some("second"));
}

#[test]
fn a_more_specific_app_takes_the_url_over_and_gives_it_back() {
    let stage = Stage::new();
    let target = answer(CACHED);
    stage.get(&target);
    let prefix = stage.url("/answer/");
    let other = App::start(Provider::Shared, Some(&stage.host), &AppOptions::new("other", prefix));
    let response = stage.get(&target);
    assert_eq!(response.header("x-app"), Some("other"), "another app's answer is served for this one's URL");
    drop(other);
    crate::caching::stage::eventually("the first app's return", || stage.get(&target).header("x-app") == Some("app"));
}

/// Has the app answer the client's next request, cacheably.
fn served(client: &mut Asker, session: &mut Session) -> bool {
    client.send("GET", "/", "");
    let id = session.request();
    let mut head = ResponseHead::new(200, BodyLength::Exact(2));
    head.cache = Some(CachePolicy::UntilFlushed);
    session.answer_with(id, head, "", "ok");
    is_stored(&client.answer("GET"))
}

fn properties(response_cache: bool) -> Properties {
    Properties { response_cache: Some(response_cache), ..Properties::default() }
}

#[test]
fn a_group_switches_its_cache_off_and_on() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = Host::start_with(directory.path(), 1);
    let group = GroupSettings { properties: properties(false), ..GroupSettings::default() };
    let (mut app, address) = WireApp::at(&host, "http://127.0.0.1:0/", group);
    let mut session = app.session();
    let mut client = Asker(Client::connect(address).expect("the host accepts connections"));
    assert!(!served(&mut client, &mut session));
    assert!(!served(&mut client, &mut session), "a group without a cache has one");

    app.set(properties(true));
    assert!(!served(&mut client, &mut session));
    assert!(is_stored(&client.get("/")));

    app.set(properties(false));
    assert!(!served(&mut client, &mut session), "what is stored is served by a group without a cache");
    app.set(properties(true));
    assert!(!served(&mut client, &mut session), "what was stored before comes back");
}

/// A request is with its app when `change` happens; its answer must not be stored.
fn nothing_is_stored_after(change: impl FnOnce(&mut WireApp, &str)) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = Host::start_with(directory.path(), 1);
    let (mut app, address) = WireApp::at(&host, "http://127.0.0.1:0/", GroupSettings::default());
    let mut session = app.session();
    let mut client = Asker(Client::connect(address).expect("the host accepts connections"));
    client.send("GET", "/", "");
    let id = session.request();
    change(&mut app, &format!("http://{address}/"));
    let mut head = ResponseHead::new(200, BodyLength::Exact(2));
    head.cache = Some(CachePolicy::UntilFlushed);
    session.answer_with(id, head, "", "ok");
    assert_eq!(client.answer("GET").text(), "ok");
    assert_eq!(host.operate_json(&["show", "cachestate"]), serde_json::json!([]));
}

#[test]
fn what_is_under_way_when_its_group_stops_caching_is_not_stored() {
    nothing_is_stored_after(|app, _| app.set(properties(false)));
}

#[test]
fn what_is_under_way_when_its_url_is_given_back_is_not_stored() {
    nothing_is_stored_after(|app, prefix| app.unregister(prefix));
}

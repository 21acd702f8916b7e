//! The limits of connections: the host's, a client's and a group's.

use std::process::Command;

use narthex_proto::wire::{GroupSettings, Properties, QueueSettings};
use narthex_tests::process::narthex_program;
use narthex_tests::wire_app::WireApp;
use narthex_tests::{Client, Ending};

use crate::failures::scene::own;
use crate::failures::stage::{SOON, Stage, eventually, get, seen};

/// One more than the limit gets its answer without having asked, and a line without a request.
fn one_too_many(stage: &Stage, address: std::net::SocketAddr) {
    let mut client = Client::connect(address).expect("the host accepts connections");
    let ports = (client.local_address().expect("the client is connected").port(), address.port());
    assert_eq!(seen(&mut client), "503 Service Unavailable, retry after 1, closed");
    let lines = stage.errors_of(&[(ports, 1)]);
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["- - - 503 - ConnLimit -"]);
}

#[test]
fn one_connection_more_than_the_descriptors_allow_is_answered_503() {
    const DESCRIPTORS: usize = 256;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"")]).arg(narthex_program());
    let stage = Stage::by(command, "");
    let (_app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let most = DESCRIPTORS - DESCRIPTORS / 8;
    let mut clients: Vec<_> = (0..most).map(|_| Client::connect(address).expect("the host accepts connections")).collect();
    eventually("all connections are counted", || stage.state()["connections"] == most);
    one_too_many(&stage, address);
    clients.truncate(most - 1);
    eventually("a connection is gone", || stage.state()["connections"] == most - 1);
    let mut client = Client::connect(address).expect("the host accepts connections");
    assert_eq!(client.ending(std::time::Duration::from_millis(50)), Ending::Open);
}

#[test]
fn one_connection_more_than_a_client_may_have_is_answered_503_as_soon_as_the_verb_says() {
    let stage = Stage::new();
    let (_app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    stage.verb("add setting settingtype=max_connections_per_client value=2");
    let _two = [(); 2].map(|()| Client::connect(address).expect("the host accepts connections"));
    eventually("both connections are counted", || stage.state()["connections"] == 2);
    one_too_many(&stage, address);
    stage.verb("delete setting settingtype=max_connections_per_client");
    let mut client = Client::connect(address).expect("the host accepts connections");
    assert_eq!(client.ending(std::time::Duration::from_millis(50)), Ending::Open);
}

#[test]
fn a_groups_limit_counts_connections_gives_places_back_and_changes_live() {
    let stage = Stage::new();
    let limit = |most| Properties { max_connections: Some(most), ..Properties::default() };
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", own(limit(3)));
    let mut session = app.session();
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(address).expect("the host accepts connections")).collect();
    let mut ask = |client: &mut Client, served: bool| {
        get(client, "/");
        if served {
            let id = session.request();
            session.answer(id, "");
        }
        let status = client.response_within(false, SOON).expect("the client is answered").status;
        assert_eq!(status, if served { 200 } else { 503 });
    };
    clients[..3].iter_mut().for_each(|client| ask(client, true));
    ask(&mut clients[3], false);
    // Whoever has a place keeps it.
    ask(&mut clients[0], true);
    clients.remove(1);
    eventually("the place is free", || stage.state()["sessions"][0]["groups"][0]["connections"] == 2);
    ask(&mut clients[2], true);

    let mut fourth = Client::connect(address).expect("the host accepts connections");
    ask(&mut fourth, false);
    app.change(limit(4), QueueSettings::default());
    ask(&mut fourth, true);
    app.change(limit(u32::MAX), QueueSettings::default());
    let mut fifth = Client::connect(address).expect("the host accepts connections");
    ask(&mut fifth, true);
}

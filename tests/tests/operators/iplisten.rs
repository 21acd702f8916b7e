//! The addresses that the host listens on change while it serves.
#![cfg(target_os = "linux")] // Elsewhere 127.0.0.2 is nobody's address.

use std::net::SocketAddr;

use narthex_tests::Client;

use crate::operators::machine::{Machine, eventually, get};

#[test]
fn an_address_comes_and_goes_while_connections_on_others_go_on() {
    let machine = Machine::with("iplisten = [\"127.0.0.1\"]\n", &[]);
    let app = machine.app(&["http://+:0/"]);
    let second = SocketAddr::from(([127, 0, 0, 2], app.port()));
    let mut client = app.connect();
    assert_eq!(get(&mut client, "/whoami").status, 200);
    assert!(Client::connect(second).is_err(), "nobody listens there yet");

    machine.narthex("add iplisten ipaddress=127.0.0.2").done();
    let mut other = Client::connect(second).expect("the host listens there now");
    assert_eq!(get(&mut other, "/whoami").status, 200);
    assert_eq!(get(&mut client, "/whoami").status, 200, "on the connection from before");

    machine.narthex("delete iplisten ipaddress=127.0.0.1").done();
    assert_eq!(get(&mut other, "/whoami").status, 200, "on the connection to the other address");
    eventually("nobody listens there any more", || Client::connect(app.address).is_err().then_some(()));
    let state = machine.narthex("show servicestate").done();
    assert!(state.contains(&second.to_string()) && !state.contains(&app.address.to_string()), "{state}");
}

#[test]
fn a_prefix_that_names_an_address_is_heard_there_whatever_the_list_says() {
    let machine = Machine::with("iplisten = [\"127.0.0.2\"]\n", &[]);
    let app = machine.app(&["http://127.0.0.1:0/"]);
    assert_eq!(app.status("/whoami"), 200);
}

#[test]
fn an_address_that_this_machine_does_not_have_is_told_and_the_rest_goes_on() {
    let machine = Machine::with("iplisten = [\"127.0.0.1\"]\n", &[]);
    let app = machine.app(&["http://+:0/"]);
    machine.narthex("add iplisten ipaddress=192.0.2.77").done();
    machine.logged("192.0.2.77");
    assert_eq!(app.status("/whoami"), 200);
}

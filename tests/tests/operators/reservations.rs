//! Reservations take effect at once, also on what runs.

use crate::operators::machine::{Machine, get, request};

fn host(name: &str) -> String {
    format!("GET /vroot/file HTTP/1.1\r\nHost: {name}\r\n\r\n")
}

#[test]
fn a_reservation_below_a_running_app_takes_its_requests_at_once_and_gives_them_back_at_once() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/vroot/"]);
    let url = format!("http://127.0.0.1:{}/vroot/sub/", app.port());
    let mut client = app.connect();
    assert_eq!(get(&mut client, "/vroot/sub/whoami").status, 404, "the app's own answer");

    machine.narthex(&format!("add urlacl url={url} user=4242")).done();
    assert_eq!(get(&mut client, "/vroot/sub/whoami").status, 503, "nobody has registered what is reserved");
    assert_eq!(get(&mut client, "/vroot/whoami").status, 200, "what is beside the reservation goes on");

    machine.narthex(&format!("delete urlacl url={url}")).done();
    assert_eq!(get(&mut client, "/vroot/sub/whoami").status, 404);
}

#[test]
fn a_reservation_in_an_earlier_bucket_shadows_an_app_without_owner() {
    let machine = Machine::new();
    let app = machine.app(&["http://*:0/vroot/"]);
    let mut client = app.connect();
    assert_ne!(request(&mut client, &host("adatum.com")).status, 503);
    machine.narthex(&format!("add urlacl url=http://adatum.com:{}/ user=4242", app.port())).done();
    assert_eq!(request(&mut client, &host("adatum.com")).status, 503);
    assert_ne!(request(&mut client, &host("other.com")).status, 503);
    let explained = machine.narthex(&format!("explain http://adatum.com:{}/vroot/file", app.port())).done();
    assert!(explained.contains("gets 503") && explained.contains("reserved for user 4242"), "{explained}");
}

#[test]
fn a_port_has_one_scheme_for_registrations_and_reservations_alike() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    let refused = machine.narthex(&format!("add urlacl url=https://+:{}/x/ user=4242", app.port())).refused();
    assert!(refused.contains("http"), "{refused}");
    machine.narthex("add urlacl url=http://+:81/ user=4242").done();
    machine.narthex("add urlacl url=https://+:81/ user=4242").refused();
    machine.narthex("add urlacl url=https://+:444/ user=4242").done();
}

#[test]
fn what_is_reserved_already_has_to_be_deleted_first() {
    let machine = Machine::new();
    machine.narthex("add urlacl url=http://+:81/a/ user=4242").done();
    let refused = machine.narthex("add urlacl url=http://+:81/A user=4243").refused();
    assert!(refused.contains("narthex delete urlacl url=http://+:81/a/"), "{refused}");
    machine.narthex("add urlacl url=http://a.example:81/a/ user=4243").done();
    machine.narthex("delete urlacl url=http://+:81/b/").refused();
    assert!(machine.narthex("show urlacl url=http://+:81/a/").done().contains("4242"));
}

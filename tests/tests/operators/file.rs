//! What is set outlives the host; what is edited by hand is followed, and no connection is dropped for it.

use std::fs;

use narthex_tests::{Client, Framing, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};

use crate::operators::machine::{Machine, eventually, get};

const SHOWS: [&str; 4] = ["show urlacl", "show iplisten", "show timeout", "show setting"];

fn shown(machine: &Machine) -> Vec<String> {
    SHOWS.iter().map(|show| machine.narthex(show).done()).collect()
}

#[test]
fn a_host_that_was_killed_comes_back_with_what_was_set() {
    let mut machine = Machine::new();
    let before = shown(&machine);
    machine.narthex("add urlacl url=http://+:81/a/ user=4242 delegate=yes").done();
    machine.narthex("add iplisten ipaddress=127.0.0.1").done();
    machine.narthex("add timeout timeouttype=headerwaittimeout value=30").done();
    machine.narthex("add setting settingtype=queue_length value=7").done();
    let set = shown(&machine);
    assert!(set.iter().zip(&before).all(|(set, before)| set != before), "{set:?}");
    machine.host.crash();
    machine.restart();
    assert_eq!(shown(&machine), set);
}

#[test]
fn an_app_is_back_where_it_was_after_its_host_was_killed() {
    let mut machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    machine.narthex("add setting settingtype=max_url_length value=64").done();
    machine.host.crash();
    machine.restart();
    let mut client = eventually("the app registers again", || Client::connect(app.address).ok());
    assert_eq!(get(&mut client, "/whoami").status, 200);
    assert_eq!(app.status(&format!("/{}", "x".repeat(64))), 414, "what was set is in force from the start");
}

#[test]
fn an_edit_takes_effect_while_connections_go_on() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    let mut client = app.connect();
    assert_ne!(get(&mut client, "/sub/x").status, 503);
    let mut download = app.connect();
    download.send(b"GET /drip?chunks=200&size=10&ms=10 HTTP/1.1\r\nHost: x\r\n\r\n").expect("the host reads");

    let urlacl = format!("# mine\n[[urlacl]]\nurl = \"http://127.0.0.1:{}/sub/\"\nallow = [{{ user = 4242 }}]\n", app.port());
    machine.edit(|text| text + &urlacl);
    eventually("the reservation is in force", || (get(&mut client, "/sub/x").status == 503).then_some(()));
    machine.narthex("add setting settingtype=queue_length value=7").done();
    let text = fs::read_to_string(machine.config()).expect("the file is there");
    assert!(text.contains("# mine") && text.contains("queue_length = 7"), "{text}");

    let whole = download.response(false).expect("the download goes on");
    assert_eq!((whole.framing, whole.body.len()), (Framing::Chunked, 2000));
    assert_eq!(get(&mut client, "/whoami").status, 200, "the first connection is still there");
}

#[test]
fn a_hang_up_signal_has_the_file_read() {
    let machine = Machine::new();
    machine.edit(|_| "[settings]\nqueue_length = 7\n".to_owned());
    let pid = Pid::from_raw(machine.host.id().try_into().expect("a process id")).expect("a process id");
    kill_process(pid, Signal::HUP).expect("the host runs");
    machine.logged("SIGHUP");
    eventually("the setting is in force", || {
        machine.narthex("show setting settingtype=queue_length --json").done().contains("\"7\"").then_some(())
    });
}

#[test]
fn a_mistake_is_told_once_with_its_place_and_changes_nothing_until_it_is_mended() {
    let machine = Machine::new();
    machine.narthex("add urlacl url=http://+:81/a/ user=4242").done();
    machine.narthex("add setting settingtype=queue_length value=7").done();
    let before = shown(&machine);
    let good = fs::read_to_string(machine.config()).expect("the file is there");
    let bad = good.replace("queue_length = 7", "queue_length = 70000");
    let line = bad.lines().position(|line| line.contains("70000")).expect("it was replaced") + 1;
    let place = format!("narthex.toml:{line}:16: ");

    machine.edit(|_| bad);
    let logged = machine.logged(&place);
    assert!(logged.contains("ERROR") && logged.contains("1 to 65535"), "{logged}");
    assert_eq!(shown(&machine), before);
    for change in ["add urlacl url=http://+:81/b/ user=4242", "reload"] {
        let refused = machine.narthex(change).refused();
        assert!(refused.contains(&place), "{change}: {refused}");
    }
    assert_eq!(shown(&machine), before);

    machine.edit(|_| good.replace("queue_length = 7", "queue_length = 8"));
    machine.logged("the configuration has changed");
    assert!(machine.narthex("show setting settingtype=queue_length --json").done().contains("\"8\""));
    machine.narthex("add urlacl url=http://+:81/b/ user=4242").done();
    assert_eq!(machine.host.log().matches(&place).count(), 1, "{}", machine.host.log());
}

#[test]
fn a_reservation_that_contradicts_what_runs_is_a_mistake_too() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    let urlacl = format!("[[urlacl]]\nurl = \"https://+:{}/\"\nallow = [{{ user = 4242 }}]\n", app.port());
    machine.edit(|text| text + &urlacl);
    assert!(machine.narthex("reload").refused().contains("narthex.toml:2:"), "the place of the URL");
    assert_eq!(app.status("/whoami"), 200);
}

#[test]
fn a_file_that_is_gone_changes_nothing_until_the_operator_says_so() {
    let machine = Machine::with("[settings]\nqueue_length = 7\n", &["--listen", "127.0.0.1"]);
    fs::remove_file(machine.config()).expect("the file is there");
    machine.logged("the configuration file is gone");
    let length = || machine.narthex("show setting settingtype=queue_length --json").done();
    assert!(length().contains("\"7\""));
    machine.narthex("reload").done();
    assert!(length().contains("\"1000\""));
}

#[test]
fn a_host_does_not_start_with_a_mistake_and_says_where_it_is() {
    let mut machine = Machine::new();
    machine.host.terminate();
    machine.host.wait(PATIENCE);
    machine.edit(|_| "iplisten = [\"127.0.0.1\"]\nqueue_length = 7\n".to_owned());
    let said = machine.narthex(&format!("host --socket {}", machine.socket().display()));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("narthex.toml:2:1: "), "{}", said.err);
}

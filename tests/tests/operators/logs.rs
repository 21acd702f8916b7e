//! Logs are switched on and off while apps run.

use std::fs;
use std::path::Path;

use crate::operators::machine::Machine;

/// What is in the files of a folder of the host's logs.
fn logged(machine: &Machine, site: &str) -> String {
    machine.narthex("flush logbuffer").done();
    let folder = machine.config().with_file_name("log").join(site);
    let read = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
    read(&folder).iter().map(|file| fs::read_to_string(file.path()).expect("a log is text")).collect()
}

#[test]
fn what_the_host_refuses_is_in_the_error_log_with_its_reason_unless_that_is_off() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/vroot/"]);
    machine.narthex(&format!("add urlacl url=http://127.0.0.1:{}/vroot/sub/ user=4242", app.port())).done();
    assert_eq!((app.status("/vroot/sub/x"), app.status("/nothing")), (503, 404));
    let log = logged(&machine, "httperr");
    assert!(log.lines().any(|line| line.contains(" /vroot/sub/x 503 ") && line.contains(" N/A ")), "{log}");
    assert!(log.lines().any(|line| line.contains(" /nothing 404 ") && line.contains(" NotFound ")), "{log}");

    machine.narthex("add setting settingtype=error_log value=no").done();
    assert_eq!(app.status("/unlogged"), 404);
    assert!(!logged(&machine, "httperr").contains("/unlogged"));
}

#[test]
fn the_requests_of_a_running_app_are_logged_from_the_moment_that_the_operator_wants_it() {
    let machine = Machine::new();
    let app = machine.app(&["http://127.0.0.1:0/"]);
    assert_eq!(app.status("/whoami?before"), 200);
    machine.narthex("add setting settingtype=access_log_site value=all").done();
    machine.narthex("add setting settingtype=access_log value=w3c").done();
    assert_eq!(app.status("/whoami?with"), 200);
    let log = logged(&machine, "all");
    assert!(log.contains(" /whoami with ") && !log.contains("before"), "{log}");
    machine.narthex("delete setting settingtype=access_log").done();
    assert_eq!(app.status("/whoami?after"), 200);
    assert!(!logged(&machine, "all").contains("after"));
}

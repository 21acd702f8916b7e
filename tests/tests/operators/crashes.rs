//! `kill -9` at any moment leaves a file that is valid, with everything that was answered.

use std::process::{Command, Stdio};
use std::time::Duration;

use narthex_tests::process::narthex_program;

use crate::operators::machine::Machine;

fn urls(machine: &Machine) -> Vec<String> {
    let shown = machine.narthex("show urlacl --json").done();
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("the answer is JSON");
    shown.as_array().into_iter().flatten().filter_map(|entry| Some(entry["url"].as_str()?.to_owned())).collect()
}

#[test]
fn a_command_that_is_killed_leaves_the_file_as_it_was_or_as_it_was_to_be() {
    let mut machine = Machine::new();
    let text = || machine.narthex("dump").done();
    for turn in 0..30 {
        let mut command = Command::new(narthex_program());
        command.args(["add", "urlacl", &format!("url=http://+:81/{turn}/"), "user=4242"]).arg("--socket").arg(machine.socket());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("narthex can be started");
        // From before it asks until after it is answered.
        std::thread::sleep(Duration::from_micros(700 * turn));
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
    }
    // The host may still be at work for the last one.
    machine.narthex("add urlacl url=http://+:81/last/ user=4242").done();
    let (dump, found) = (text(), urls(&machine));
    machine.host.crash();
    machine.restart();
    assert_eq!(machine.narthex("dump").done(), dump);
    assert!(found.len() > 1, "none of the commands came to its end: {found:?}");
}

#[test]
fn a_host_that_is_killed_while_it_writes_keeps_everything_that_it_answered() {
    let mut machine = Machine::new();
    let mut answered = Vec::new();
    for round in 0..8 {
        let pid = machine.host.id();
        std::thread::scope(|scope| {
            let adds = scope.spawn(|| {
                let url = |turn| format!("http://+:81/{round}/{turn}/");
                let done = |url: &String| machine.narthex(&format!("add urlacl url={url} user=4242")).code == Some(0);
                (0..).map(url).take_while(done).collect::<Vec<_>>()
            });
            std::thread::sleep(Duration::from_micros(30_000 + 7_900 * round));
            let pid = rustix::process::Pid::from_raw(pid.try_into().expect("a process id")).expect("a process id");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the host is ours");
            answered.extend(adds.join().expect("the adds end with the host"));
        });
        machine.host.crash();
        // It would not start with a file that is not valid.
        machine.restart();
        let found = urls(&machine);
        let lost: Vec<_> = answered.iter().filter(|url| !found.contains(url)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
    }
    assert!(!answered.is_empty(), "no add came to its end");
    let left = std::fs::read_dir(machine.config().with_file_name("")).expect("the directory is there");
    let left: Vec<_> = left.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(".new")).collect();
    assert!(left.is_empty(), "{left:?}");
}

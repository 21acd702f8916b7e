//! Disks that take nothing: requests go on, and what is lost is counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use narthex_tests::Client;

use crate::logging::stage::{SOON, Stage, ask, eventually, lines, send};

const LONG: usize = 3900;
/// More than is kept for later.
const MANY: usize = 200;

fn settings(logs: &Path) -> String {
    format!(
        "access_log = \"w3c\"\naccess_log_fields = \"cs-uri-query\"\nerror_log = false\nlog_directory = \"{}\"",
        logs.display()
    )
}

/// Lines of about 4 KiB.
fn fill(client: &mut Client) {
    let target = format!("/?{}", "x".repeat(LONG));
    for _ in 0..MANY / 20 {
        (0..20).for_each(|_| send(client, "GET", &target, ""));
        (0..20).for_each(|_| drop(client.response_within(false, SOON).expect("it is answered")));
    }
}

fn lost(stage: &Stage) -> u64 {
    stage.host.operate(&["flush", "logbuffer"]);
    stage.host.operate_json(&["show", "servicestate"])["log_lines_lost"].as_u64().expect("lost lines are counted")
}

#[test]
fn a_folder_that_cannot_be_made_delays_nothing_and_its_lost_lines_are_counted() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let logs = directory.path().join("log");
    // Not even root can make a folder where a file is.
    fs::write(&logs, "in the way").expect("a file can be written");
    let stage = Stage::with(1, &settings(&logs));
    let mut client = stage.connect();
    let begun = Instant::now();
    fill(&mut client);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually("a loss", || lost(&stage) > 0);
    let state = stage.host.operate_json(&["show", "servicestate"]);
    assert!(state["logs"][0]["last_error"].is_string(), "{}", state["logs"]);

    fs::remove_file(&logs).expect("the file can go");
    ask(&mut client, "GET", "/?last", "");
    let lost = lost(&stage);
    eventually("what was kept", || lines(&logs).last().is_some_and(|line| line == "last"));
    assert_eq!(lines(&logs).len() as u64 + lost, MANY as u64 + 1);
    let file = crate::logging::stage::files(&logs).remove(0);
    let text = fs::read_to_string(file).expect("a log is text");
    let told: u64 = text.lines().filter_map(|line| line.strip_prefix("#Lost: ")?.parse::<u64>().ok()).sum();
    assert_eq!(told, lost);
    let state = stage.host.operate_json(&["show", "servicestate"]);
    assert!(state["logs"][0]["last_error"].is_null(), "{}", state["logs"]);
}

/// A file system with little room, if this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).expect("a folder can be made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_delays_nothing_and_has_whole_lines_only() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let Some(disk) = SmallDisk::mount(directory.path().join("small")) else {
        return eprintln!("this user may not mount a small disk: nothing is tested");
    };
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, [0; 64 << 10]).expect("there is room");
    let logs = disk.0.join("log");
    let stage = Stage::with(1, &settings(&logs));
    let mut client = stage.connect();
    let begun = Instant::now();
    fill(&mut client);
    fill(&mut client);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually("a loss", || lost(&stage) > 0);
    let whole = |line: &String| line.len() == LONG || line == "last";
    // What fits of a line is there for a moment, until the rest is refused: each second, when it is tried again.
    let are_whole = || lines(&logs).iter().all(whole);
    eventually("whole lines", are_whole);
    let written = lines(&logs);
    assert!(!written.is_empty());
    // With room for some of what was kept, that is written, and all the rest is counted or still kept.
    fs::remove_file(&ballast).expect("the ballast can go");
    eventually("more lines", || lines(&logs).len() > written.len());
    eventually("whole lines", are_whole);
    assert!(lines(&logs).len() as u64 + lost(&stage) <= 2 * MANY as u64);
}

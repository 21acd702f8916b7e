//! Where lines go, and when a new file begins.

use narthex_tests::{Client, Host};

use crate::logging::stage::{JSON, SOON, Stage, ask, files, lines, send};

const LONG: usize = 3900;

/// Asks so often, with lines of about 4 KiB.
fn fill(client: &mut Client, times: usize) {
    let target = format!("/?{}", "x".repeat(LONG));
    for _ in 0..times / 20 {
        (0..20).for_each(|_| send(client, "GET", &target, ""));
        (0..20).for_each(|_| drop(client.response_within(false, SOON).expect("it is answered")));
    }
}

fn names(stage: &Stage) -> Vec<String> {
    let name = |file: &std::path::PathBuf| file.file_name().map(|name| name.to_string_lossy().into_owned());
    files(&stage.logs()).iter().filter_map(name).collect()
}

#[test]
fn a_full_file_is_followed_by_the_next() {
    let stage = Stage::with(1, "access_log = \"w3c\"\naccess_log_rollover = \"size\"\naccess_log_max_size = 1048576");
    fill(&mut stage.connect(), 600);
    crate::logging::stage::eventually("all lines", || stage.lines().len() == 600);
    assert_eq!(names(&stage), ["extend1.log", "extend2.log", "extend3.log"]);
    for file in files(&stage.logs()) {
        let text = std::fs::read_to_string(&file).expect("a log is text");
        assert!(text.starts_with("#Software") && text.len() <= 1 << 20, "{}", text.len());
    }
}

#[test]
fn a_period_s_files_are_named_by_it() {
    for (rollover, digits) in [("hourly", 8), ("daily", 6), ("weekly", 6), ("monthly", 4)] {
        let stage = Stage::with(1, &format!("access_log = \"w3c\"\naccess_log_rollover = \"{rollover}\""));
        stage.get("/");
        crate::logging::stage::eventually("the line", || stage.lines().len() == 1);
        let names = names(&stage);
        let number = names[0].strip_prefix("ex").and_then(|name| name.strip_suffix(".log")).expect("it is an ex file");
        assert!(number.len() == digits && number.bytes().all(|byte| byte.is_ascii_digit()), "{rollover}: {names:?}");
    }
}

#[test]
fn logs_are_where_the_settings_say() {
    let elsewhere = tempfile::tempdir().expect("a temporary directory can be made");
    let logs = elsewhere.path().join("deep/logs");
    let settings =
        format!("{JSON}\nlog_directory = \"{}\"\naccess_log_site = \"central\"\naccess_log_rollover = \"size\"", logs.display());
    let stage = Stage::with(1, &settings);
    stage.get("/");
    crate::logging::stage::eventually("the line", || {
        stage.host.operate(&["flush", "logbuffer"]);
        lines(&logs).len() == 1
    });
    assert_eq!(files(&logs), [logs.join("central/json1.log")]);
    assert!(!stage.logs().exists());
}

#[test]
fn a_file_that_is_moved_away_is_begun_anew() {
    let stage = Stage::with(1, JSON);
    stage.get("/?first");
    crate::logging::stage::eventually("the first line", || stage.lines().len() == 1);
    let file = files(&stage.logs()).remove(0);
    std::fs::rename(&file, stage.directory.path().join("moved")).expect("a log can be moved");
    let mut client = stage.connect();
    let mut asked = 0;
    crate::logging::stage::eventually("a new file", || {
        ask(&mut client, "GET", "/?more", "");
        asked += 1;
        stage.lines();
        file.exists()
    });
    let moved = std::fs::read_to_string(stage.directory.path().join("moved")).expect("it is still there");
    assert_eq!(moved.lines().count() + stage.lines().len(), 1 + asked);
}

#[test]
fn a_new_host_goes_on_in_the_last_file() {
    let mut stage = Stage::with(1, JSON);
    stage.get("/");
    stage.host.process.terminate();
    assert!(stage.host.process.wait(SOON).success());
    stage.app.process.crash();
    let settings = format!("[settings]\n{JSON}\n");
    stage.host = Host::start_configured(stage.directory.path(), 1, &settings);
    let options = narthex_tests::AppOptions::new("shop", "http://127.0.0.1:0/");
    stage.app = narthex_tests::App::start(narthex_tests::Provider::Shared, Some(&stage.host), &options);
    stage.get("/");
    crate::logging::stage::eventually("both lines", || stage.lines().len() == 2);
    assert_eq!(names(&stage).len(), 1);
}

#[test]
fn a_size_that_is_too_small_is_refused_by_the_setting() {
    let stage = Stage::with(1, JSON);
    for setting in ["access_log_max_size", "error_log_max_size"] {
        let mut command = std::process::Command::new(narthex_tests::process::narthex_program());
        command.args(["add", "setting", &format!("settingtype={setting}"), "value=65536", "--socket"]);
        let output = command.arg(stage.host.socket()).output().expect("the narthex command can be started");
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && problem.contains("1048576"), "{setting}: {problem}");
    }
}

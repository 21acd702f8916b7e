//! Which file a line goes to, and what files look like after restarts, moves and changes.

use std::os::unix::fs::symlink;

use super::*;

fn stem(target: &str) -> Asked<'_> {
    Asked { target, ..Asked::default() }
}

fn rolling(rollover: Rollover, local_time: bool) -> Logging {
    Logging { rollover, local_time, ..with_fields(LogFormat::W3c, "cs-uri-stem") }
}

#[test]
fn a_new_period_begins_a_new_file_and_each_line_is_in_its_own() {
    let mut stage = Stage::at("2026-12-31T23:59:59.999Z");
    let rollovers = [Rollover::Hourly, Rollover::Daily, Rollover::Weekly, Rollover::Monthly];
    let logs = rollovers.map(|rollover| {
        let site = Some(format!("{rollover:?}"));
        stage.open(&Logging { site, ..rolling(rollover, false) })
    });
    for (time, target) in [("2026-12-31T23:59:59.999Z", "/old"), ("2027-01-01T00:00:00Z", "/new")] {
        stage.set(time);
        logs.iter().for_each(|log| stage.log(log, &stem(target)));
    }
    stage.write();
    for (site, old, new) in [
        ("Hourly", "ex26123123.log", "ex27010100.log"),
        ("Daily", "ex261231.log", "ex270101.log"),
        ("Weekly", "ex261205.log", "ex270101.log"),
        ("Monthly", "ex2612.log", "ex2701.log"),
    ] {
        assert_eq!(stage.files(site), [old, new]);
        assert_eq!(stage.lines(&format!("{site}/{old}")), ["/old"], "{site}");
        assert_eq!(stage.lines(&format!("{site}/{new}")), ["/new"], "{site}");
    }
}

#[test]
fn local_time_moves_the_end_of_the_day_but_not_the_lines_time() {
    let mut stage = Stage::at("2026-11-22T23:30:00Z");
    let fields = with_fields(LogFormat::W3c, "date time");
    stage.log(&stage.open(&Logging { local_time: true, ..fields.clone() }), &Asked::default());
    stage.log(&stage.open(&Logging { site: Some("utc".to_owned()), ..fields }), &Asked::default());
    stage.write();
    assert_eq!(stage.lines("shop/ex261123.log"), ["2026-11-22 23:30:00"]);
    assert_eq!(stage.lines("utc/ex261122.log"), ["2026-11-22 23:30:00"]);
}

#[test]
fn a_restart_goes_on_in_the_same_file_under_a_new_header_block() {
    let mut stage = Stage::new();
    for target in ["/1", "/2"] {
        stage.log(&stage.open(&rolling(Rollover::Daily, false)), &stem(target));
        stage.write();
        stage.restart();
    }
    assert_eq!(stage.files("shop"), ["ex261122.log"]);
    assert_eq!(stage.lines("shop/ex261122.log"), ["/1", "/2"]);
    assert_eq!(stage.read("shop/ex261122.log").matches("#Fields: cs-uri-stem\n").count(), 2);
}

#[test]
fn a_full_file_is_followed_by_the_next_number_also_after_a_restart() {
    let mut stage = Stage::new();
    let log = stage.numbered(200);
    for target in ["/1", "/2", "/3"] {
        stage.log(&log, &stem(&format!("{target}{}", "x".repeat(60))));
        stage.write();
    }
    assert_eq!(stage.files("shop"), ["extend1.log", "extend2.log", "extend3.log"]);
    drop(log);
    stage.restart();
    stage.log(&stage.numbered(4000), &stem("/appended"));
    stage.write();
    assert_eq!(stage.lines("shop/extend3.log").last().unwrap(), "/appended");
    stage.restart();
    stage.log(&stage.numbered(200), &stem("/next"));
    stage.write();
    assert_eq!(stage.lines("shop/extend4.log"), ["/next"]);
}

#[test]
fn numbers_count_on_after_the_highest_there_is() {
    let mut stage = Stage::new();
    fs::create_dir_all(stage.root().join("shop")).unwrap();
    for name in ["extend9.log", "extend10.log", "extend007.log", "ncsa99.log"] {
        fs::write(stage.root().join("shop").join(name), "x\n".repeat(100)).unwrap();
    }
    stage.log(&stage.numbered(200), &stem("/a"));
    stage.write();
    assert_eq!(stage.lines("shop/extend11.log"), ["/a"]);
    assert_eq!(stage.read("shop/extend10.log"), "x\n".repeat(100));
}

#[test]
fn no_file_grows_beyond_its_size() {
    let mut stage = Stage::new();
    let log = stage.numbered(10_000);
    for number in 0..5000 {
        stage.log(&log, &stem(&format!("/{number}")));
        if number % 500 == 0 {
            stage.write();
        }
    }
    stage.write();
    let files = stage.files("shop");
    let mut lines = 0;
    for file in &files {
        let text = stage.read(&format!("shop/{file}"));
        assert!(text.len() <= 10_000 && text.ends_with('\n'), "{file}: {}", text.len());
        lines += stage.lines(&format!("shop/{file}")).len();
    }
    assert_eq!((files.len() > 1, lines), (true, 5000));
}

#[test]
fn a_buffer_that_is_late_goes_to_the_new_file_and_a_clock_set_back_to_the_old() {
    let mut stage = Stage::at("2026-11-22T23:59:59Z");
    let log = stage.open(&rolling(Rollover::Daily, false));
    let other = WorkerLogs::new(&stage.logs);
    stage.log(&log, &stem("/late"));
    stage.set("2026-11-23T00:00:00Z");
    let mine = std::mem::replace(&mut stage.worker, other);
    stage.log(&log, &stem("/new"));
    stage.write();
    stage.worker = mine;
    stage.write();
    assert_eq!(stage.lines("shop/ex261123.log"), ["/new", "/late"]);
    stage.set("2026-11-22T12:00:00Z");
    stage.log(&log, &stem("/back"));
    stage.write();
    assert_eq!(stage.lines("shop/ex261122.log"), ["/back"]);
}

#[test]
fn a_file_that_was_moved_away_or_deleted_is_begun_anew() {
    let mut stage = Stage::new();
    let log = stage.open(&rolling(Rollover::Daily, false));
    stage.log(&log, &stem("/1"));
    stage.write();
    fs::rename(stage.root().join("shop/ex261122.log"), stage.root().join("shop/old")).unwrap();
    stage.write();
    stage.log(&log, &stem("/2"));
    stage.write();
    fs::remove_dir_all(stage.root()).unwrap();
    stage.write();
    stage.log(&log, &stem("/3"));
    stage.write();
    assert_eq!(stage.lines("shop/ex261122.log"), ["/3"]);
    assert_eq!((log.report().lost, log.report().files), (0, 3));
}

#[test]
fn logs_with_other_fields_in_one_file_each_stand_under_their_own_header() {
    let mut stage = Stage::new();
    let (stems, statuses) = (stage.open(&rolling(Rollover::Daily, false)), stage.open(&with_fields(LogFormat::W3c, "sc-status")));
    for log in [&stems, &statuses, &stems] {
        stage.log(log, &stem("/a"));
        stage.write();
    }
    let text = stage.read("shop/ex261122.log");
    let shown: Vec<_> = text.lines().filter(|line| !line.starts_with("#Software") && !line.starts_with("#Date")).collect();
    let stems = ["#Version: 1.0", "#Fields: cs-uri-stem", "/a"];
    assert_eq!(shown, [&stems[..], &["#Version: 1.0", "#Fields: sc-status", "200"], &stems].concat());
}

#[test]
fn groups_that_ask_for_the_same_share_a_log_until_the_last_is_gone() {
    let stage = Stage::new();
    let (first, second) = (stage.open(&Logging::default()), stage.open(&Logging::default()));
    assert!(Arc::ptr_eq(&first, &second));
    let id = first.id;
    drop((first, second));
    assert_ne!(stage.open(&Logging::default()).id, id);
}

#[test]
fn only_so_many_logs_are_open() {
    let stage = Stage::new();
    let open = |site: usize| stage.logs.open(&Logging::default(), &format!("site{site}"));
    // The error log is one of 256.
    let mut logs: Vec<_> = (0..255).map(|site| open(site).unwrap()).collect();
    assert_eq!(open(255).err(), Some(LogError::TooMany(256)));
    logs.pop();
    assert!(open(255).is_ok());
}

#[test]
fn a_folder_that_is_somebody_elses_link_is_not_written_through() {
    let mut stage = Stage::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(stage.root()).unwrap();
    symlink(elsewhere.path(), stage.root().join("shop")).unwrap();
    let log = stage.open(&Logging::default());
    stage.log(&log, &stem("/a"));
    stage.write();
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert!(log.report().last_error.unwrap().contains("link"));
    fs::remove_file(stage.root().join("shop")).unwrap();
    stage.write();
    assert_eq!((log.report().lines, log.report().last_error), (1, None));
}

#[test]
fn the_error_log_changes_while_it_is_in_use() {
    let mut stage = Stage::new();
    let connection = connection();
    stage.worker.refused(&refused(&connection, b"GET /1 HTTP/1.1"), None, None);
    let daily = ErrorLogOptions { rollover: Rollover::Daily, ..ErrorLogOptions::default() };
    stage.logs.set_error_log(Some(daily)).unwrap();
    stage.worker.refused(&refused(&connection, b"GET /2 HTTP/1.1"), None, None);
    stage.logs.set_error_log(None).unwrap();
    stage.worker.refused(&refused(&connection, b"GET /3 HTTP/1.1"), None, None);
    assert!(stage.logs.set_error_log(Some(ErrorLogOptions { max_size: 5, ..daily })).is_err());
    stage.write();
    assert_eq!(stage.files("httperr"), ["ht261122.log", "httperr1.log"]);
    assert!(stage.lines("httperr/httperr1.log").iter().all(|line| line.contains(" /1 ")));
    assert!(stage.lines("httperr/ht261122.log").iter().all(|line| line.contains(" /2 ")));
}

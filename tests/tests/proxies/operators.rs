//! What operators set and see: all of it is live.

use std::time::Duration;

use narthex_tests::{Ending, Provider};
use serde_json::Value;

use crate::proxies::stage::{SOON, Seen, Stage, TRUSTED, binary, get, seen};

const HEADER: &str = "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n";

#[test]
fn who_is_trusted_changes_while_a_connection_is_open() {
    let stage = Stage::new(Provider::Shared, &[], false);
    let mut client = stage.connect();
    let own = client.local_address().expect("it is connected").to_string();
    let told = "X-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(seen(&mut client, told).address, own);
    stage.set("trusted_proxies", "127.0.0.0/8,fd00::/8");
    assert_eq!(seen(&mut client, told).address, "192.0.2.1:0");
    stage.set("trusted_proxies", "none");
    assert_eq!(seen(&mut client, told).address, own);
}

#[test]
fn where_headers_are_expected_changes_for_the_connections_that_come_then() {
    let stage = Stage::new(Provider::Shared, &[], false);
    let mut before = stage.connect();
    let own = before.local_address().expect("it is connected").to_string();
    assert_eq!(seen(&mut before, "").address, own);
    stage.set("proxy_protocol", &format!("0.0.0.0:{}", stage.app.address.port()));
    assert_eq!(stage.seen(HEADER), Seen::at("192.0.2.1:4711", false));
    assert_eq!(seen(&mut before, "").address, own, "who is there stays");
    stage.set("proxy_protocol", "127.0.0.2:1,[::1]:2");
    assert_eq!(get(&mut stage.connect(), "/whoami", "").status, 200);
}

#[test]
fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    let stage = Stage::new(Provider::Shared, &[], true);
    let host = stage.host.as_ref().expect("there is a host");
    host.operate(&["add", "timeout", "timeouttype=headerwaittimeout", "value=1"]);
    for begun in ["", "PROXY TCP4 192.0.2.1"] {
        let mut client = stage.begin(begun);
        assert_eq!(client.ending(Duration::from_millis(500)), Ending::Open);
        assert_eq!(client.ending(SOON), Ending::Closed);
    }
}

#[test]
fn connections_are_counted_by_their_clients_and_not_by_their_proxy() {
    let stage = Stage::new(Provider::Shared, &[], true);
    stage.set("max_connections_per_client", "1");
    let of = |client: &str| stage.begin(binary(client, b""));
    let (mut one, mut two) = (of("192.0.2.1:1"), of("192.0.2.2:1"));
    assert_eq!((get(&mut one, "/whoami", "").status, get(&mut two, "/whoami", "").status), (200, 200));
    assert_eq!(of("192.0.2.1:2").response_within(false, SOON).expect("an answer").status, 503);
    drop(one);
    let served = || {
        let mut again = of("192.0.2.1:3");
        again.send(b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n").is_ok()
            && again.response_within(false, SOON).is_ok_and(|response| response.status == 200)
    };
    assert!((0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        served()
    }));
}

#[test]
fn logs_have_the_real_client() {
    let stage = Stage::new(Provider::Shared, &TRUSTED, true);
    let mut proxy = stage.begin(binary("10.1.1.1:4711", b""));
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(get(&mut proxy, "/whoami", &format!("X-Forwarded-For: {client}\r\n")).status, 200);
    }
    assert_eq!(get(&mut proxy, "/whoami", "").status, 200);
    let mut direct = stage.begin(binary("[2001:db8::7]:4711", b""));
    assert_eq!(get(&mut direct, "/whoami", "X-Forwarded-For: 203.0.113.66\r\n").status, 200);
    assert_eq!(get(&mut proxy, "/%zz", "X-Forwarded-For: 192.0.2.3\r\n").status, 400);
    let mut seen: Vec<String> =
        logged(&stage).iter().map(|line| line["client_ip"].as_str().expect("an address").to_owned()).collect();
    seen.sort();
    assert_eq!(seen, ["10.1.1.1", "192.0.2.1", "192.0.2.2", "2001:db8::7"]);
    let errors = std::fs::read_dir(stage.directory.path().join("log/httperr")).expect("there is an error log");
    let errors: String = errors.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok()).collect();
    assert!(errors.lines().any(|line| line.contains(" 192.0.2.3 ") && line.contains(" URL ")), "{errors}");
}

/// The lines of the access logs, as soon as they are four.
fn logged(stage: &Stage) -> Vec<Value> {
    let host = stage.host.as_ref().expect("there is a host");
    for _ in 0..500 {
        host.operate(&["flush", "logbuffer"]);
        let entries = |folder: std::path::PathBuf| {
            let found = std::fs::read_dir(folder).into_iter().flatten();
            found.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>()
        };
        let sites = entries(stage.directory.path().join("log"));
        let files =
            sites.into_iter().filter(|site| !site.to_string_lossy().to_lowercase().ends_with("httperr")).flat_map(entries);
        let text: String = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= 4 {
            return lines;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("four requests are not logged");
}

#[test]
fn the_file_and_the_verbs_take_only_networks_and_addresses() {
    let stage = Stage::new(Provider::Shared, &TRUSTED, false);
    let host = stage.host.as_ref().expect("there is a host");
    let shown = host.operate(&["show", "setting", "settingtype=trusted_proxies"]);
    assert!(shown.contains("127.0.0.1,10.0.0.0/8"), "{shown}");
    assert!(host.operate(&["dump"]).contains("settingtype=trusted_proxies value=127.0.0.1,10.0.0.0/8"));
    for (setting, value) in [("trusted_proxies", "10.0.0.1/8"), ("trusted_proxies", "proxy"), ("proxy_protocol", "443")] {
        let mut command = std::process::Command::new(narthex_tests::process::narthex_program());
        command.args(["add", "setting", &format!("settingtype={setting}"), &format!("value={value}"), "--socket"]);
        let output = command.arg(host.socket()).output().expect("narthex can be started");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && problem.contains(value) && problem.contains(": write "), "{problem}");
    }
}

//! What `narthex dump` prints makes the same host elsewhere.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::operators::machine::Machine;

/// Everything that a file can say, none of it the default.
const CONFIG: &str = r#"
iplisten = ["127.0.0.1", "::1"]

[timeouts]
idleconnectiontimeout = 65535
headerwaittimeout = 7

[settings]
loopback_rule = false
max_request_bytes = 20000
max_field_length = 10000
max_url_length = 9000
max_header_count = 50
max_request_body = "unlimited"
url_segment_max_length = 260
url_segment_max_count = 255
max_connections = 2000
max_connections_per_client = 100
max_bandwidth = 100000000
queue_length = 10
restart_grace = 3
response_cache = false
max_cache_response_size = 5000
cache_range_chunk_size = 5000
max_cache_size = 0
scavenger_period = 10
log_directory = "LOGS"
error_log = false
error_log_max_size = 2000000
error_log_rollover = "daily"
access_log = "w3c"
access_log_fields = "date,time,cs(User-Agent)"
access_log_rollover = "weekly"
access_log_max_size = 2000000
access_log_local_time = true
access_log_only = "errors"
access_log_site = "all"
http2 = false
http3 = false
alt_svc = false
http2_max_streams = 50
http2_initial_window = 100000
cooking = "httpsys"
trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "fd00::/8"]
proxy_protocol = ["0.0.0.0:443", "[::1]:8080"]
acme_directory = "https://ca.example/it's/dir"
acme_contact = ["admin@example.com", "other@example.com"]
acme_terms_agreed = true
acme_ca = "/etc/ssl/a private ca.pem"
acme_challenge = "http-01"
acme_tls_port = 8443
acme_http_port = 8080
acme_eab_key_id = "narthex"
acme_eab_key_file = "/etc/narthex/eab.key"
single_acceptor = true
request_ids = "answered"
trace = "on"
trace_sample = "0.25"
trace_endpoint = "http://127.0.0.1:4319/traces"

[[urlacl]]
url = "http://+:81/a/"
allow = [{ user = 4242, delegate = true }]

[[urlacl]]
url = "http://*:81/straße und weg/it's/"
allow = [{ everyone = true }]

[[urlacl]]
url = "http://[::1]:81/"
allow = [{ user = "root", listen = false, delegate = true }, { group = 4242 }, { user = 4243, delegate = true }]

[[urlacl]]
url = "https://shop.example:444/"
allow = [{ group = 4242 }]

[[binding]]
hostnameport = "*.shop.example:444"
self_signed = true
min_version = "1.3"
session_tickets = false

[[binding]]
ipport = "[::]:444"
self_signed = true
http3 = false
appid = "{00112233-4455-6677-8899-aabbccddeeff}"
"#;

const SHOWS: [&str; 6] = ["show urlacl", "show iplisten", "show timeout", "show cacheparam", "show setting", "dump"];

#[test]
fn a_dump_that_sh_runs_makes_the_same_host() {
    let logs = TempDir::new().expect("a temporary directory can be made");
    let logs = logs.path().join("it's logs");
    let listen = ["--listen", "127.0.0.1"];
    let machine = Machine::with(&CONFIG.replace("LOGS", &logs.display().to_string()), &listen);
    let copy = Machine::new();
    copy.sh(&machine.narthex("dump").done()).done();
    for show in SHOWS {
        assert_eq!(copy.narthex(show).done(), machine.narthex(show).done(), "{show}");
    }
}

#[test]
fn the_file_above_has_every_setting_and_none_at_its_default() {
    let logs = TempDir::new().expect("a temporary directory can be made");
    let config = CONFIG.replace("LOGS", &logs.path().display().to_string());
    let machine = Machine::with(&config, &["--listen", "127.0.0.1"]);
    let shown: serde_json::Value =
        serde_json::from_str(&machine.narthex("show setting --json").done()).expect("the answer is JSON");
    let at_default: BTreeSet<&str> = shown
        .as_array()
        .expect("the settings are a list")
        .iter()
        .filter(|setting| setting["default"] == true)
        .filter_map(|setting| setting["name"].as_str())
        .collect();
    assert_eq!(at_default, BTreeSet::new(), "add them to the file");
}

#[test]
fn the_dump_of_a_new_host_changes_nothing() {
    let machine = Machine::new();
    let dump = machine.narthex("dump").done();
    assert!(dump.lines().all(|line| line.starts_with('#')), "{dump}");
    machine.sh(&dump).done();
    assert!(!machine.config().exists(), "nothing was set");
}

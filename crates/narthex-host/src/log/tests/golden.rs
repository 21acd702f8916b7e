//! Every format, line by line.

use narthex_http::RequestId;
use narthex_proto::wire::LoggedResponses;

use super::*;

const ALL: &str = "date time s-sitename s-computername s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip \
    cs-version cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status sc-substatus sc-win32-status sc-bytes cs-bytes \
    time-taken streamid";

#[test]
fn a_w3c_file_begins_with_its_header_block_and_has_the_default_fields() {
    let mut stage = Stage::new();
    let log = stage.open(&Logging::default());
    stage.log(&log, &Asked::default());
    stage.write();
    let expected = format!(
        "#Software: Narthex {}\n#Version: 1.0\n#Date: 2026-11-22 12:38:37\n\
         #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) \
         sc-status sc-substatus sc-win32-status time-taken\n\
         2026-11-22 12:38:37 2001:db8::1 GET /a%20b c=d 8080 - 192.0.2.7 curl/8.5+(x;+y) http://example.com/ 200 0 0 89\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(stage.read("shop/ex261122.log"), expected);
}

#[test]
fn a_w3c_line_can_have_every_field() {
    let mut stage = Stage::new();
    let log = stage.open(&with_fields(LogFormat::W3c, ALL));
    stage.log(&log, &Asked::default());
    stage.write();
    assert!(stage.read("shop/ex261122.log").contains(&format!("#Fields: {ALL}\n")));
    assert_eq!(
        stage.lines("shop/ex261122.log"),
        ["2026-11-22 12:38:37 shop my+machine 2001:db8::1 GET /a%20b c=d 8080 - 192.0.2.7 HTTP/1.1 curl/8.5+(x;+y) k=v;+l=w \
          http://example.com/ example.com:8080 200 0 0 1234 567 89 -"]
    );
}

#[test]
fn every_field_can_stand_alone() {
    let mut stage = Stage::new();
    let values = "2026-11-22 12:38:37 shop my+machine 2001:db8::1 GET /a%20b c=d 8080 - 192.0.2.7 HTTP/1.1 curl/8.5+(x;+y) \
        k=v;+l=w http://example.com/ example.com:8080 200 0 0 1234 567 89 -";
    let mut checked = 0;
    for (field, value) in ALL.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
        let log = stage.open(&with_fields(LogFormat::W3c, field));
        stage.log(&log, &Asked::default());
        stage.write();
        assert_eq!(stage.lines("shop/ex261122.log").last().unwrap(), value, "{field}");
        checked += 1;
    }
    assert_eq!(checked, 23);
}

#[test]
fn what_a_request_lacks_is_a_dash_in_w3c_and_ncsa_and_absent_in_json() {
    let mut stage = Stage::new();
    let asked = Asked { target: "/", user_agent: b"", cookie: b"", referer: b"", host: None, status: 0, ..Asked::default() };
    let fields = "cs-uri-query cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status";
    stage.log(&stage.open(&with_fields(LogFormat::W3c, fields)), &asked);
    stage.log(&stage.open(&with_fields(LogFormat::Json, fields)), &asked);
    stage.log(&stage.open(&format(LogFormat::Ncsa)), &asked);
    stage.write();
    assert_eq!(stage.lines("shop/ex261122.log"), ["- - - - - -"]);
    assert_eq!(stage.lines("shop/js261122.log"), ["{}"]);
    let line = "192.0.2.7 - - [22/Nov/2026:13:38:37 +0100] \"GET / HTTP/1.1\" - 1234 \"-\" \"-\"";
    assert_eq!(stage.lines("shop/nc261122.log"), [line]);
}

#[test]
fn ncsa_is_the_combined_format_in_local_time_without_a_header() {
    let mut stage = Stage::new();
    let log = stage.open(&format(LogFormat::Ncsa));
    stage.log(&log, &Asked::default());
    stage.write();
    assert_eq!(
        stage.read("shop/nc261122.log"),
        "192.0.2.7 - - [22/Nov/2026:13:38:37 +0100] \"GET /a%20b?c=d HTTP/1.1\" 200 1234 \"http://example.com/\" \
         \"curl/8.5 (x; y)\"\n"
    );
}

#[test]
fn json_has_an_object_a_line_with_every_field_and_the_reason() {
    let mut stage = Stage::new();
    let log = stage.open(&with_fields(LogFormat::Json, ALL));
    stage.log(&log, &Asked { status: 503, reason: Some(Reason::QueueFull), ..Asked::default() });
    stage.write();
    assert_eq!(
        stage.read("shop/js261122.log"),
        "{\"time\":\"2026-11-22T12:38:37.123Z\",\"site\":\"shop\",\"computer\":\"my+machine\",\"server_ip\":\"2001:db8::1\",\
         \"method\":\"GET\",\"path\":\"/a%20b\",\"query\":\"c=d\",\"server_port\":8080,\"client_ip\":\"192.0.2.7\",\
         \"version\":\"HTTP/1.1\",\"user_agent\":\"curl/8.5 (x; y)\",\"cookie\":\"k=v; l=w\",\
         \"referer\":\"http://example.com/\",\"host\":\"example.com:8080\",\"status\":503,\"bytes_sent\":1234,\
         \"bytes_received\":567,\"time_taken_ms\":89,\"reason\":\"QueueFull\"}\n"
    );
}

#[test]
fn the_error_log_has_httperrs_fields() {
    let mut stage = Stage::new();
    let connection = connection();
    let id = RequestId::parse(b"id-1");
    let full = Refused { id: id.as_ref(), ..refused(&connection, b"GET /a b?c HTTP/1.1") };
    stage.worker.refused(&full, Some("my queue"), Some(7));
    let unknown = Refused { reason: Reason::TimerHeaderWait, status: None, ..refused(&connection, b"") };
    stage.worker.refused(&unknown, None, None);
    stage.write();
    let expected = format!(
        "#Software: Narthex {}\n#Version: 1.0\n#Date: 2026-11-22 12:38:37\n\
         #Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status s-siteid s-reason s-queuename x-request-id\n\
         2026-11-22 12:38:37 192.0.2.7 50123 2001:db8::1 8080 HTTP/1.1 GET /a+b?c 503 7 QueueFull my+queue id-1\n\
         2026-11-22 12:38:37 192.0.2.7 50123 2001:db8::1 8080 - - - - - Timer_HeaderWait - -\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(stage.read("httperr/httperr1.log"), expected);
}

#[test]
fn a_client_that_has_gone_is_windows_error_64() {
    let mut stage = Stage::new();
    let log = stage.open(&with_fields(LogFormat::W3c, "sc-status sc-win32-status"));
    stage.log(&log, &Asked { status: 200, reason: Some(Reason::ConnectionDropped), ..Asked::default() });
    stage.log(&log, &Asked { status: 408, reason: Some(Reason::TimerEntityBody), ..Asked::default() });
    stage.write();
    assert_eq!(stage.lines("shop/ex261122.log"), ["200 64", "408 0"]);
}

#[test]
fn a_log_of_errors_has_no_successes() {
    let mut stage = Stage::new();
    let log = stage.open(&Logging { only: Some(LoggedResponses::Errors), ..with_fields(LogFormat::W3c, "sc-status") });
    for status in [200, 404, 304, 500] {
        stage.log(&log, &Asked { status, ..Asked::default() });
    }
    stage.write();
    assert_eq!(stage.lines("shop/ex261122.log"), ["404", "500"]);
}

#[test]
fn a_line_ends_in_the_log_that_it_began_in_whatever_the_group_logs_now() {
    let mut stage = Stage::new();
    let before = stage.open(&with_fields(LogFormat::W3c, "cs-method"));
    let (asked, mut record) = (Asked::default(), Vec::new());
    stage.worker.begin_head(&before, &asked.head(), &mut record);
    drop(before);
    stage.write();
    let after = stage.open(&with_fields(LogFormat::W3c, "sc-status"));
    stage.log(&after, &asked);
    stage.worker.end(&asked.ended(&record));
    stage.write();
    let mut lines = stage.lines("shop/ex261122.log");
    lines.sort();
    assert_eq!(lines, ["200", "GET"]);
}

#[test]
fn a_record_that_is_not_ours_is_no_line() {
    let mut stage = Stage::new();
    let log = stage.open(&Logging::default());
    let asked = Asked::default();
    for record in [&b""[..], b"1234567", &[0xff; 8], &[0, 0, 0, 0, 9, 9, 9, 9, b'x']] {
        stage.worker.end(&asked.ended(record));
    }
    stage.write();
    assert_eq!(log.report().lines, 0);
}

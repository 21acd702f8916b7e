//! Nothing that an app says in its trailers may look like another response.

use std::time::Duration;

use narthex_proto::wire::GroupSettings;
use narthex_tests::Ending;

use crate::regressions::stage::{Stage, ask, connect, get, has_bare_line_feed, rest};
use crate::regressions::wire_app::WireApp;

/// The bytes that a client gets after the head of a chunked response with these trailer lines, and the connection's end.
fn after_trailers(lines: &[u8]) -> (String, Ending) {
    let stage = Stage::new();
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let bank = stage.app("bank", format!("http://{address}/bank/"));
    let mut session = app.session();
    let mut client = connect(address);
    get(&mut client, "/evil");
    let id = session.request();
    session.begin_answer(id);
    session.send_data(id, b"hi", false);
    assert_eq!(client.head().expect("the response begins").header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.bytes(7).expect("the body begins"), b"2\r\nhi\r\n");
    session.send_trailers(id, lines);
    let after = rest(&mut client, Duration::from_millis(500));
    assert_eq!(ask(bank.address, "/bank/whoami").text(), "bank");
    after
}

#[test]
fn trailers_cannot_forge_a_second_response() {
    let forgeries: [&[u8]; 6] = [
        b"a:\n\nHTTP/1.1 200 OK\r\nX-Forged: y\r\nContent-Length:0\r\n",
        b"a: b\r\n\r\nHTTP/1.1 200 OK\r\nX-Forged: y\r\nContent-Length: 0\r\n",
        b"\r\nHTTP/1.1 200 OK\r\nX-Forged: y\r\nContent-Length: 0\r\n",
        b"\n\nHTTP/1.1 200 OK\r\nX-Forged: y\r\n",
        b"a: b\rHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX-Forged: y\r\n",
    ];
    for forgery in forgeries {
        let (seen, _) = after_trailers(forgery);
        let shown = String::from_utf8_lossy(forgery);
        assert!(!has_bare_line_feed(&seen), "{shown:?} puts a bare line feed into {seen:?}");
        assert!(!seen.replace("\r\n", "").contains('\r'), "{shown:?} puts a bare carriage return into {seen:?}");
        assert!(!seen.lines().any(|line| line.starts_with("HTTP/")), "{shown:?} puts a status line into {seen:?}");
        let last = seen.find("\r\n\r\n").map_or("", |end| &seen[end + 4..]);
        assert!(last.is_empty(), "{shown:?} puts {last:?} behind the response");
    }
}

#[test]
fn trailers_carry_no_framing_fields() {
    let fields: [&[u8]; 3] = [
        b"Content-Length: 0\r\nx-sum: 1\r\n",
        b"transfer-encoding: chunked\r\nx-sum: 1\r\n",
        b"x-sum: 1\r\nCONTENT-LENGTH: 5\r\n",
    ];
    for lines in fields {
        let (seen, _) = after_trailers(lines);
        let seen = seen.to_ascii_lowercase();
        let framing = ["content-length", "transfer-encoding"].into_iter().find(|name| seen.contains(name));
        assert_eq!(framing, None, "{seen:?}");
    }
}

#[test]
fn honest_trailers_arrive() {
    let (seen, ending) = after_trailers(b"x-sum: 1\r\nx-more: two words\r\n");
    assert_eq!((seen.as_str(), ending), ("0\r\nx-sum: 1\r\nx-more: two words\r\n\r\n", Ending::Open));
}

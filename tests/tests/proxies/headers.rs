//! The PROXY protocol.

use std::time::Duration;

use narthex_tests::{Ending, Provider, h2};

use crate::proxies::stage::{SOON, Seen, Stage, TRUSTED, binary, get, seen, signed};

providers! {
    both_versions_tell_the_client_and_the_request_may_follow_in_the_same_packet;
    a_connection_of_the_proxys_own_and_an_unknown_client_have_the_proxys_address;
    what_does_not_begin_with_a_header_is_closed_without_a_word;
    a_header_that_comes_in_single_bytes_is_one;
    a_proxy_that_is_not_trusted_is_not_listened_to;
    a_client_has_no_header_to_forge;
    a_proxy_of_requests_behind_one_of_connections_is_believed_by_its_own_address;
    a_client_that_speaks_http2_is_told_apart_too;
    a_server_without_the_protocol_takes_a_header_for_a_bad_request;
    behind_one_acceptor_all_workers_tell_clients_by_their_headers;
}

fn both_versions_tell_the_client_and_the_request_may_follow_in_the_same_packet(provider: Provider) {
    let stage = Stage::new(provider, &[], true);
    for (header, address) in [
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n".to_vec(), "192.0.2.1:4711"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n".to_vec(), "[2001:db8::1]:4711"),
        (binary("192.0.2.1:4711", b""), "192.0.2.1:4711"),
        (binary("[2001:db8::1]:4711", b"\x04\0\x02ab"), "[2001:db8::1]:4711"),
        (binary("[::ffff:192.0.2.1]:4711", b""), "192.0.2.1:4711"),
    ] {
        assert_eq!(stage.seen(&header), Seen::at(address, false));
        let mut client = stage.begin([&header[..], b"GET /headers HTTP/1.1\r\nHost: x\r\n\r\n"].concat());
        let response = client.response_within(false, SOON).expect("an answer");
        assert_eq!(Seen::of(&response.text()), Seen::at(address, false));
        assert_eq!(seen(&mut client, ""), Seen::at(address, false), "the next request has the same client");
    }
    let ssl = |flags: u8| binary("192.0.2.1:4711", &[0x20, 0, 5, flags, 0, 0, 0, 0]);
    assert_eq!(stage.seen(ssl(1)), Seen::at("192.0.2.1:4711", true), "the proxy has taken TLS off");
    assert_eq!(stage.seen(ssl(0)), Seen::at("192.0.2.1:4711", false));
}

fn a_connection_of_the_proxys_own_and_an_unknown_client_have_the_proxys_address(provider: Provider) {
    let stage = Stage::new(provider, &[], true);
    for header in [
        signed(0x20, 0x00, b""),
        signed(0x20, 0x11, b"what it says is not meant"),
        signed(0x21, 0x00, b""),
        signed(0x21, 0x31, &[b'/'; 216]),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
    ] {
        let mut client = stage.begin(header);
        let own = client.local_address().expect("it is connected");
        assert_eq!(seen(&mut client, ""), Seen::at(own, false));
    }
}

fn what_does_not_begin_with_a_header_is_closed_without_a_word(provider: Provider) {
    let stage = Stage::new(provider, &[], true);
    let mut wrong_sum = binary("192.0.2.1:4711", b"\x03\0\x04wron");
    wrong_sum.extend_from_slice(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for begun in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(),
        signed(0x31, 0x11, &[0; 12]),
        signed(0x21, 0x11, &[0; 11]),
        signed(0x21, 0x00, &[0; 5000]),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        wrong_sum,
    ] {
        let ending = stage.begin(&begun).ending(SOON);
        assert!(matches!(ending, Ending::Closed | Ending::Reset), "{ending:?} after {}", begun.escape_ascii());
    }
    assert_eq!(stage.seen("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n").address, "192.0.2.1:4711");
}

fn a_header_that_comes_in_single_bytes_is_one(provider: Provider) {
    let stage = Stage::new(provider, &[], true);
    for header in [b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n".to_vec(), binary("192.0.2.1:4711", b"")] {
        let mut client = stage.connect();
        for byte in header {
            client.send(&[byte]).expect("the server reads");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(seen(&mut client, "").address, "192.0.2.1:4711");
    }
}

#[test]
fn an_embedded_server_waits_for_a_header_as_long_as_for_a_head() {
    let stage = Stage::embedded_with(&["--proxy-protocol", "--header-wait=1"]);
    for begun in [&b""[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"] {
        let mut client = stage.begin(begun);
        assert_eq!(client.ending(Duration::from_millis(500)), Ending::Open);
        assert_eq!(client.ending(SOON), Ending::Closed);
    }
}

fn a_proxy_that_is_not_trusted_is_not_listened_to(provider: Provider) {
    let header = "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n";
    let stage = Stage::new(provider, &["10.0.0.0/8"], true);
    let ending = stage.begin(header).ending(SOON);
    assert!(matches!(ending, Ending::Closed | Ending::Reset), "{ending:?}");
    let stage = Stage::new(provider, &TRUSTED, true);
    assert_eq!(stage.seen(header).address, "192.0.2.1:4711");
}

fn a_client_has_no_header_to_forge(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, true);
    let mut client = stage.begin("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n");
    let forged = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=127.0.0.1;proto=https\r\n";
    assert_eq!(seen(&mut client, forged), Seen::at("192.0.2.1:4711", false));
    let second = stage.begin("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nPROXY TCP4 203.0.113.1 10.0.0.1 1 443\r\n");
    let mut second = second;
    assert_eq!(second.response_within(false, SOON).expect("an answer").status, 400);
}

fn a_proxy_of_requests_behind_one_of_connections_is_believed_by_its_own_address(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, true);
    let mut client = stage.begin("PROXY TCP4 10.1.1.1 10.0.0.1 4711 443\r\n");
    let told = "X-Forwarded-For: 203.0.113.1, 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(seen(&mut client, told), Seen::at("192.0.2.1:0", true));
}

fn a_client_that_speaks_http2_is_told_apart_too(provider: Provider) {
    let stage = Stage::new(provider, &[], true);
    let request = h2::frame::headers(
        1,
        0x5,
        h2::hpack::block([(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/headers")]),
    );
    let begun =
        [&b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &h2::frame::settings(&[]), &request];
    let mut client = stage.begin(begun.concat());
    let mut came = Vec::new();
    while !came.windows(16).any(|bytes| bytes == b"\"192.0.2.1:4711\"") {
        came.extend(client.bytes(1).unwrap_or_else(|error| panic!("{error} after {}", came.escape_ascii())));
    }
}

fn a_server_without_the_protocol_takes_a_header_for_a_bad_request(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, false);
    let mut client = stage.begin("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n");
    assert_eq!(get(&mut client, "/headers", "").status, 400);
}

fn behind_one_acceptor_all_workers_tell_clients_by_their_headers(provider: Provider) {
    let stage = Stage::accepting(provider, &TRUSTED, true, true);
    // Connections that are open at the same time are dealt to all workers.
    let mut clients: Vec<_> = (1..20_u8)
        .map(|nth| {
            let address = format!("192.0.2.{nth}:{}", 4_000 + u16::from(nth));
            let header = if nth % 2 == 0 { binary(&address, b"") } else { text(nth) };
            (stage.begin(header), address)
        })
        .collect();
    // One that does not say who it is holds nobody up.
    let silent = stage.connect();
    for _ in 0..3 {
        for (client, address) in &mut clients {
            assert_eq!(seen(client, ""), Seen::at(&address, false));
        }
    }
    drop(silent);
    let ending = stage.begin("GET / HTTP/1.1\r\nHost: x\r\n\r\n").ending(SOON);
    assert!(matches!(ending, Ending::Closed | Ending::Reset), "{ending:?}");
    let told = "X-Forwarded-For: 203.0.113.1, 192.0.2.99\r\n";
    assert_eq!(seen(&mut stage.begin(binary("10.1.1.1:4711", b"")), told), Seen::at("192.0.2.99:0", false));
}

/// Version 1, by a client whose address and port have this number.
fn text(nth: u8) -> Vec<u8> {
    format!("PROXY TCP4 192.0.2.{nth} 10.0.0.1 {} 443\r\n", 4_000 + u16::from(nth)).into_bytes()
}

//! What proxies write into requests.

use narthex_tests::{Provider, h2};

use crate::proxies::stage::{Seen, Stage, TRUSTED, seen};

providers! {
    a_trusted_proxy_tells_the_client_of_each_request;
    what_a_client_writes_itself_is_never_believed;
    the_client_of_a_chain_of_two_proxies_is_the_one_before_both;
    an_ipv6_client_comes_with_its_port;
    a_connection_that_passes_requests_of_many_clients_mixes_none_up;
    the_streams_of_one_http2_connection_have_clients_of_their_own;
}

fn a_trusted_proxy_tells_the_client_of_each_request(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, false);
    let mut client = stage.connect();
    let own = client.local_address().expect("it is connected").to_string();
    for (lines, expected) in [
        ("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n", Seen::at("192.0.2.1:0", true)),
        ("Forwarded: for=\"192.0.2.1:4711\";proto=https\r\n", Seen::at("192.0.2.1:4711", true)),
        ("Forwarded: for=192.0.2.1;proto=http\r\n", Seen::at("192.0.2.1:0", false)),
        ("", Seen::at(&own, false)),
        ("X-Forwarded-For: unknown\r\n", Seen::at(&own, false)),
        ("Forwarded: for=_hidden;proto=https\r\n", Seen::at(&own, true)),
        ("Forwarded: for=192.0.2.1;for=192.0.2.2\r\n", Seen::at(&own, false)),
        ("X-Forwarded-For: 192.0.2.1\r\nForwarded: for=203.0.113.66;proto=https\r\n", Seen::at("192.0.2.1:0", false)),
    ] {
        assert_eq!(seen(&mut client, lines), expected, "{lines}");
    }
}

fn what_a_client_writes_itself_is_never_believed(provider: Provider) {
    let forged = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=127.0.0.1;proto=https\r\n";
    for trusted in [&[][..], &["10.0.0.0/8", "::1"]] {
        let stage = Stage::new(provider, trusted, false);
        let mut client = stage.connect();
        let own = client.local_address().expect("it is connected");
        assert_eq!(seen(&mut client, forged), Seen::at(own, false));
    }
    let stage = Stage::new(provider, &TRUSTED, false);
    for left in ["127.0.0.1", "10.0.0.1, 10.0.0.2", "\"", "203.0.113.66,", "?"] {
        let lines = format!("X-Forwarded-For: {left}\r\nX-Forwarded-For: 192.0.2.1\r\n");
        assert_eq!(seen(&mut stage.connect(), &lines).address, "192.0.2.1:0", "{left}");
        let lines = format!("Forwarded: for={left}, for=192.0.2.1\r\n");
        assert_eq!(seen(&mut stage.connect(), &lines).address, "192.0.2.1:0", "{left}");
    }
}

fn the_client_of_a_chain_of_two_proxies_is_the_one_before_both(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, false);
    let mut client = stage.connect();
    let two = "X-Forwarded-For: 203.0.113.66, 192.0.2.1, 10.0.0.9\r\nX-Forwarded-Proto: http, https, http\r\n";
    assert_eq!(seen(&mut client, two), Seen::at("192.0.2.1:0", true));
    let two = "Forwarded: for=203.0.113.66;proto=http, for=192.0.2.1;proto=https\r\nForwarded: for=10.0.0.9;proto=http\r\n";
    assert_eq!(seen(&mut client, two), Seen::at("192.0.2.1:0", true));
    let stranger = "X-Forwarded-For: 192.0.2.1, 11.0.0.9\r\n";
    assert_eq!(seen(&mut client, stranger).address, "11.0.0.9:0", "its word does not count");
}

fn an_ipv6_client_comes_with_its_port(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, false);
    let mut client = stage.connect();
    for (lines, address) in [
        ("X-Forwarded-For: 2001:db8::1\r\n", "[2001:db8::1]:0"),
        ("X-Forwarded-For: [2001:db8::1]:4711, 10.0.0.9:80\r\n", "[2001:db8::1]:4711"),
        ("Forwarded: for=\"[2001:db8::1]:4711\";by=\"[2001:db8::2]\"\r\n", "[2001:db8::1]:4711"),
        ("Forwarded: for=\"[::ffff:192.0.2.1]\"\r\n", "192.0.2.1:0"),
    ] {
        assert_eq!(seen(&mut client, lines).address, address, "{lines}");
    }
}

fn a_connection_that_passes_requests_of_many_clients_mixes_none_up(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, false);
    let mut client = stage.connect();
    let own = client.local_address().expect("it is connected").to_string();
    let request = |lines: &str| format!("GET /headers HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
    let of = |number: u8| request(&format!("X-Forwarded-For: 192.0.2.{number}\r\n"));
    let all: String = (0..50).map(|number| if number % 5 == 4 { request("") } else { of(number) }).collect();
    client.send(all.as_bytes()).expect("the server reads");
    for number in 0..50 {
        let expected = if number % 5 == 4 { own.clone() } else { format!("192.0.2.{number}:0") };
        let response = client.response(false).unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(Seen::of(&response.text()).address, expected);
    }
}

fn the_streams_of_one_http2_connection_have_clients_of_their_own(provider: Provider) {
    let stage = Stage::new(provider, &TRUSTED, false);
    let mut connection = h2::Connection::open(stage.app.address);
    for (stream, header, address, tls) in [
        (1, Some(("x-forwarded-for", "192.0.2.1")), "192.0.2.1:0", false),
        (3, Some(("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")), "[2001:db8::1]:4711", true),
        (5, None, "127.0.0.1:", false),
    ] {
        let block = connection.request("GET", "/headers", header.as_slice());
        connection.send(&h2::frame::headers(stream, 0x5, block));
        let answer = connection.answer(stream).unwrap_or_else(|end| panic!("no answer: {end:?}"));
        let seen = Seen::of(&answer.text());
        assert!(seen.address.starts_with(address) && seen.tls == tls, "{seen:?}");
    }
}

//! Frames and streams that mean nothing here, or nothing good.

use narthex_tests::h3::Connection;
use narthex_tests::h3::frame::{self, DATA, GOAWAY, HEADERS, PRIORITY_UPDATE, SETTINGS};
use narthex_tests::{PATIENCE, Provider};

use crate::http3::stage::{both, start};

const UNEXPECTED: u64 = 0x105;

both! {
    priorities_are_taken_and_change_nothing;
    what_has_no_meaning_is_skipped;
    a_frame_out_of_place_ends_the_connection;
    the_server_tells_what_it_takes;
}

fn update(id: u64, priority: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    frame::number(id, &mut payload);
    payload.extend_from_slice(priority.as_bytes());
    frame::frame(PRIORITY_UPDATE, payload)
}

async fn priorities_are_taken_and_change_nothing(provider: Provider) {
    let secure = start(provider);
    let mut connection = secure.http3().await;
    // Before its request, for one that there will never be, and what is no priority at all.
    for (id, priority) in [(0, "u=0, i"), (400_000, "u=7"), (4, "u=9, \u{1}\u{1}"), (2, ""), (1 << 40, "i=?0")] {
        connection.control(&update(id, priority)).await;
    }
    connection.control(&frame::frame(PRIORITY_UPDATE + 1, [0])).await;
    let mut slow = connection.open("GET", "/drip?chunks=20&size=10&ms=2", &[("priority", "u=0")]).await.expect("it is there");
    slow.request.finish();
    slow.response.body(1).await.expect("a beginning");
    connection.control(&update(slow.id(), "u=7, i")).await;
    for priority in ["u=1, i", "u=8", "nonsense=", ""] {
        let answer = connection.ask("GET", "/headers", &[("priority", priority)]).await;
        assert!(answer.status == 200 && answer.text().contains(&format!("[\"priority\",\"{priority}\"]")), "{}", answer.text());
    }
    assert_eq!(slow.response.whole().await.expect("an answer").body.len(), 200);
}

async fn what_has_no_meaning_is_skipped(provider: Provider) {
    let secure = start(provider);
    let mut connection = secure.http3().await;
    connection.control(&frame::frame(0x21 + 0x1f * 5, "grease")).await;
    // A stream of a type that nobody knows.
    let mut unknown = connection.quic.open_uni().await.expect("there is room");
    let _ = unknown.write_all(b"\x21whatever").await;
    let mut stream = connection.open("POST", "/len", &[]).await.expect("the connection is there");
    for kind in [0x21, 0x40, 0xf0f, 1 << 40] {
        stream.request.write(&frame::frame(kind, "nothing")).await.expect("the server reads");
        stream.request.data(b"abc").await.expect("the server reads");
    }
    stream.request.write(&frame::frame(DATA, [])).await.expect("the server reads");
    // One byte at a time.
    for byte in frame::frame(DATA, b"defg") {
        stream.request.write(&[byte]).await.expect("the server reads");
    }
    assert_eq!(stream.answer().await.expect("an answer").text(), "16");
}

async fn a_frame_out_of_place_ends_the_connection(provider: Provider) {
    let secure = start(provider);
    let closed = async |connection: &Connection| {
        tokio::time::timeout(PATIENCE, connection.closed()).await.expect("the connection does not end")
    };
    for (bytes, code) in [
        (frame::frame(DATA, b"a body without a head"), UNEXPECTED),
        (frame::frame(SETTINGS, []), UNEXPECTED),
        (frame::frame(GOAWAY, [0]), UNEXPECTED),
        (frame::frame(2, []), UNEXPECTED),
        (frame::frame(HEADERS, [0, 0, 0x80]), 0x200),
    ] {
        let connection = secure.http3().await;
        let mut stream = connection.stream().await.expect("the connection is there");
        stream.request.write(&bytes).await.expect("the server reads");
        assert_eq!(closed(&connection).await, Some(code), "{bytes:?}");
    }
    for (bytes, code) in [
        (frame::frame(SETTINGS, []), UNEXPECTED),
        (frame::frame(DATA, []), UNEXPECTED),
        (frame::frame(HEADERS, []), UNEXPECTED),
        (frame::frame(6, [0; 8]), UNEXPECTED),
    ] {
        let mut connection = secure.http3().await;
        connection.control(&bytes).await;
        assert_eq!(closed(&connection).await, Some(code), "{bytes:?}");
    }
    let connection = secure.http3().await;
    let mut second = connection.quic.open_uni().await.expect("there is room");
    second.write_all(&[0]).await.expect("there is room");
    assert_eq!(closed(&connection).await, Some(0x103), "a second control stream");
    assert_eq!(secure.http3().await.get("/whoami").await.text(), "app", "others notice nothing");
}

async fn the_server_tells_what_it_takes(provider: Provider) {
    let secure = start(provider);
    let settings = secure.http3().await.said(|said| said.settings.is_some()).await.settings.expect("they have come");
    assert_eq!(settings.get(&8), Some(&1), "extended CONNECT");
    assert_eq!(settings.get(&6), Some(&16_384), "the size of heads");
    // No dynamic table.
    assert!(matches!((settings.get(&1), settings.get(&7)), (None | Some(0), None | Some(0))), "{settings:?}");
}

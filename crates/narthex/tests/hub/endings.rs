//! How connections end, and who is told.

use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use narthex::hub::{Beat, Code, HeartBeat, Hub, OutboundLimits, Overflow};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::stage::{PATIENCE, Stage, closed};
use crate::client::{Place, Running, exchange};

on_both! {
    an_end_is_told_once_with_its_code
    a_handler_that_panics_closes_its_own_connection
    pings_are_answered_and_silence_ends_the_connection
    who_reads_too_slowly_is_closed
    a_server_that_stops_says_so
    who_is_cut_off_by_the_end_of_the_server_is_told_of_too
}

async fn an_end_is_told_once_with_its_code(place: &Place) {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let stage = Stage::new(place, |hub| {
        hub.on_message(|peer, text| async move {
            match &*text {
                "close" => peer.close(Code::new(4001).unwrap(), "as you wish"),
                "cut" => peer.disconnect(),
                _ => {}
            }
        });
        hub.on_disconnect(move |_, how| {
            let _ = ended.send((how.code, how.reason, how.by_client));
            async {}
        });
    })
    .await;
    let mut socket = stage.connect().await;
    socket.close(Some(CloseFrame { code: 4000.into(), reason: "bye".into() })).await.unwrap();
    assert_eq!(ends.recv().await.unwrap(), (4000, "bye".to_owned(), true));
    drop(stage.connect().await);
    assert_eq!(ends.recv().await.unwrap(), (1006, String::new(), true));
    let mut socket = stage.connect().await;
    socket.send(Message::text("close")).await.unwrap();
    assert_eq!(closed(&mut socket).await, (4001, "as you wish".to_owned()));
    // The answer to the Close is sent by the next read.
    assert!(timeout(PATIENCE, socket.next()).await.unwrap().is_none_or(|ended| ended.is_err()));
    assert_eq!(ends.recv().await.unwrap(), (4001, "as you wish".to_owned(), false));
    let mut socket = stage.connect().await;
    socket.send(Message::text("cut")).await.unwrap();
    assert!(timeout(PATIENCE, socket.next()).await.unwrap().is_none_or(|ended| ended.is_err()));
    assert_eq!(ends.recv().await.unwrap(), (1006, String::new(), false));
    // A client that breaks the protocol.
    let mut raw = stage.running.connect().await;
    raw.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x01x").await;
    let (code, _, by_client) = ends.recv().await.unwrap();
    assert_eq!((code, by_client), (1002, false), "frames that are not masked");
    drop(raw);
    stage.settle(0).await;
    assert!(ends.try_recv().is_err(), "each is told once");
}

async fn a_handler_that_panics_closes_its_own_connection(place: &Place) {
    let (failed, mut failures) = mpsc::unbounded_channel();
    let stage = Stage::new(place, |hub| {
        hub.on_message(|peer, text| async move {
            assert_ne!(text, "panic", "as the test wants");
            if text == "fail" { Err("it failed") } else { Ok(peer.send(text)) }
        });
        hub.on_error(move |_, error| {
            let _ = failed.send(error.to_string());
            async {}
        });
    })
    .await;
    let mut other = stage.connect().await;
    let mut socket = stage.connect().await;
    socket.send(Message::text("fail")).await.unwrap();
    assert_eq!(failures.recv().await.unwrap(), "a handler failed: it failed");
    exchange(&mut socket, Message::text("it goes on")).await;
    socket.send(Message::text("panic")).await.unwrap();
    assert_eq!(closed(&mut socket).await.0, 1011);
    assert!(failures.recv().await.unwrap().starts_with("a handler panicked: "));
    exchange(&mut other, Message::text("nothing happened here")).await;
}

async fn pings_are_answered_and_silence_ends_the_connection(place: &Place) {
    let heartbeat = HeartBeat::every(Duration::from_millis(50)).timeout(Duration::from_millis(200));
    let (ended, mut ends) = mpsc::unbounded_channel();
    let stage = Stage::with(place, Hub::builder().heartbeat(heartbeat), |hub| {
        hub.before_heartbeat(|peer| if peer.target() == "/ws" { Beat::Ping } else { Beat::Skip });
        hub.on_error(|_, _| async {});
        hub.on_disconnect(move |peer, how| {
            let _ = ended.send((how.code, peer.traffic().last_pong.is_some()));
            async {}
        });
    })
    .await;
    let mut alive = stage.connect().await;
    // This one never reads, so that it never answers.
    let silent = stage.connect().await;
    let reading = tokio::spawn(async move { while let Some(Ok(_)) = alive.next().await {} });
    assert_eq!(timeout(PATIENCE, ends.recv()).await.unwrap().unwrap(), (1006, false));
    stage.settle(1).await;
    let peer = stage.hub.peers().pop().unwrap();
    let traffic = peer.traffic();
    assert!(traffic.last_pong.is_some() && traffic.first_ping < traffic.last_ping, "{traffic:?}");
    reading.abort();
    drop(silent);
}

async fn who_reads_too_slowly_is_closed(place: &Place) {
    let limits = OutboundLimits { bytes: 1 << 20, messages: 100, overflow: Overflow::Close(Code::POLICY_VIOLATION) };
    let (ended, mut ends) = mpsc::unbounded_channel();
    let builder =
        Hub::builder().outbound(limits).write_timeout(Duration::from_millis(300)).close_timeout(Duration::from_millis(300));
    let stage = Stage::with(place, builder, |hub| {
        hub.on_error(|_, _| async {});
        hub.on_disconnect(move |_, how| {
            let _ = ended.send(how.code);
            async {}
        });
    })
    .await;
    let slow = stage.connect().await;
    let mut quick = stage.connect().await;
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while let Some(Ok(message)) = quick.next().await {
            count += usize::from(message.is_binary());
            if message.is_text() {
                return count;
            }
        }
        0
    });
    stage.settle(2).await;
    let mut sent = 0;
    while stage.hub.len() == 2 {
        let reached = stage.hub.broadcast(vec![7; 100_000]).await;
        sent += usize::from(reached.queued > 0);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It may not even take the Close.
    assert!([1006, 1008].contains(&ends.recv().await.unwrap()));
    assert_eq!(stage.hub.broadcast("end").await.queued, 1);
    assert_eq!(timeout(PATIENCE, reading).await.unwrap().unwrap(), sent, "one slow client costs the others nothing");
    drop(slow);
}

async fn a_server_that_stops_says_so(place: &Place) {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let stage = Stage::new(place, |hub| {
        hub.on_disconnect(move |_, how| {
            let _ = ended.send(how.code);
            async {}
        });
    })
    .await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(stage.connect().await);
    }
    stage.settle(4).await;
    stage.hub.disconnect_all(Code::SERVICE_RESTART, "again");
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, (1012, "again".to_owned()));
        let _ = socket.next().await;
        assert_eq!(ends.recv().await.unwrap(), 1012);
    }
    let mut socket = stage.connect().await;
    stage.settle(1).await;
    let (stopped, ()) = tokio::join!(timeout(PATIENCE, stage.running.stop()), async {
        assert_eq!(closed(&mut socket).await, (1001, "the server stops".to_owned()));
        let _ = socket.next().await;
    });
    stopped.unwrap();
    assert_eq!(ends.recv().await.unwrap(), 1001);
}

async fn who_is_cut_off_by_the_end_of_the_server_is_told_of_too(place: &Place) {
    let (told, mut events) = mpsc::unbounded_channel();
    let ends = told.clone();
    let hub = Hub::new();
    hub.on_message(move |_, _| {
        let _ = told.send(0);
        std::future::pending::<()>()
    });
    hub.on_disconnect(move |_, how| {
        let _ = ends.send(how.code);
        async {}
    });
    let app = Router::new().route("/ws", hub.route());
    let server = place.serving(app, "http://127.0.0.1:0/").shutdown_timeout(Duration::from_millis(100));
    let stage = Stage { running: Running::start(server).await, hub };
    let mut socket = stage.connect().await;
    socket.send(Message::text("wait for ever")).await.unwrap();
    assert_eq!(events.recv().await, Some(0), "the handler runs");
    timeout(PATIENCE, stage.running.stop()).await.expect("a handler that does not end does not hold the server up");
    assert!(timeout(PATIENCE, events.recv()).await.expect("it is told").is_some_and(|code| [1001, 1006].contains(&code)));
    assert!(events.try_recv().is_err(), "once");
}

//! WebSockets through a hub, the same whichever provider the app runs on.
#![cfg(all(unix, feature = "axum"))]

#[macro_use]
mod client;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use client::{Place, Running};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use narthex::hub::{
    Beat, Code, Delivery, HeartBeat, Hub, HubBuilder, Kind, Message as Sending, OutboundLimits, Overflow, ReplyError, Sent,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

const PATIENCE: Duration = Duration::from_secs(10);

on_both! {
    messages_are_answered_in_order_and_large_ones_come_through
    a_client_is_told_why_it_cannot_connect
    the_app_decides_who_connects_and_what_the_response_says
    pages_of_other_origins_may_not_connect
    a_peer_knows_its_client
    a_broadcast_reaches_those_whom_its_conditions_name
    channels_are_left_by_who_disconnects
    an_end_is_told_once_with_its_code
    a_handler_that_panics_closes_its_own_connection
    a_slow_handler_holds_up_its_own_connection_only
    a_reply_goes_to_who_asked_for_it
    parts_are_sent_as_one_message
    fragments_are_handed_over_as_they_come
    pings_are_answered_and_silence_ends_the_connection
    who_reads_too_slowly_is_closed
    a_server_that_stops_says_so
    messages_that_nobody_handles_close_the_connection
}

type Socket = WebSocketStream<TcpStream>;

/// A hub at `/ws` of a running server.
struct Stage {
    running: Running,
    hub: Hub,
}

impl Stage {
    async fn with(place: &Place, builder: HubBuilder, prepare: impl FnOnce(&Hub)) -> Self {
        let hub = builder.build();
        prepare(&hub);
        let app = Router::new().route("/ws", hub.route());
        Self { running: Running::start(place.serving(app, "http://127.0.0.1:0/")).await, hub }
    }

    async fn new(place: &Place, prepare: impl FnOnce(&Hub)) -> Self {
        Self::with(place, Hub::builder(), prepare).await
    }

    async fn echo(place: &Place) -> Self {
        Self::new(place, echo).await
    }

    fn address(&self) -> SocketAddr {
        self.running.address()
    }

    async fn connect(&self) -> Socket {
        self.connect_with(&[]).await.expect("the hub wants the client")
    }

    async fn connect_with(&self, fields: &[(&'static str, &str)]) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/ws", self.address()).into_client_request().unwrap();
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(self.address()).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
    }

    /// Waits until so many are connected.
    async fn settle(&self, peers: usize) {
        for _ in 0..1_000 {
            if self.hub.len() == peers {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} are connected, not {peers}", self.hub.len());
    }
}

fn echo(hub: &Hub) {
    hub.on_message(|peer, text| async move { peer.send(text) });
    hub.on_binary(|peer, data| async move { peer.send(data) });
}

async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("something comes");
        let message = message.expect("the connection goes on").expect("it is right");
        // The heartbeat may come at any time.
        if !message.is_ping() {
            return message;
        }
    }
}

async fn text(socket: &mut Socket) -> String {
    match next(socket).await {
        Message::Text(text) => text.to_string(),
        other => panic!("not text: {other:?}"),
    }
}

/// The Close that comes next.
async fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match next(socket).await {
            Message::Close(Some(CloseFrame { code, reason })) => return (code.into(), reason.to_string()),
            Message::Close(None) => return (1005, String::new()),
            _ => {}
        }
    }
}

async fn messages_are_answered_in_order_and_large_ones_come_through(place: &Place) {
    let stage = Stage::echo(place).await;
    let mut socket = stage.connect().await;
    for number in 0..1_000 {
        socket.feed(Message::text(number.to_string())).await.unwrap();
    }
    socket.flush().await.unwrap();
    for number in 0..1_000 {
        assert_eq!(text(&mut socket).await, number.to_string());
    }
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000, 5_000_000] {
        client::exchange(&mut socket, Message::binary(vec![7; size])).await;
        client::exchange(&mut socket, Message::text("ü".repeat(size / 2))).await;
    }
    client::close(socket).await;
    stage.settle(0).await;
    stage.running.stop().await;
}

async fn a_client_is_told_why_it_cannot_connect(place: &Place) {
    let stage = Stage::with(place, Hub::builder().max_connections(1), echo).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (fields, status, says) in [
        (String::new(), 426, "sec-websocket-version: 13"),
        (
            format!("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n{key}"),
            426,
            "sec-websocket-version: 13",
        ),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n".to_owned(),
            400,
            "text/plain",
        ),
    ] {
        let mut client = stage.running.connect().await;
        client.send(format!("GET /ws HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{fields}");
        assert!(reply.head.to_ascii_lowercase().contains(says), "{}", reply.head);
    }
    let first = stage.connect().await;
    stage.settle(1).await;
    let Err(Error::Http(refused)) = stage.connect_with(&[]).await else { panic!("one too many is connected") };
    assert_eq!(refused.status(), 503);
    client::close(first).await;
    stage.settle(0).await;
    stage.connect().await;
}

async fn the_app_decides_who_connects_and_what_the_response_says(place: &Place) {
    let stage = Stage::with(place, Hub::builder().protocols(["chat", "news"]), |hub| {
        echo(hub);
        hub.on_connect(|mut connect| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let Some(user) = connect.header("x-user").map(str::to_owned) else {
                return Err(connect
                    .refuse(StatusCode::UNAUTHORIZED, "who are you?")
                    .header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\"")));
            };
            connect.add_header(http::header::SET_COOKIE, HeaderValue::from_static("a=b"));
            connect.add_header(http::header::UPGRADE, HeaderValue::from_static("nonsense"));
            connect.subscribe("news");
            connect.set_data(user);
            Ok(connect)
        });
    })
    .await;
    let Err(Error::Http(refused)) = stage.connect_with(&[]).await else { panic!("nobody is connected") };
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &HeaderValue::from_static("Basic realm=\"x\""))
    );

    let mut request = format!("ws://{}/ws", stage.address()).into_client_request().unwrap();
    request.headers_mut().insert("x-user", HeaderValue::from_static("ann"));
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("other, news, chat"));
    let stream = TcpStream::connect(stage.address()).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["set-cookie"], "a=b");
    assert_eq!(response.headers()["sec-websocket-protocol"], "news");
    stage.settle(1).await;
    let peer = stage.hub.subscribers("news").pop().expect("subscribed while connecting");
    assert_eq!((peer.data::<String>().as_deref(), peer.protocol()), (Some(&"ann".to_owned()), Some("news")));
    assert_eq!(stage.hub.broadcast("hi").protocol("news").send().queued, 1);
    assert_eq!(text(&mut socket).await, "hi");
}

async fn pages_of_other_origins_may_not_connect(place: &Place) {
    let stage = Stage::echo(place).await;
    let own = format!("http://{}", stage.address());
    assert!(stage.connect_with(&[("origin", &own)]).await.is_ok());
    let Err(Error::Http(refused)) = stage.connect_with(&[("origin", "https://evil.example")]).await else {
        panic!("it is connected")
    };
    assert_eq!(refused.status(), 403);
}

async fn a_peer_knows_its_client(place: &Place) {
    let stage = Stage::echo(place).await;
    let mut socket = stage.connect_with(&[("x-seen", "yes")]).await.unwrap();
    client::exchange(&mut socket, Message::text("12345")).await;
    let peer = stage.hub.peers().pop().unwrap();
    assert_eq!(peer.peer_addr(), Some(socket.get_ref().local_addr().unwrap()));
    assert_eq!(peer.local_addr(), Some(stage.address()));
    assert_eq!((peer.header("X-Seen"), peer.target(), peer.is_tls(), peer.is_open()), (Some("yes"), "/ws", false, true));
    assert_eq!(stage.hub.peer(peer.id()).as_ref(), Some(&peer));
    assert_eq!(peer.id().to_string().parse(), Ok(peer.id()));
    let mut traffic = peer.traffic();
    while traffic.bytes_sent == 0 {
        // The client may be faster than the counter.
        tokio::time::sleep(Duration::from_millis(1)).await;
        traffic = peer.traffic();
    }
    assert_eq!((traffic.messages_received, traffic.messages_sent), (1, 1));
    assert_eq!((traffic.bytes_received, traffic.bytes_sent), (11, 7));
    assert!(traffic.last_message.is_some_and(|when| when <= peer.age()));
    client::close(socket).await;
    stage.settle(0).await;
    assert!(!peer.is_open());
    assert_eq!((peer.send("late"), stage.hub.send(peer.id(), "late")), (Sent::NotFound, Sent::NotFound));
}

async fn a_broadcast_reaches_those_whom_its_conditions_name(place: &Place) {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let stage = Stage::new(place, |hub| {
        hub.on_open(move |peer| {
            let _ = arrived.send(peer);
            async {}
        });
    })
    .await;
    let mut sockets = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..4 {
        sockets.push(stage.connect().await);
        peers.push(arrivals.recv().await.unwrap());
    }
    let hub = &stage.hub;
    peers[0].subscribe("weather/spain");
    peers[1].subscribe("weather/*");
    peers[1].subscribe("weather/spain");
    peers[2].subscribe("news");
    assert!(!peers[2].subscribe("news"), "it has already");
    hub.add_to_group("room 1", &peers[2]);
    hub.add_to_group("room 2", &peers[3]);
    let ids: Vec<_> = peers.iter().map(narthex::hub::Peer::id).collect();
    let expected = [
        (hub.broadcast("all").await, vec![0, 1, 2, 3]),
        (hub.broadcast("spain").channel("weather/spain").await, vec![0, 1]),
        (hub.broadcast("italy").channel("weather/italy").await, vec![1]),
        (hub.broadcast("nobody").channel("weather").await, vec![]),
        (hub.broadcast("rooms").group("room *").await, vec![2, 3]),
        (hub.broadcast("both").channel("news").group("room 1").await, vec![2]),
        (hub.broadcast("neither").channel("news").group("room 2").await, vec![]),
        (hub.broadcast("chosen").include([ids[0], ids[3]]).exclude(ids[3]).await, vec![0]),
        (hub.broadcast("not 1").exclude_all([ids[1]]).filter(|peer| peer.id() != ids[2]).await, vec![0, 3]),
        (hub.broadcast("end").await, vec![0, 1, 2, 3]),
    ];
    let names = ["all", "spain", "italy", "nobody", "rooms", "both", "neither", "chosen", "not 1", "end"];
    let mut wanted = vec![Vec::new(); 4];
    for ((reached, who), name) in expected.iter().zip(names) {
        assert_eq!((reached.queued, reached.refused), (who.len(), 0), "{name}");
        who.iter().for_each(|who| wanted[*who].push(name));
    }
    for (socket, wanted) in sockets.iter_mut().zip(&wanted) {
        for name in wanted {
            assert_eq!(text(socket).await, *name);
        }
    }
}

async fn channels_are_left_by_who_disconnects(place: &Place) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (joined, left) = (Arc::clone(&events), Arc::clone(&events));
    let stage = Stage::new(place, |hub| {
        hub.on_open(|peer| async move {
            peer.subscribe("c");
            if let Some(hub) = peer.hub() {
                hub.add_to_group("g", &peer);
            }
        });
        hub.on_group_join(move |_, name| joined.lock().unwrap().push(format!("+{name}")));
        hub.on_group_leave(move |_, name| left.lock().unwrap().push(format!("-{name}")));
    })
    .await;
    let first = stage.connect().await;
    let second = stage.connect().await;
    for _ in 0..1_000 {
        if stage.hub.members("*").len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let peer = stage.hub.members("g").pop().unwrap();
    assert_eq!((peer.subscriptions(), peer.groups()), (vec!["c".to_owned()], vec!["g".to_owned()]));
    client::close(first).await;
    // The other is lost.
    drop(second);
    stage.settle(0).await;
    assert!(stage.hub.channels().is_empty() && stage.hub.groups().is_empty());
    assert!(!peer.subscribe("c"), "it has left");
    assert_eq!(*events.lock().unwrap(), ["+g", "+g", "-g", "-g"]);
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
    client::exchange(&mut socket, Message::text("it goes on")).await;
    socket.send(Message::text("panic")).await.unwrap();
    assert_eq!(closed(&mut socket).await.0, 1011);
    assert!(failures.recv().await.unwrap().starts_with("a handler panicked: "));
    client::exchange(&mut other, Message::text("nothing happened here")).await;
}

async fn a_slow_handler_holds_up_its_own_connection_only(place: &Place) {
    let (seen, mut order) = mpsc::unbounded_channel();
    let (release, released) = tokio::sync::watch::channel(false);
    let stage = Stage::new(place, |hub| {
        hub.on_message(move |peer, text| {
            let (seen, mut released) = (seen.clone(), released.clone());
            async move {
                if text.starts_with("slow") {
                    let _ = released.wait_for(|released| *released).await;
                }
                let _ = seen.send(text.clone());
                peer.send(text)
            }
        });
    })
    .await;
    let mut slow = stage.connect().await;
    slow.send(Message::text("slow 1")).await.unwrap();
    slow.send(Message::text("2")).await.unwrap();
    slow.send(Message::Ping("alive?".into())).await.unwrap();
    assert_eq!(next(&mut slow).await, Message::Pong("alive?".into()), "pings do not wait for handlers");
    for _ in 0..8 {
        let mut quick = stage.connect().await;
        client::exchange(&mut quick, Message::text("quick")).await;
        assert_eq!(order.recv().await.unwrap(), "quick");
    }
    // It leaves before its messages are handled, and they are all the same.
    drop(slow);
    release.send(true).unwrap();
    assert_eq!(order.recv().await.unwrap(), "slow 1");
    assert_eq!(order.recv().await.unwrap(), "2");
}

async fn a_reply_goes_to_who_asked_for_it(place: &Place) {
    let stage = Stage::new(place, |hub| {
        hub.on_message(|peer, text| async move {
            let limit = if text == "impatient" { Duration::from_millis(1) } else { PATIENCE };
            match peer.send_and_wait("question", limit).await {
                Ok(Sending::Text(reply)) => peer.send(format!("you said {reply}")),
                Ok(_) => peer.send("binary?"),
                Err(ReplyError::TimedOut) => peer.send("too late"),
                Err(error) => peer.send(error.to_string()),
            }
        });
    })
    .await;
    let mut socket = stage.connect().await;
    socket.send(Message::text("ask")).await.unwrap();
    assert_eq!(text(&mut socket).await, "question");
    socket.send(Message::text("answer")).await.unwrap();
    assert_eq!(text(&mut socket).await, "you said answer");
    socket.send(Message::text("impatient")).await.unwrap();
    assert_eq!(text(&mut socket).await, "question");
    assert_eq!(text(&mut socket).await, "too late");
    // Who leaves is not waited for.
    let peer = stage.hub.peers().pop().unwrap();
    let (reply, ()) = tokio::join!(peer.send_and_wait("question", PATIENCE), async {
        assert_eq!(peer.send_and_wait("another", PATIENCE).await, Err(ReplyError::Busy));
        drop(socket);
    });
    assert_eq!(reply, Err(ReplyError::Left));
}

async fn parts_are_sent_as_one_message(place: &Place) {
    let stage = Stage::new(place, |hub| {
        hub.on_binary(|peer, _| async move {
            let mut writer = peer.writer(Kind::Binary).unwrap();
            assert!(peer.writer(Kind::Text).is_err(), "one at a time");
            assert!(writer.write("half").is_queued());
        });
    })
    .await;
    let mut socket = stage.connect().await;
    stage.settle(1).await;
    let peer = stage.hub.peers().pop().unwrap();
    let mut writer = peer.writer(Kind::Text).unwrap();
    assert!(writer.write("one ").is_queued());
    assert!(peer.send("another").is_queued());
    assert!(writer.finish("message").is_queued());
    assert_eq!(text(&mut socket).await, "one message");
    assert_eq!(text(&mut socket).await, "another");
    assert!(peer.send_and_flush("flushed").await);
    assert_eq!(text(&mut socket).await, "flushed");
    assert!(peer.writer(Kind::Text).unwrap().finish("short").is_queued());
    assert_eq!(text(&mut socket).await, "short");
    socket.send(Message::binary("x")).await.unwrap();
    assert_eq!(closed(&mut socket).await, (1011, "a message was not finished".to_owned()));
}

async fn fragments_are_handed_over_as_they_come(place: &Place) {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let (got, mut pieces) = mpsc::unbounded_channel();
    let whole = got.clone();
    let stage = Stage::with(place, Hub::builder().delivery(Delivery::Both), |hub| {
        hub.on_fragment(move |_, fragment| {
            let _ = got.send(format!("{}{}{}", String::from_utf8_lossy(&fragment.data), fragment.first, fragment.last));
            async {}
        });
        hub.on_message(move |_, text| {
            let _ = whole.send(text);
            async {}
        });
    })
    .await;
    let mut socket = stage.connect().await;
    for (data, opcode, last) in [("a", Data::Text, false), ("b", Data::Continue, false), ("c", Data::Continue, true)] {
        socket.send(Message::Frame(Frame::message(data, OpCode::Data(opcode), last))).await.unwrap();
    }
    for expected in ["atruefalse", "bfalsefalse", "cfalsetrue", "abc"] {
        assert_eq!(pieces.recv().await.unwrap(), expected);
    }
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

async fn messages_that_nobody_handles_close_the_connection(place: &Place) {
    let stage = Stage::new(place, |hub| {
        hub.on_message(|peer, text| async move { peer.send(text) });
    })
    .await;
    let mut socket = stage.connect().await;
    socket.send(Message::binary("x")).await.unwrap();
    assert_eq!(closed(&mut socket).await, (1003, "this server takes no binary messages".to_owned()));
}

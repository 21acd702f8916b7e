//! Channels as server-sent events.

use std::time::Duration;

use http::StatusCode;
use narthex::hub::{Channels, History, Hub, OutboundLimits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stage::{PATIENCE, Stage, channels};
use crate::client::Place;

on_both! {
    a_client_of_events_gets_what_is_said_in_its_channels
    the_last_id_brings_back_what_was_missed_in_each_channel
    who_may_not_listen_is_told_why
    silence_is_broken_by_comments
    a_client_that_goes_is_no_longer_there
    the_stream_ends_when_the_server_stops
    pages_of_other_origins_may_listen_if_they_may_connect
    who_reads_too_slowly_comes_back_for_the_rest
}

/// That a client has closed its side is taken for the end only when something cannot be written to it, or after 10 seconds.
const SOON: Duration = Duration::from_millis(50);

/// A response that is a stream of events.
struct Listener {
    stream: TcpStream,
    head: String,
    text: String,
    /// Bytes that are not decoded.
    rest: Vec<u8>,
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<String>,
    retry: Option<u64>,
    data: Option<Value>,
    /// It is nothing but a comment.
    is_comment: bool,
}

impl Listener {
    async fn open(stage: &Stage, target: &str, fields: &str) -> Self {
        let mut stream = TcpStream::connect(stage.address()).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("a head").unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        Self { stream, head, text: String::new(), rest: Vec::new() }
    }

    /// Opens a stream, and reads what comes first.
    async fn listen(stage: &Stage, target: &str, last_id: Option<&str>) -> Self {
        let fields = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let mut listener = Self::open(stage, target, &fields).await;
        assert!(listener.head.starts_with("http/1.1 200"), "{}", listener.head);
        assert!(listener.head.contains("content-type: text/event-stream\r\n"), "{}", listener.head);
        assert!(listener.head.contains("cache-control: no-store\r\n"), "{}", listener.head);
        assert_eq!(listener.event().await.unwrap().retry, Some(3_000), "in milliseconds");
        assert_eq!(listener.data().await["op"], "welcome");
        listener
    }

    /// The next event, or the end.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (parse(event), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            timeout(PATIENCE, self.more()).await.expect("something comes")?;
        }
    }

    /// The next event that is more than a comment.
    async fn said(&mut self) -> Event {
        loop {
            let event = self.event().await.expect("it goes on");
            if !event.is_comment {
                return event;
            }
        }
    }

    async fn data(&mut self) -> Value {
        self.said().await.data.expect("an event with data")
    }

    /// Reads a chunk.
    async fn more(&mut self) -> Option<()> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") {
                let length = usize::from_str_radix(std::str::from_utf8(&self.rest[..end]).unwrap(), 16).unwrap();
                if self.rest.len() >= end + 2 + length + 2 {
                    let chunk: Vec<u8> = self.rest.drain(..end + 2 + length + 2).skip(end + 2).take(length).collect();
                    self.text.push_str(&String::from_utf8(chunk).unwrap());
                    return (length > 0).then_some(());
                }
            }
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer).await.ok()?;
            if count == 0 {
                return None;
            }
            self.rest.extend_from_slice(&buffer[..count]);
        }
    }
}

fn parse(text: &str) -> Event {
    let mut event = Event::default();
    let mut data = Vec::new();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("retry", retry)) => event.retry = Some(retry.parse().unwrap()),
            Some(("data", line)) => data.push(line),
            _ if line == ":" => event.is_comment = true,
            other => panic!("{other:?}"),
        }
    }
    event.data = (!data.is_empty()).then(|| serde_json::from_str(&data.join("\n")).unwrap());
    event
}

async fn a_client_of_events_gets_what_is_said_in_its_channels(place: &Place) {
    let stage = Stage::new(place, channels()).await;
    let mut listener = Listener::listen(&stage, "/events?channel=chat/a&channel=quick", None).await;
    let subscribed = listener.event().await.unwrap();
    let (data, id) = (subscribed.data.unwrap(), subscribed.id.unwrap());
    assert_eq!((&data["op"], &data["channel"], &data["total"]), (&json!("subscribed"), &json!("chat/a"), &json!(1)));
    assert_eq!(id, format!("{}.0,", data["epoch"].as_str().unwrap()));
    assert_eq!(listener.data().await["channel"], "quick");

    let mut ann = stage.connect_as("ann").await;
    ann.subscribe("chat/a").await;
    assert_eq!(listener.data().await["op"], "joined");
    // Line ends between tokens are the client's to choose.
    ann.send_text("{\"op\":\"publish\",\"channel\":\"chat/a\",\"data\":{\r\n\"a\":\n\"b\\n\"}}").await;
    let message = listener.event().await.unwrap();
    let data = message.data.unwrap();
    assert_eq!((&data["data"], &data["from"], &data["offset"]), (&json!({"a": "b\n"}), &json!(ann.id), &json!(1)));
    assert_eq!(message.id.unwrap(), format!("{}.1,", data["epoch"].as_str().unwrap()));
    stage.hub.publish("quick", "x").unwrap();
    let message = listener.event().await.unwrap();
    assert_eq!((message.data.unwrap(), message.id), (json!({"op": "message", "channel": "quick", "data": "x"}), None));
    stage.hub.publish("other", "x").unwrap();
    assert_eq!(stage.hub.broadcast("to all").send().queued, 2);
    assert_eq!(listener.data().await, json!({"op": "message", "data": "to all"}));
    assert_eq!(stage.hub.broadcast(vec![1]).channel("quick").send().refused, 1, "events are text");
}

async fn the_last_id_brings_back_what_was_missed_in_each_channel(place: &Place) {
    let stage = Stage::new(place, channels().beat(SOON)).await;
    let target = "/events?channel=chat/a&channel=quick&channel=chat/b";
    let mut listener = Listener::listen(&stage, target, None).await;
    for _ in 0..3 {
        listener.data().await;
    }
    let mut id = String::new();
    for (channel, text) in [("chat/a", "1"), ("chat/b", "2"), ("chat/a", "3")] {
        stage.hub.publish(channel, text).unwrap();
        id = listener.said().await.id.unwrap();
    }
    drop(listener);
    stage.until(|hub| hub.is_empty()).await;
    for (channel, text) in [("chat/b", "4"), ("chat/a", "5"), ("chat/b", "6")] {
        stage.hub.publish(channel, text).unwrap();
    }
    for as_query in [false, true] {
        let mut listener = match as_query {
            false => Listener::listen(&stage, target, Some(&id)).await,
            true => Listener::listen(&stage, &format!("{target}&since={id}"), None).await,
        };
        let mut got = Vec::new();
        for _ in 0..6 {
            let data = listener.data().await;
            got.push(match data["op"].as_str().unwrap() {
                "subscribed" => format!("{} {}", data["channel"].as_str().unwrap(), data["recovered"]),
                _ => data["data"].as_str().unwrap().to_owned(),
            });
        }
        assert_eq!(got, ["chat/a true", "5", "quick null", "chat/b true", "4", "6"]);
        drop(listener);
        stage.until(|hub| hub.is_empty()).await;
    }
    let mut listener = Listener::listen(&stage, "/events?channel=chat/a&last=1", Some("nonsense")).await;
    assert_eq!(listener.data().await.get("recovered"), None);
    assert_eq!(listener.data().await["data"], "5");
    let mut listener = Listener::listen(&stage, "/events?channel=chat/a", Some("0000000000000001.1")).await;
    assert_eq!(listener.data().await["reason"], "epoch");
}

async fn who_may_not_listen_is_told_why(place: &Place) {
    let stage = Stage::with(place, Hub::builder().channels(channels()).max_connections(1), |hub| {
        hub.on_connect(|connect| async move {
            if connect.header("x-bad").is_some() {
                return Err(connect.refuse(StatusCode::UNAUTHORIZED, "who are you?"));
            }
            Ok(connect)
        });
    })
    .await;
    let many = format!("/events?{}", (0..33).map(|number| format!("channel={number}&")).collect::<String>());
    for (target, field, status, says) in [
        ("/events", "", 400, "ask for 1 to 32 channels"),
        (&*many, "", 400, "ask for 1 to 32 channels"),
        ("/events?channel=chat/*", "", 400, "without * and ?"),
        ("/events?channel=", "", 400, "1 to 200 bytes"),
        ("/events?channel=chat/a&channel=secret", "", 403, "channel \"secret\": it is secret"),
        ("/events?channel=chat/a", "X-Bad: 1\r\n", 401, "who are you?"),
        ("/events?channel=chat/a", "Origin: https://evil.example\r\n", 403, "this origin"),
    ] {
        let mut client = stage.running.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n").as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{target}");
        assert!(reply.text().contains(says), "{target}: {}", reply.text());
    }
    let reply = stage.running.connect().await.post("/events?channel=chat/a", b"").await;
    assert_eq!((reply.status, reply.head.contains("allow: GET")), (405, true));
    assert!(stage.hub.is_empty());
    let _listener = Listener::listen(&stage, "/events?channel=chat/a", None).await;
    assert_eq!(stage.running.get("/events?channel=chat/a").await.status, 503);
}

async fn silence_is_broken_by_comments(place: &Place) {
    let stage = Stage::new(place, channels().beat(Duration::from_millis(50))).await;
    let mut listener = Listener::listen(&stage, "/events?channel=quick", None).await;
    listener.data().await;
    for _ in 0..3 {
        assert!(listener.event().await.unwrap().is_comment);
    }
}

async fn a_client_that_goes_is_no_longer_there(place: &Place) {
    let stage = Stage::new(place, channels().beat(SOON)).await;
    let mut ann = stage.connect_as("ann").await;
    ann.subscribe("chat/a").await;
    let mut listener = Listener::open(&stage, "/events?channel=chat/a", "X-User: bob\r\n").await;
    listener.event().await;
    let id = listener.data().await["peer"].clone();
    assert_eq!(ann.next().await, json!({"op": "joined", "channel": "chat/a", "peer": id, "info": {"name": "bob"}}));
    drop(listener);
    assert_eq!(ann.next().await, json!({"op": "left", "channel": "chat/a", "peer": id}));
    stage.until(|hub| hub.len() == 1).await;
}

async fn the_stream_ends_when_the_server_stops(place: &Place) {
    let stage = Stage::new(place, channels()).await;
    let mut listener = Listener::listen(&stage, "/events?channel=quick", None).await;
    listener.data().await;
    let Stage { running, hub } = stage;
    hub.publish("quick", "last words").unwrap();
    let (stopped, ()) = tokio::join!(timeout(Duration::from_secs(4), running.stop()), async {
        assert_eq!(listener.data().await["data"], "last words");
        assert_eq!(listener.event().await, None);
    });
    stopped.expect("it stops before its patience ends");
}

async fn pages_of_other_origins_may_listen_if_they_may_connect(place: &Place) {
    let builder = Hub::builder().origins(["https://shop.example"]).channels(channels());
    let stage = Stage::with(place, builder, |_| {}).await;
    let listener = Listener::open(&stage, "/events?channel=quick", "Origin: https://shop.example\r\n").await;
    assert!(listener.head.contains("access-control-allow-origin: https://shop.example\r\n"), "{}", listener.head);
}

async fn who_reads_too_slowly_comes_back_for_the_rest(place: &Place) {
    let limits = OutboundLimits { messages: 20, ..OutboundLimits::default() };
    let kept = Channels::new().may_subscribe(|_, _| async { true }).history("log", History::last(10_000).bytes(64 << 20));
    let stage = Stage::with(place, Hub::builder().outbound(limits).channels(kept), |_| {}).await;
    let mut id = String::new();
    let mut expected = 1;
    let publisher = {
        let hub = stage.hub.clone();
        std::thread::spawn(move || {
            for number in 1..=2_000 {
                hub.publish("log", format!("{number} {}", "x".repeat(10_000))).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
        })
    };
    let mut connections = 0;
    while expected <= 2_000 {
        connections += 1;
        let mut listener = Listener::listen(&stage, "/events?channel=log", Some(&id)).await;
        let subscribed = listener.event().await.unwrap();
        if connections == 1 {
            expected = subscribed.data.unwrap()["offset"].as_u64().unwrap() + 1;
        } else {
            assert_eq!(subscribed.data.unwrap()["recovered"], true);
        }
        id = subscribed.id.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        while expected <= 2_000
            && let Some(event) = listener.event().await
        {
            assert_eq!(event.data.unwrap()["offset"], expected);
            id = event.id.unwrap();
            expected += 1;
        }
    }
    publisher.join().unwrap();
    assert!(connections > 1, "it was too slow for a queue of 20");
}

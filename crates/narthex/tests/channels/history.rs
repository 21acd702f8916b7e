//! What is kept, and that who comes back gets what it missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use narthex::hub::{Channels, History, Hub, OutboundLimits, Overflow};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::stage::{Client, Stage, channels};
use crate::client::Place;

on_both! {
    who_comes_back_gets_what_it_missed
    who_comes_late_gets_the_last_messages
    what_cannot_be_recovered_is_said_with_the_reason
    nothing_is_missed_or_seen_twice_while_others_publish_at_full_speed
    what_is_not_for_everybody_is_not_kept
    a_replay_larger_than_the_queue_comes_through
    who_reads_too_slowly_is_closed_and_comes_back_for_the_rest
}

fn since(subscribed: &Value, offset: u64) -> Value {
    json!({"epoch": subscribed["epoch"], "offset": offset})
}

async fn numbers(client: &mut Client, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(client.next().await["data"].as_u64().expect("a number"));
    }
    numbers
}

/// A channel `log` with this history.
fn keeping(history: History) -> Channels {
    Channels::new().may_subscribe(|_, _| async { true }).history("log*", history)
}

async fn who_comes_back_gets_what_it_missed(place: &Place) {
    let stage = Stage::new(place, keeping(History::last(10))).await;
    let mut client = stage.connect().await;
    let subscribed = client.subscribe("log").await;
    for number in 1..=3 {
        stage.hub.publish("log", number).unwrap();
    }
    assert_eq!(numbers(&mut client, 3).await, [1, 2, 3]);
    drop(client);
    stage.until(|hub| hub.is_empty()).await;
    for number in 4..=6 {
        stage.hub.publish("log", number).unwrap();
    }
    let mut client = stage.connect().await;
    let answer = client.ask(json!({"op": "subscribe", "id": 1, "channel": "log", "since": since(&subscribed, 3)})).await;
    assert_eq!(
        answer,
        json!({"op": "subscribed", "id": 1, "channel": "log", "epoch": subscribed["epoch"], "offset": 3, "replayed": 3, "recovered": true})
    );
    assert_eq!(numbers(&mut client, 3).await, [4, 5, 6]);
    // Who has missed nothing gets nothing.
    let mut other = stage.connect().await;
    let answer = other.ask(json!({"op": "subscribe", "channel": "log", "since": since(&subscribed, 6), "last": 5})).await;
    assert_eq!(answer["recovered"], true);
    other.has_read_all().await;
}

async fn who_comes_late_gets_the_last_messages(place: &Place) {
    let stage = Stage::new(place, keeping(History::last(10))).await;
    for number in 1..=20 {
        stage.hub.publish("log", number).unwrap();
    }
    let mut client = stage.connect().await;
    let answer = client.ask(json!({"op": "subscribe", "channel": "log", "last": 3})).await;
    assert_eq!((&answer["offset"], answer.get("recovered")), (&json!(17), None));
    assert_eq!(numbers(&mut client, 3).await, [18, 19, 20]);
    let mut client = stage.connect().await;
    client.ask(json!({"op": "subscribe", "channel": "log", "last": 1_000_000})).await;
    assert_eq!(numbers(&mut client, 10).await, (11..=20).collect::<Vec<_>>());
    client.has_read_all().await;
}

async fn what_cannot_be_recovered_is_said_with_the_reason(place: &Place) {
    let stage = Stage::new(place, keeping(History::last(5).age(Duration::from_millis(300)))).await;
    let mut client = stage.connect().await;
    let subscribed = client.subscribe("log").await;
    for number in 1..=10 {
        stage.hub.publish("log", number).unwrap();
    }
    let ask = async |channel: &str, since: Value| {
        let mut client = stage.connect().await;
        let answer = client.ask(json!({"op": "subscribe", "channel": channel, "since": since, "last": 1})).await;
        let replayed = if channel == "log" { numbers(&mut client, 1).await } else { Vec::new() };
        (answer["recovered"].clone(), answer["reason"].clone(), replayed)
    };
    assert_eq!(ask("log", since(&subscribed, 4)).await, (json!(false), json!("trimmed"), vec![10]));
    assert_eq!(ask("log", since(&subscribed, 11)).await, (json!(false), json!("trimmed"), vec![10]));
    for epoch in ["0000000000000001", "nonsense", ""] {
        let since = json!({"epoch": epoch, "offset": 10});
        assert_eq!(ask("log", since).await, (json!(false), json!("epoch"), vec![10]));
    }
    assert_eq!(ask("news", since(&subscribed, 1)).await, (json!(false), json!("no-history"), vec![]));
    // What is too old is gone.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let answer = client.ask(json!({"op": "unsubscribe", "id": 1, "channel": "log"})).await;
    assert_eq!(answer["op"], "message");
    let mut client = stage.connect().await;
    let answer = client.ask(json!({"op": "subscribe", "channel": "log", "since": since(&subscribed, 9), "last": 9})).await;
    assert_eq!((&answer["recovered"], &answer["reason"]), (&json!(false), &json!("trimmed")));
    client.has_read_all().await;

    // Another server, as after a restart.
    let restarted = Stage::new(place, keeping(History::last(5))).await;
    restarted.hub.publish("log", 1).unwrap();
    let mut client = restarted.connect().await;
    let answer = client.ask(json!({"op": "subscribe", "channel": "log", "since": since(&subscribed, 1)})).await;
    assert_eq!((&answer["recovered"], &answer["reason"], &answer["offset"]), (&json!(false), &json!("epoch"), &json!(1)));
    assert_ne!(answer["epoch"], subscribed["epoch"]);
}

async fn nothing_is_missed_or_seen_twice_while_others_publish_at_full_speed(place: &Place) {
    let limits = OutboundLimits { bytes: 64 << 20, messages: 1_000_000, overflow: Overflow::DropNewest };
    let stage =
        Stage::with(place, Hub::builder().outbound(limits).channels(keeping(History::last(1_000_000).bytes(64 << 20))), |_| {})
            .await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..2)
        .map(|_| {
            let (hub, stop) = (stage.hub.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut published = 0_u64;
                while !stop.load(Ordering::Relaxed) && published < 100_000 {
                    hub.publish("log", published).unwrap();
                    published += 1;
                    if published.is_multiple_of(50) {
                        // The others need the processor too.
                        std::thread::sleep(Duration::from_micros(500));
                    }
                }
                published
            })
        })
        .collect();
    let mut position = json!(null);
    let mut expected = 1;
    for round in 0..30 {
        let mut client = stage.connect().await;
        let mut wish = json!({"op": "subscribe", "channel": "log"});
        if round > 0 {
            wish["since"] = position.clone();
        }
        let answer = client.ask(wish).await;
        if round == 0 {
            expected = answer["offset"].as_u64().unwrap() + 1;
        } else {
            assert_eq!(answer["recovered"], true);
        }
        // Beyond what was kept when it subscribed, so that what is live is seen too.
        let enough = expected + answer["replayed"].as_u64().unwrap() + 100;
        while expected <= enough {
            let message = client.next().await;
            assert_eq!(message["offset"], expected, "round {round}: {message}, subscribed by {answer}");
            expected += 1;
            position = json!({"epoch": message["epoch"], "offset": message["offset"]});
        }
        if round % 2 == 1 {
            // Others are lost without a word.
            client.socket.close(None).await.unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let published: u64 = publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum();
    assert!(published >= expected - 1);
}

async fn what_is_not_for_everybody_is_not_kept(place: &Place) {
    let stage = Stage::new(place, channels()).await;
    let mut client = stage.connect().await;
    let subscribed = client.subscribe("chat/a").await;
    let peer = stage.hub.peers().pop().unwrap();
    let hub = &stage.hub;
    hub.broadcast("not kept").channel("chat/a").include([peer.id()]).send();
    hub.broadcast("not kept").channel("chat/a").latest("key").send();
    hub.broadcast("kept").channel("chat/a").send();
    for offset in [Value::Null, Value::Null, json!(1)] {
        assert_eq!(client.next().await["offset"], offset);
    }
    let mut client = stage.connect().await;
    let answer = client.ask(json!({"op": "subscribe", "channel": "chat/a", "since": since(&subscribed, 0)})).await;
    assert_eq!((&answer["recovered"], &answer["replayed"]), (&json!(true), &json!(1)));
    assert_eq!(client.next().await["data"], "kept");
}

async fn a_replay_larger_than_the_queue_comes_through(place: &Place) {
    let limits = OutboundLimits { bytes: 10_000, messages: 10, ..OutboundLimits::default() };
    let stage = Stage::with(place, Hub::builder().outbound(limits).channels(keeping(History::last(500))), |_| {}).await;
    for number in 1..=500 {
        for channel in ["log1", "log2", "log3"] {
            stage.hub.publish(channel, number).unwrap();
        }
    }
    let mut client = stage.connect().await;
    for channel in ["log1", "log2", "log3"] {
        client.send(json!({"op": "subscribe", "channel": channel, "last": 500})).await;
    }
    for channel in ["log1", "log2", "log3"] {
        assert_eq!(client.next().await["channel"], channel);
        assert_eq!(numbers(&mut client, 500).await, (1..=500).collect::<Vec<_>>());
    }
    client.has_read_all().await;
}

async fn who_reads_too_slowly_is_closed_and_comes_back_for_the_rest(place: &Place) {
    let limits = OutboundLimits { bytes: 200_000, messages: 20, ..OutboundLimits::default() };
    let history = History::last(10_000).bytes(64 << 20);
    let stage = Stage::with(place, Hub::builder().outbound(limits).channels(keeping(history)), |_| {}).await;
    let mut client = stage.connect().await;
    let subscribed = client.subscribe("log").await;
    let mut quick = stage.connect().await;
    quick.subscribe("log").await;
    let reading = tokio::spawn(async move {
        for offset in 1.. {
            let message = quick.next().await;
            assert_eq!(message["offset"], offset, "one slow client costs the others nothing");
            if message["data"] == "end" {
                return;
            }
        }
    });
    let mut published = 0;
    // Until the slow one has been closed.
    while stage.hub.subscribers("log").iter().filter(|peer| peer.is_open()).count() == 2 {
        stage.hub.publish("log", "x".repeat(10_000)).unwrap();
        published += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stage.hub.publish("log", "end").unwrap();
    reading.await.unwrap();
    let mut last = 0;
    let code = loop {
        match client.socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                last += 1;
                assert_eq!(message["offset"], last);
            }
            Some(Ok(Message::Close(close))) => break close.map(|close| u16::from(close.code)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, Some(1013));
    assert!(last < published);
    let mut client = stage.connect().await;
    let answer = client.ask(json!({"op": "subscribe", "channel": "log", "since": since(&subscribed, last)})).await;
    assert_eq!((&answer["recovered"], &answer["replayed"]), (&json!(true), &json!(published + 1 - last)));
    for offset in last + 1..=published + 1 {
        assert_eq!(client.next().await["offset"], offset);
    }
}

//! Who may do what, what reaches whom, and what is told of mistakes.

use futures_util::SinkExt;
use narthex::hub::{Channels, Hub, Publication};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::stage::{Stage, channels};
use crate::client::Place;

on_both! {
    nobody_may_do_anything_until_the_app_says_so
    what_is_published_reaches_subscribers_and_raw_peers_in_their_own_form
    the_app_says_who_may_subscribe_and_what_is_published
    masks_are_for_those_whom_the_app_lets
    mistakes_are_told_and_the_connection_goes_on
    subscriptions_are_bounded
    what_the_app_sends_comes_in_envelopes
}

async fn nobody_may_do_anything_until_the_app_says_so(place: &Place) {
    let stage = Stage::new(place, Channels::new()).await;
    let mut client = stage.connect().await;
    for (message, code) in [
        (json!({"op": "subscribe", "id": 1, "channel": "a"}), "denied"),
        (json!({"op": "publish", "id": 1, "channel": "a", "data": 1}), "denied"),
        (json!({"op": "request", "id": 1, "name": "a"}), "unknown-request"),
        (json!({"op": "presence", "id": 1, "channel": "a"}), "not-subscribed"),
    ] {
        let answer = client.ask(message.clone()).await;
        assert_eq!((&answer["op"], &answer["id"], &answer["code"]), (&json!("error"), &json!(1), &json!(code)), "{message}");
    }
}

async fn what_is_published_reaches_subscribers_and_raw_peers_in_their_own_form(place: &Place) {
    let stage = Stage::with(place, Hub::builder().channels(channels()), |hub| {
        hub.on_message(|peer, text| async move { peer.subscribe(&text) });
    })
    .await;
    let mut raw = stage.connect_raw().await;
    raw.send_text("chat/a").await;
    stage.until(|hub| hub.subscribers("chat/a").len() == 1).await;
    let (mut ann, mut bob) = (stage.connect_as("ann").await, stage.connect_as("bob").await);
    let subscribed = ann.subscribe("chat/a").await;
    assert_eq!((&subscribed["id"], &subscribed["channel"], &subscribed["offset"]), (&json!(1), &json!("chat/a"), &json!(0)));
    let published = bob.ask(json!({"op": "publish", "id": 2, "channel": "chat/a", "data": {"text": "hi"}})).await;
    assert_eq!((&published["op"], &published["id"], &published["offset"]), (&json!("published"), &json!(2), &json!(1)));
    assert_eq!(
        ann.next().await,
        json!({"op": "message", "channel": "chat/a", "data": {"text": "hi"}, "from": bob.id,
            "epoch": subscribed["epoch"], "offset": 1})
    );
    assert_eq!(raw.text().await, r#"{"text":"hi"}"#);
    bob.send(json!({"op": "publish", "channel": "chat/a", "data": "plain \"text\""})).await;
    assert_eq!(ann.next().await["data"], "plain \"text\"");
    assert_eq!(raw.text().await, "plain \"text\"", "who publishes text sends text");
    bob.send(json!({"op": "publish", "channel": "chat/a", "data": null})).await;
    assert_eq!((&ann.next().await["data"], raw.text().await), (&Value::Null, "null".to_owned()));
    bob.has_read_all().await;

    let unsubscribed = ann.ask(json!({"op": "unsubscribe", "id": 3, "channel": "chat/a"})).await;
    assert_eq!(unsubscribed, json!({"op": "unsubscribed", "id": 3, "channel": "chat/a"}));
    bob.ask(json!({"op": "publish", "id": 4, "channel": "chat/a", "data": 1})).await;
    assert_eq!(raw.text().await, "1");
    ann.has_read_all().await;
}

async fn the_app_says_who_may_subscribe_and_what_is_published(place: &Place) {
    let channels = Channels::new()
        .may_subscribe(|peer, channel: String| async move { channel == format!("user/{}", peer.header("x-user").unwrap()) })
        .may_publish(|peer, publication: Publication| async move {
            tokio::task::yield_now().await;
            let text: String = publication.data()?;
            publication.with_data(json!({"by": peer.header("x-user"), "text": text}))
        });
    let stage = Stage::new(place, channels).await;
    let (mut ann, mut bob) = (stage.connect_as("ann").await, stage.connect_as("bob").await);
    ann.subscribe("user/ann").await;
    let refused = bob.ask(json!({"op": "subscribe", "id": 7, "channel": "user/ann"})).await;
    assert_eq!(refused, json!({"op": "error", "id": 7, "code": "denied", "text": "you may not do this"}));
    bob.send(json!({"op": "publish", "channel": "user/ann", "data": "hi"})).await;
    let message = ann.next().await;
    assert_eq!(message, json!({"op": "message", "channel": "user/ann", "data": {"by": "bob", "text": "hi"}, "from": bob.id}));
    let wrong = bob.ask(json!({"op": "publish", "id": 8, "channel": "user/ann", "data": 1})).await;
    assert_eq!((&wrong["id"], &wrong["code"]), (&json!(8), &json!("malformed")));
    ann.has_read_all().await;
}

async fn masks_are_for_those_whom_the_app_lets(place: &Place) {
    let stage = Stage::new(place, channels()).await;
    let refused = stage.connect().await.ask(json!({"op": "subscribe", "id": 1, "channel": "chat/*"})).await;
    assert_eq!(refused["code"], "bad-channel");

    let stage = Stage::new(place, channels().allow_masks()).await;
    let mut client = stage.connect().await;
    let subscribed = client.ask(json!({"op": "subscribe", "channel": "chat/*"})).await;
    assert_eq!(subscribed, json!({"op": "subscribed", "channel": "chat/*"}), "a mask has no history of its own");
    client.subscribe("chat/b").await;
    stage.hub.publish("chat/b", 1).unwrap();
    let message = client.next().await;
    assert_eq!((&message["channel"], &message["data"]), (&json!("chat/b"), &json!(1)));
    client.has_read_all().await;
    let refused = client.ask(json!({"op": "publish", "id": 2, "channel": "chat/*", "data": 1})).await;
    assert_eq!(refused["code"], "bad-channel");
}

async fn mistakes_are_told_and_the_connection_goes_on(place: &Place) {
    let stage = Stage::with(place, Hub::builder().channels(channels().max_name(10)).max_message_size(10_000), |_| {}).await;
    let mut client = stage.connect().await;
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    for (text, code) in [
        ("", "malformed"),
        ("hello", "malformed"),
        ("[]", "malformed"),
        ("null", "malformed"),
        (r#"{"op":1}"#, "malformed"),
        (r#"{"op":"subscribe","id":-1,"channel":"a"}"#, "malformed"),
        (r#"{"op":"subscribe","id":1e400,"channel":"a"}"#, "malformed"),
        (r#"{"op":"subscribe"}"#, "malformed"),
        (r#"{"op":"subscribe","channel":"a","since":{"epoch":"x"}}"#, "malformed"),
        (r#"{"op":"subscribe","channel":"a","last":-1}"#, "malformed"),
        (r#"{"op":"publish","channel":"a"}"#, "malformed"),
        (r#"{"op":"request","name":"a"}"#, "malformed"),
        (r#"{"op":"presence","id":1}"#, "malformed"),
        (r#"{"op":"dance"}"#, "unknown-op"),
        (r#"{"op":"subscribe","channel":""}"#, "bad-channel"),
        (r#"{"op":"subscribe","channel":"longer than ten"}"#, "bad-channel"),
        (r#"{"op":"subscribe","channel":"a\n"}"#, "bad-channel"),
        (r#"{"op":"unsubscribe","channel":"a"}"#, "not-subscribed"),
        (&deep, "malformed"),
    ] {
        client.send_text(text).await;
        let answer = client.next().await;
        assert_eq!((&answer["op"], &answer["code"]), (&json!("error"), &json!(code)), "{text}");
        assert!(answer["text"].as_str().is_some_and(|text| !text.is_empty()));
    }
    // Replies to what nobody has asked.
    client.send(json!({"op": "reply", "id": 7, "data": 1})).await;
    client.send(json!({"op": "error", "id": 8})).await;
    client.subscribe("chat/a").await;
    let again = client.ask(json!({"op": "subscribe", "id": 2, "channel": "chat/a"})).await;
    assert_eq!(again["code"], "already-subscribed");

    client.send_text(&"x".repeat(20_000)).await;
    let Some(Ok(Message::Close(Some(close)))) = futures_util::StreamExt::next(&mut client.socket).await else {
        panic!("it is not closed")
    };
    assert_eq!(u16::from(close.code), 1009);
    let mut client = stage.connect().await;
    client.socket.send(Message::binary("x")).await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = futures_util::StreamExt::next(&mut client.socket).await else {
        panic!("it is not closed")
    };
    assert_eq!(u16::from(close.code), 1003);
}

async fn subscriptions_are_bounded(place: &Place) {
    let stage = Stage::new(place, channels().max_subscriptions(2)).await;
    let mut client = stage.connect().await;
    client.subscribe("1").await;
    client.subscribe("2").await;
    let answer = client.ask(json!({"op": "subscribe", "id": 3, "channel": "3"})).await;
    assert_eq!(answer["code"], "too-many-subscriptions");
    client.ask(json!({"op": "unsubscribe", "id": 4, "channel": "1"})).await;
    client.subscribe("3").await;
}

async fn what_the_app_sends_comes_in_envelopes(place: &Place) {
    let stage = Stage::with(place, Hub::builder().channels(channels()), |hub| {
        hub.on_connect(|mut connect| async move {
            connect.subscribe("welcome");
            Ok(connect)
        });
    })
    .await;
    let mut client = stage.connect().await;
    assert_eq!(client.next().await, json!({"op": "subscribed", "channel": "welcome"}));
    let peer = stage.hub.peers().pop().unwrap();
    assert!(peer.send("a").is_queued());
    assert_eq!(client.next().await, json!({"op": "message", "data": "a"}));
    assert_eq!(stage.hub.broadcast("b").send().queued, 1);
    assert_eq!(client.next().await, json!({"op": "message", "data": "b"}));
    assert_eq!(stage.hub.broadcast("c").channel("welcome").send().queued, 1);
    assert_eq!(client.next().await, json!({"op": "message", "channel": "welcome", "data": "c"}));
    assert_eq!(stage.hub.publish("welcome", Value::Null).unwrap().0.queued, 1);
    assert_eq!(client.next().await, json!({"op": "message", "channel": "welcome", "data": null}));
    assert!(peer.unsubscribe("welcome"));
    assert_eq!(client.next().await, json!({"op": "unsubscribed", "channel": "welcome"}));
}

//! Requests, both ways.

use std::time::Duration;

use narthex::hub::{Hub, Peer, Rejection, RequestError};
use serde_json::{Value, json};

use super::stage::{PATIENCE, Stage, channels};
use crate::client::Place;

on_both! {
    requests_are_answered_by_name
    clients_are_asked_also_by_handlers_that_hold_them_up
    a_request_without_a_reply_says_why
}

async fn requests_are_answered_by_name(place: &Place) {
    let channels = channels()
        .on_request("add", |_, (a, b): (i64, i64)| async move { Ok::<_, Rejection>(a + b) })
        .on_request("whoami", |peer, (): ()| async move { Ok::<_, Rejection>(peer.header("x-user").map(str::to_owned)) })
        .on_request("fail", |_, _: Value| async move { Err::<(), _>(Rejection::coded("sold-out", "no tickets are left")) });
    let stage = Stage::new(place, channels).await;
    let mut client = stage.connect_as("ann").await;
    let answer = client.ask(json!({"op": "request", "id": 1, "name": "add", "data": [40, 2]})).await;
    assert_eq!(answer, json!({"op": "reply", "id": 1, "data": 42}));
    assert_eq!(client.ask(json!({"op": "request", "id": 2, "name": "whoami"})).await["data"], "ann");
    let answer = client.ask(json!({"op": "request", "id": 3, "name": "fail"})).await;
    assert_eq!(answer, json!({"op": "error", "id": 3, "code": "sold-out", "text": "no tickets are left"}));
    let answer = client.ask(json!({"op": "request", "id": 4, "name": "add", "data": "x"})).await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(4), &json!("malformed")));
}

async fn clients_are_asked_also_by_handlers_that_hold_them_up(place: &Place) {
    let channels = channels().on_request("double", |peer: Peer, (): ()| async move {
        let number: i64 = peer.request("number", "please", PATIENCE).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(number * 2)
    });
    let stage = Stage::new(place, channels).await;
    let mut client = stage.connect().await;
    let request = client.ask(json!({"op": "request", "id": 1, "name": "double"})).await;
    assert_eq!(request, json!({"op": "request", "id": 1, "name": "number", "data": "please"}));
    let answer = client.ask(json!({"op": "reply", "id": 1, "data": 21})).await;
    assert_eq!(answer, json!({"op": "reply", "id": 1, "data": 42}));
}

async fn a_request_without_a_reply_says_why(place: &Place) {
    let stage = Stage::with(place, Hub::builder().channels(channels()), |_| {}).await;
    let raw = stage.connect_raw().await;
    stage.until(|hub| hub.len() == 1).await;
    let peer = stage.hub.peers().pop().unwrap();
    assert!(matches!(peer.request::<i32>("a", (), PATIENCE).await, Err(RequestError::NotSpoken)));
    drop(raw);
    stage.until(|hub| hub.is_empty()).await;

    let mut client = stage.connect().await;
    let peer = stage.hub.peers().pop().unwrap();
    let soon = Duration::from_millis(50);
    assert!(matches!(peer.request::<i32>("slow", (), soon).await, Err(RequestError::TimedOut)));
    let late = client.next().await;
    client.send(json!({"op": "reply", "id": late["id"], "data": 1})).await;
    client.has_read_all().await;

    let (refused, wrong, ()) =
        tokio::join!(peer.request::<i32>("refuse", (), PATIENCE), peer.request::<i32>("text", (), PATIENCE), async {
            // Replies may come in any order.
            let (first, second) = (client.next().await, client.next().await);
            client.send(json!({"op": "reply", "id": second["id"], "data": "text"})).await;
            client.send(json!({"op": "error", "id": first["id"], "code": "busy", "text": "not now"})).await;
        });
    assert!(matches!(refused, Err(RequestError::Rejected(rejection)) if rejection.code() == "busy"));
    assert!(matches!(wrong, Err(RequestError::Unreadable(_))));
    let (left, ()) = tokio::join!(peer.request::<i32>("x", (), PATIENCE), async { drop(client) });
    assert!(matches!(left, Err(RequestError::Left)));
    assert!(matches!(peer.request::<i32>("x", (), PATIENCE).await, Err(RequestError::NotSent)));
}

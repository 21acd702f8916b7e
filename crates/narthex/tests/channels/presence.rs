//! Who is in a channel.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::stage::{Client, Stage, channels};
use crate::client::Place;

on_both! {
    members_learn_who_comes_and_who_leaves_or_is_lost
    two_connections_of_one_user_are_two_members
    a_list_is_for_subscribers_and_of_channels_that_have_one
    a_long_list_is_cut_and_says_how_many_there_are
    the_list_and_what_is_told_later_agree_while_many_come_and_go
}

fn who(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list["members"].as_array().unwrap().iter().map(|member| (text(&member["peer"]), text(&member["info"]["name"]))).collect()
}

async fn enter(client: &mut Client, channel: &str) -> Value {
    client.ask(json!({"op": "subscribe", "id": 1, "channel": channel, "presence": true})).await
}

async fn members_learn_who_comes_and_who_leaves_or_is_lost(place: &Place) {
    let stage = Stage::new(place, channels()).await;
    let mut ann = stage.connect_as("ann").await;
    let entered = enter(&mut ann, "chat/a").await;
    assert_eq!((who(&entered), &entered["total"]), (vec![(ann.id.clone(), "ann".to_owned())], &json!(1)));
    // One leaves, one closes, one is lost.
    for way in 0..3 {
        let mut bob = stage.connect_as("bob").await;
        assert_eq!(enter(&mut bob, "chat/a").await["total"], 2);
        assert_eq!(ann.next().await, json!({"op": "joined", "channel": "chat/a", "peer": bob.id, "info": {"name": "bob"}}));
        let list = ann.ask(json!({"op": "presence", "id": 5, "channel": "chat/a"})).await;
        assert_eq!((&list["op"], &list["id"], who(&list).len()), (&json!("presence"), &json!(5), 2));
        let id = bob.id.clone();
        match way {
            0 => {
                bob.ask(json!({"op": "unsubscribe", "id": 1, "channel": "chat/a"})).await;
                bob.has_read_all().await;
            }
            1 => bob.socket.close(None).await.unwrap(),
            _ => drop(bob),
        }
        assert_eq!(ann.next().await, json!({"op": "left", "channel": "chat/a", "peer": id}));
        let list = ann.ask(json!({"op": "presence", "id": 6, "channel": "chat/a"})).await;
        assert_eq!(who(&list), [(ann.id.clone(), "ann".to_owned())]);
    }
    drop(ann);
    stage.until(|hub| hub.is_empty()).await;
    let mut cat = stage.connect_as("cat").await;
    assert_eq!(who(&enter(&mut cat, "chat/a").await), [(cat.id.clone(), "cat".to_owned())]);
}

async fn two_connections_of_one_user_are_two_members(place: &Place) {
    let stage = Stage::new(place, channels()).await;
    let (mut first, mut second) = (stage.connect_as("ann").await, stage.connect_as("ann").await);
    enter(&mut first, "chat/a").await;
    let mut list = who(&enter(&mut second, "chat/a").await);
    let mut expected = vec![(first.id.clone(), "ann".to_owned()), (second.id.clone(), "ann".to_owned())];
    list.sort();
    expected.sort();
    assert_eq!(list, expected);
    assert_eq!(first.next().await["peer"], *second.id);
    drop(second.socket);
    assert_eq!(first.next().await, json!({"op": "left", "channel": "chat/a", "peer": second.id}));
}

async fn a_list_is_for_subscribers_and_of_channels_that_have_one(place: &Place) {
    let stage = Stage::new(place, channels().allow_masks()).await;
    let mut client = stage.connect().await;
    let refused = client.ask(json!({"op": "presence", "id": 1, "channel": "chat/a"})).await;
    assert_eq!(refused["code"], "not-subscribed");
    let subscribed = enter(&mut client, "quick").await;
    assert!(subscribed.get("members").is_none());
    let refused = client.ask(json!({"op": "presence", "id": 1, "channel": "quick"})).await;
    assert_eq!(refused["code"], "no-presence");
    // Who has a mask sees, and is not seen.
    enter(&mut client, "chat/*").await;
    let list = client.ask(json!({"op": "presence", "id": 1, "channel": "chat/a"})).await;
    assert_eq!(list, json!({"op": "presence", "id": 1, "channel": "chat/a", "members": [], "total": 0}));
    let mut other = stage.connect().await;
    other.subscribe("chat/a").await;
    assert_eq!(client.next().await["op"], "joined");
}

async fn a_long_list_is_cut_and_says_how_many_there_are(place: &Place) {
    let stage = Stage::new(place, channels().max_members(2)).await;
    let mut clients = Vec::new();
    for number in 1..=4 {
        let mut client = stage.connect().await;
        let list = enter(&mut client, "chat/a").await;
        assert_eq!((who(&list).len(), &list["total"]), (number.min(2), &json!(number)));
        clients.push(client);
    }
}

async fn the_list_and_what_is_told_later_agree_while_many_come_and_go(place: &Place) {
    let stage = Arc::new(Stage::new(place, channels()).await);
    let comers: Vec<_> = (0..4)
        .map(|number| {
            let stage = Arc::clone(&stage);
            tokio::spawn(async move {
                for round in 0..15 {
                    let mut client = stage.connect().await;
                    client.send(json!({"op": "subscribe", "channel": "chat/a"})).await;
                    if (round + number) % 2 == 0 {
                        client.next().await;
                    }
                    // Lost, some of them before they are let in.
                }
            })
        })
        .collect();
    let mut observers = Vec::new();
    for _ in 0..5 {
        let mut observer = stage.connect().await;
        let mut there: BTreeSet<String> = who(&enter(&mut observer, "chat/a").await).into_iter().map(|(id, _)| id).collect();
        assert!(there.contains(&observer.id));
        for _ in 0..5 {
            track(&mut there, &observer.next().await);
        }
        observers.push((observer, there));
    }
    for comer in comers {
        comer.await.unwrap();
    }
    stage.until(|hub| hub.len() == 5).await;
    for (observer, there) in &mut observers {
        observer.send(json!({"op": "presence", "id": 1, "channel": "chat/a"})).await;
        let list = loop {
            let message = observer.next().await;
            if message["op"] == "presence" {
                break message;
            }
            track(there, &message);
        };
        assert_eq!(who(&list).into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), *there);
        assert_eq!(there.len(), 5);
    }
}

fn track(there: &mut BTreeSet<String>, message: &Value) {
    let peer = message["peer"].as_str().unwrap().to_owned();
    match message["op"].as_str() {
        Some("joined") => assert!(there.insert(peer), "it comes once"),
        Some("left") => assert!(there.remove(&peer), "it goes once"),
        other => panic!("{other:?}"),
    }
}

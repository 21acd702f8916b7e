//! Who gets a broadcast.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::stage::{Stage, text};
use crate::client::{Place, close};

on_both! {
    a_broadcast_reaches_those_whom_its_conditions_name
    channels_are_left_by_who_disconnects
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
    close(first).await;
    // The other is lost.
    drop(second);
    stage.settle(0).await;
    assert!(stage.hub.channels().is_empty() && stage.hub.groups().is_empty());
    assert!(!peer.subscribe("c"), "it has left");
    assert_eq!(*events.lock().unwrap(), ["+g", "+g", "-g", "-g"]);
}

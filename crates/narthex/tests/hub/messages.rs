//! Messages both ways, and the order in which they are handled.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use narthex::hub::{Delivery, Hub, Kind, Message as Sending, OutboundLimits, Priority, ReplyError};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::stage::{PATIENCE, Stage, closed, echo, next, text};
use crate::client::{Place, close, exchange};

on_both! {
    messages_are_answered_in_order_and_large_ones_come_through
    a_slow_handler_holds_up_its_own_connection_only
    a_reply_goes_to_who_asked_for_it
    parts_are_sent_as_one_message
    a_message_is_sent_in_frames_of_the_size_that_was_asked_for
    fragments_are_handed_over_as_they_come
    messages_that_nobody_handles_close_the_connection
    what_comes_at_once_is_answered_although_the_queue_of_answers_is_short
    what_one_handler_sends_keeps_its_order_whatever_its_size
    what_was_answered_before_the_client_closed_comes_before_the_close
    what_threads_send_while_the_session_is_busy_comes_in_their_order
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
        exchange(&mut socket, Message::binary(vec![7; size])).await;
        exchange(&mut socket, Message::text("ü".repeat(size / 2))).await;
    }
    close(socket).await;
    stage.settle(0).await;
    stage.running.stop().await;
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
        exchange(&mut quick, Message::text("quick")).await;
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

async fn a_message_is_sent_in_frames_of_the_size_that_was_asked_for(place: &Place) {
    let stage = Stage::new(place, |hub| {
        hub.on_open(|peer| async move { peer.send_in_frames("one two three", const { NonZeroUsize::new(5).unwrap() }) });
    })
    .await;
    let mut socket = stage.connect().await;
    assert_eq!(text(&mut socket).await, "one two three");
    let mut raw = stage.running.connect().await;
    raw.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
    let mut came = Vec::new();
    while !came.ends_with(b"ree") {
        assert!(timeout(PATIENCE, raw.0.read_buf(&mut came)).await.expect("it comes").unwrap() > 0, "it is all there");
    }
    assert!(came.ends_with(b"\x01\x05one t\x00\x05wo th\x80\x03ree"), "{came:?}");
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

async fn messages_that_nobody_handles_close_the_connection(place: &Place) {
    let stage = Stage::new(place, |hub| {
        hub.on_message(|peer, text| async move { peer.send(text) });
    })
    .await;
    let mut socket = stage.connect().await;
    socket.send(Message::binary("x")).await.unwrap();
    assert_eq!(closed(&mut socket).await, (1003, "this server takes no binary messages".to_owned()));
}

async fn what_comes_at_once_is_answered_although_the_queue_of_answers_is_short(place: &Place) {
    let limits = OutboundLimits { messages: 100, ..OutboundLimits::default() };
    let stage = Stage::with(place, Hub::builder().outbound(limits), echo).await;
    let socket = stage.connect().await;
    let (mut sending, mut receiving) = socket.split();
    const MESSAGES: u32 = 5_000;
    let sender = tokio::spawn(async move {
        for number in 0..MESSAGES {
            // Gathered, so that one read of the server's has thousands of them.
            sending.feed(Message::binary(number.to_be_bytes().to_vec())).await.unwrap();
        }
        sending.flush().await.unwrap();
        sending
    });
    let mut number = 0;
    while number < MESSAGES {
        match timeout(PATIENCE, receiving.next()).await.expect("something comes").unwrap().unwrap() {
            Message::Binary(bytes) => {
                assert_eq!(bytes, number.to_be_bytes().as_slice());
                number += 1;
            }
            Message::Ping(_) => {}
            other => panic!("{other:?} after {number} messages"),
        }
    }
    drop(sender.await.unwrap());
}

async fn what_one_handler_sends_keeps_its_order_whatever_its_size(place: &Place) {
    let stage = Stage::new(place, |hub| {
        hub.on_message(|peer, text| async move {
            assert!(peer.send("first").is_queued());
            assert!(peer.buffered() >= "first".len());
            assert!(peer.send(text).is_queued());
            assert!(peer.send_with_priority("last", Priority::Low).is_queued());
            for number in 0..100 {
                assert!(peer.send(number.to_string()).is_queued());
            }
        });
    })
    .await;
    let mut socket = stage.connect().await;
    for size in [1, 16 * 1024, 16 * 1024 + 1, 1_000_000] {
        socket.send(Message::text("x".repeat(size))).await.unwrap();
        assert_eq!(text(&mut socket).await, "first");
        assert_eq!(text(&mut socket).await.len(), size);
        let mut numbers = Vec::new();
        loop {
            match text(&mut socket).await {
                last if last == "last" => break,
                number => numbers.push(number.parse::<u32>().unwrap()),
            }
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
        // Of those that are sent together, some may be on their way before what is less urgent.
        for _ in numbers.len()..100 {
            let number = text(&mut socket).await.parse().unwrap();
            assert!(numbers.last().is_none_or(|last| *last < number));
            numbers.push(number);
        }
    }
    close(socket).await;
    stage.running.stop().await;
}

async fn what_was_answered_before_the_client_closed_comes_before_the_close(place: &Place) {
    let stage = Stage::echo(place).await;
    let mut socket = stage.connect().await;
    for number in 0..10 {
        socket.feed(Message::text(number.to_string())).await.unwrap();
    }
    // All in one write.
    socket.feed(Message::Close(None)).await.unwrap();
    socket.flush().await.unwrap();
    for number in 0..10 {
        assert_eq!(text(&mut socket).await, number.to_string());
    }
    assert_eq!(closed(&mut socket).await, (1005, String::new()));
    stage.settle(0).await;
    stage.running.stop().await;
}

async fn what_threads_send_while_the_session_is_busy_comes_in_their_order(place: &Place) {
    const THREADS: usize = 3;
    const EACH: usize = 10_000;
    let limits = OutboundLimits { bytes: 1 << 30, messages: 1 << 20, ..OutboundLimits::default() };
    let stage = Stage::with(place, Hub::builder().outbound(limits), echo).await;
    let mut socket = stage.connect().await;
    exchange(&mut socket, "ready".into()).await;
    let peer = stage.hub.peers().pop().expect("the client is there");
    let threads = (0..THREADS).map(|thread| {
        let peer = peer.clone();
        std::thread::spawn(move || {
            for number in 0..EACH {
                // Some are too large to be framed by who sends them.
                let padding = if number % 100 == thread { 20_000 } else { 0 };
                assert!(peer.send(format!("{thread} {number} {:padding$}", "")).is_queued());
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    let (mut sending, mut receiving) = socket.split();
    let keeping_busy = tokio::spawn(async move { while sending.send(Message::binary("busy")).await.is_ok() {} });
    let mut next = [0; THREADS];
    while next != [EACH; THREADS] {
        let message = timeout(PATIENCE, receiving.next()).await.unwrap_or_else(|_| panic!("nothing comes after {next:?}"));
        let Message::Text(text) = message.unwrap().unwrap() else { continue };
        let mut words = text.split(' ').map(|word| word.parse::<usize>().unwrap_or_default());
        let (thread, number) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(number, next[thread], "of thread {thread}");
        next[thread] += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    keeping_busy.abort();
    drop(receiving);
    stage.running.stop().await;
}

//! Requests before the end of the handshake (RFC 8470).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use narthex_tests::h3::{Client, Connection};
use narthex_tests::{Provider, Secure, Setup};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use crate::http3::stage::{both, eventually, start};

both! {
    without_a_word_nobody_begins_with_a_request;
    a_get_is_answered_before_the_end_of_the_handshake_and_a_post_waits_for_it;
    a_post_in_early_data_is_answered_in_the_end;
    what_somebody_has_recorded_is_not_answered_again;
}

/// A client that has been there before.
async fn known(secure: &Secure) -> Client {
    let client = secure.client();
    let connection = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
    for _ in 0..3 {
        assert_eq!(connection.get("/whoami").await.status, 200);
    }
    client
}

fn allowing(provider: Provider) -> Secure {
    Secure::start(provider, Setup { embedded: &["--early-data"], binding: &["earlydata=enable"], ..Setup::default() })
}

async fn without_a_word_nobody_begins_with_a_request(provider: Provider) {
    let secure = start(provider);
    let client = known(&secure).await;
    assert!(client.connect_early(secure.address()).await.is_none());
    let again = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
    assert_eq!(again.get("/whoami").await.text(), "app");
}

async fn a_get_is_answered_before_the_end_of_the_handshake_and_a_post_waits_for_it(provider: Provider) {
    let secure = allowing(provider);
    let client = known(&secure).await;
    let relay = Relay::start(secure.address()).await;
    let (connection, accepted) = client.connect_early(relay.address).await.expect("the server allows it");
    let open = async |method: &str, path: &str| connection.open(method, path, &[]).await.expect("there is room");
    let _held = open("POST", "/hold").await;
    is_sent(&connection, 2).await;
    let mut count = open("GET", "/held?ms=300").await;
    is_sent(&connection, 3).await;
    relay.let_answers_pass();
    assert_eq!(count.answer().await.expect("an answer").text(), "0", "the POST may be somebody's repetition");
    assert!(relay.is_holding_back(), "the handshake is complete already");
    relay.let_go();
    assert!(accepted.await, "the server has taken the early data");
    is_held(&connection).await;
}

/// Waits until so many streams, the control stream among them, have begun to be sent. What is written when an answer has come is
/// no early data any more. What is sent again counts too, so that the last may need a moment more.
async fn is_sent(connection: &Connection, streams: u64) {
    eventually("it is sent", async || connection.quic.stats().frame_tx.stream >= streams).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

async fn is_held(connection: &Connection) {
    eventually("the POST is there", async || connection.get("/held").await.text() == "1").await;
}

async fn a_post_in_early_data_is_answered_in_the_end(provider: Provider) {
    let secure = allowing(provider);
    let client = known(&secure).await;
    let (connection, accepted) = client.connect_early(secure.address()).await.expect("the server allows it");
    let mut post = connection.open("POST", "/echo", &[]).await.expect("there is room");
    post.request.data(b"early").await.expect("there is room");
    assert_eq!(connection.get("/whoami").await.text(), "app");
    assert_eq!(post.answer().await.expect("an answer").text(), "early");
    assert!(accepted.await);
}

async fn what_somebody_has_recorded_is_not_answered_again(provider: Provider) {
    let secure = allowing(provider);
    let client = known(&secure).await;
    let relay = Relay::start(secure.address()).await;
    let (connection, accepted) = client.connect_early(relay.address).await.expect("the server allows it");
    let mut stream = connection.open("GET", "/answer", &[]).await.expect("there is room");
    is_sent(&connection, 2).await;
    relay.let_answers_pass();
    assert_eq!(stream.answer().await.expect("an answer").header("x-count"), Some("1"));
    relay.let_go();
    assert!(accepted.await);
    connection.leave();
    // While the server knows the connection still, and when it has forgotten it.
    for _ in 0..10 {
        relay.repeat(secure.address()).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(secure.http3().await.get("/answer").await.header("x-count"), Some("2"));
}

/// Stands between one client and the server, and holds back the server's answers, and then what the client sends when it has got
/// them: the end of the handshake is part of that, and early data is not.
struct Relay {
    address: SocketAddr,
    answers: Arc<AtomicBool>,
    passes: Arc<AtomicBool>,
    holds: Arc<AtomicBool>,
    changed: Arc<Notify>,
    /// What has gone to the server before the end of the handshake.
    recorded: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    async fn start(server: SocketAddr) -> Self {
        let socket = async || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let (front, back) = (socket().await, socket().await);
        back.connect(server).await.expect("it is an address");
        let address = front.local_addr().expect("a socket has an address");
        let relay = Self {
            address,
            answers: Arc::default(),
            passes: Arc::default(),
            holds: Arc::default(),
            changed: Arc::default(),
            recorded: Arc::default(),
        };
        let (passes, holds, changed) = (Arc::clone(&relay.passes), Arc::clone(&relay.holds), Arc::clone(&relay.changed));
        let (recorded, answers) = (Arc::clone(&relay.recorded), Arc::clone(&relay.answers));
        tokio::spawn(async move {
            let (mut client, mut kept, mut kept_answers) = (None, Vec::new(), Vec::new());
            let mut answered = false;
            let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut up) => {
                        client = Some(from);
                        // RFC 9000 section 17.2: packets with early data have type 1.
                        let is_early = up[0] & 0xf0 == 0xd0;
                        if passes.load(Ordering::SeqCst) || !answered || is_early {
                            if !passes.load(Ordering::SeqCst) {
                                recorded.lock().expect("nobody panics").push(up[..length].to_vec());
                            }
                            let _ = back.send(&up[..length]).await;
                        } else {
                            holds.store(true, Ordering::SeqCst);
                            kept.push(up[..length].to_vec());
                        }
                    }
                    Ok(length) = back.recv(&mut down) => {
                        if answers.load(Ordering::SeqCst) {
                            answered = true;
                            let client: SocketAddr = client.expect("the client speaks first");
                            let _ = front.send_to(&down[..length], client).await;
                        } else {
                            kept_answers.push(down[..length].to_vec());
                        }
                    }
                    () = changed.notified() => {
                        for datagram in kept_answers.drain(..) {
                            answered = true;
                            let _ = front.send_to(&datagram, client.expect("the client speaks first")).await;
                        }
                        if passes.load(Ordering::SeqCst) {
                            for datagram in kept.drain(..) {
                                let _ = back.send(&datagram).await;
                            }
                        }
                    }
                }
            }
        });
        relay
    }

    fn is_holding_back(&self) -> bool {
        self.holds.load(Ordering::SeqCst)
    }

    /// Sends the beginning of the connection again, as if from another client.
    async fn repeat(&self, server: SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let recorded = self.recorded.lock().expect("nobody panics").clone();
        assert!(!recorded.is_empty());
        for datagram in recorded {
            socket.send_to(&datagram, server).await.expect("the server is there");
        }
    }

    fn let_answers_pass(&self) {
        self.answers.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    fn let_go(&self) {
        self.passes.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }
}

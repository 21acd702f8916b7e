//! What a message costs: read, and written as an echo does, beside tungstenite and beside unmasking as fastwebsockets has it.
//!
//! `cargo bench -p narthex-ws`. Text is checked for UTF-8 by all that read text.

use std::hint::black_box;
use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use narthex_ws::deflate::{Compressors, Config, Offer};
use narthex_ws::{Broadcast, Connection, Event, Header, MaskKey, Opcode};
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

const ROUNDS: u32 = 15;
const KEY: MaskKey = MaskKey::new([0x37, 0xfa, 0x21, 0x3d]);

fn main() {
    for len in [16, 1024, 64 << 10, 1 << 20] {
        let text: String = "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(len).collect();
        println!("\n{len} bytes");
        echo(len, &text);
        unmask(len);
    }
    println!("\n1024 bytes of other scripts");
    let mut text = "Zażółć gęślą jaźń, 日本語. ".repeat(30);
    text.truncate(text.floor_char_boundary(1024));
    echo(text.len(), &text);
    println!("\ncompression of a message as chats have it");
    compression();
}

fn echo(len: usize, text: &str) {
    let frame = masked(text.as_bytes());
    // As a server has them: a buffer for all connections, and an output.
    let mut buffer = frame.clone();
    let mut out = Vec::with_capacity(len + 100);
    let mut connection = Connection::server(Arc::default(), None);
    report("echo", len, || {
        buffer.copy_from_slice(&frame);
        out.clear();
        let mut input = &mut buffer[..];
        while let Ok(Some(Event::Text(text))) = connection.receive(&mut input) {
            connection.text(&text, &mut out).expect("open");
        }
        connection.answer(&mut out);
        assert!(black_box(&out).len() > len);
    });

    let mut connection = Connection::server(Arc::default(), None);
    report("echo, in reads of 16 KiB", len, || {
        buffer.copy_from_slice(&frame);
        out.clear();
        for mut input in buffer.chunks_mut(16 << 10) {
            while let Ok(Some(Event::Text(text))) = connection.receive(&mut input) {
                connection.text(&text, &mut out).expect("open");
            }
        }
        assert!(black_box(&out).len() > len);
    });

    let wire = Wire { input: Cursor::new(Vec::new()), output: Vec::with_capacity(len + 100) };
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, None);
    report("tungstenite: echo", len, || {
        let wire = socket.get_mut();
        wire.input.get_mut().clone_from(&frame);
        wire.input.set_position(0);
        wire.output.clear();
        let Ok(Message::Text(text)) = socket.read() else { panic!("a text") };
        socket.send(Message::Text(text)).expect("an output");
        assert!(black_box(&socket.get_ref().output).len() > len);
    });
}

fn unmask(len: usize) {
    let mut buffer = vec![b'x'; len];
    report("unmask", len, || black_box(KEY).apply(black_box(&mut buffer)));
    report("unmask, aligned words (safe)", len, || aligned(black_box(&mut buffer), black_box([1, 2, 3, 4])));
    report("unmask, byte by byte", len, || one_by_one(black_box(&mut buffer), black_box([1, 2, 3, 4])));
}

/// The way of fastwebsockets and tungstenite, without their `unsafe`: bytes up to an aligned word, words, bytes.
fn aligned(payload: &mut [u8], mut key: [u8; 4]) {
    let head = payload.as_ptr().align_offset(4).min(payload.len());
    let (head, rest) = payload.split_at_mut(head);
    one_by_one(head, key);
    key.rotate_left(head.len() % 4);
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    one_by_one(rest, key);
}

fn one_by_one(payload: &mut [u8], key: [u8; 4]) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[at & 3];
    }
}

fn compression() {
    let text = r#"{"type":"message","room":"lobby","from":"alice","id":123456,"text":"Good morning, how was the game yesterday? I missed it and nobody tells me.","tags":["game","morning"],"seen":["bob","carol","dave"]}"#;
    for (name, takeover) in [("no context takeover", false), ("context takeover", true)] {
        for level in [1, 2, 3, 6, 9] {
            let config =
                Config { level, server_context_takeover: takeover, client_context_takeover: takeover, ..Config::default() };
            let agreement = config.accept(&Offer::new(&config)).expect("our own offer");
            let compressors = Arc::new(Compressors::new(&config));
            let deflate = || Some((agreement, compressors.clone()));
            let mut server = Connection::server(Arc::default(), deflate());
            let mut client = Connection::client(Arc::default(), Box::new(|| KEY), deflate());
            let (mut out, mut size) = (Vec::new(), 0);
            report(&format!("level {level}, {name}: write"), text.len(), || {
                out.clear();
                server.text(black_box(text), &mut out).expect("open");
                size = out.len();
            });
            if !takeover {
                report(&format!("level {level}, {name}: read {size} bytes"), text.len(), || {
                    let mut input = &mut out[..];
                    assert!(matches!(client.receive(&mut input), Ok(Some(Event::Text(_)))));
                });
            }
        }
    }
    let config = Config { level: 2, ..Config::default() };
    let agreement = config.accept(&Offer::new(&config)).expect("our own offer");
    let compressors = Arc::new(Compressors::new(&config));
    let mut server = Connection::server(Arc::default(), Some((agreement, compressors.clone())));
    let broadcast = Broadcast::text(text, Some(compressors));
    report("broadcast, compressed, for each of many", text.len(), || {
        black_box(server.broadcast(black_box(&broadcast)).expect("open"));
    });
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let header = Header { fin: true, rsv1: false, opcode: Opcode::Text, mask: Some(KEY), len: payload.len() as u64 };
    let mut frame = header.encode().to_vec();
    let start = frame.len();
    frame.extend_from_slice(payload);
    KEY.apply(&mut frame[start..]);
    frame
}

struct Wire {
    input: Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fastest of several rounds: on a busy machine the others measure the neighbours.
// A benchmark measures real time, which only the clock module may read elsewhere.
#[allow(clippy::disallowed_methods)]
fn report(name: &str, len: usize, mut once: impl FnMut()) {
    let times = ((4 << 20) / (len as u32 + 256)).max(8);
    let round = |once: &mut dyn FnMut()| -> Duration {
        let start = Instant::now();
        (0..times).for_each(|_| once());
        start.elapsed()
    };
    let best = (0..ROUNDS).map(|_| round(&mut once)).min().unwrap_or_default();
    let nanos = best.as_nanos() as f64 / f64::from(times);
    println!("  {name:<48} {nanos:>10.1} ns {:>9.0} MB/s", len as f64 * 1000.0 / nanos);
}

//! The same messages through this crate and others: tungstenite for frames, and miniz_oxide for what is compressed in them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use narthex_ws::deflate::{Compressors, Config, Offer, WindowBits};
use narthex_ws::{Connection, Event, Header, Kind, MaskKey, Settings};
use proptest::prelude::*;
use tungstenite::protocol::{Message, Role, WebSocket};

/// A socket whose other end is the test.
#[derive(Default)]
struct Wire {
    to_read: VecDeque<u8>,
    written: Vec<u8>,
    /// At most so many bytes come with one read.
    piece: usize,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.to_read.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = buffer.len().min(self.piece);
        self.to_read.read(&mut buffer[..len])
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn server(deflate: Option<Config>) -> Connection {
    Connection::server(Arc::new(Settings::default()), deflate.map(agreement))
}

fn client(deflate: Option<Config>) -> Connection {
    let mut next = 0_u32;
    let keys = Box::new(move || {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        MaskKey::new(next.to_le_bytes())
    });
    Connection::client(Arc::new(Settings::default()), keys, deflate.map(agreement))
}

fn agreement(config: Config) -> (narthex_ws::deflate::Agreement, Arc<Compressors>) {
    (config.accept(&Offer::new(&config)).unwrap(), Arc::new(Compressors::new(&config)))
}

/// Messages, most of them small, some around the borders of the length forms.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let size = prop_oneof![0..200_usize, 65_500..65_600_usize];
    let binary = (size, any::<u8>()).prop_map(|(len, byte)| Message::binary(vec![byte; len]));
    let message = prop_oneof![
        3 => "\\PC{0,200}".prop_map(Message::text),
        1 => binary,
        1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(|payload| Message::Ping(payload.into())),
    ];
    prop::collection::vec(message, 0..12)
}

fn send(connection: &mut Connection, messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        match message {
            Message::Text(text) => connection.text(text, &mut out).unwrap(),
            Message::Binary(data) => connection.binary(data, &mut out).unwrap(),
            Message::Ping(data) => connection.ping(data, &mut out).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    out
}

fn receive(connection: &mut Connection, mut bytes: Vec<u8>, piece: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for mut input in bytes.chunks_mut(piece) {
        while let Some(event) = connection.receive(&mut input).expect("valid frames") {
            messages.push(match event {
                Event::Text(text) => Message::text(text.into_owned()),
                Event::Binary(data) => Message::binary(data.into_owned()),
                Event::Ping(data) => Message::Ping(data.into_owned().into()),
                Event::Close(None) => Message::Close(None),
                other => panic!("{other:?}"),
            });
        }
    }
    messages
}

fn tungstenite_reads(role: Role, bytes: Vec<u8>, piece: usize) -> Vec<Message> {
    let wire = Wire { to_read: bytes.into(), piece, ..Wire::default() };
    let mut socket = WebSocket::from_raw_socket(wire, role, None);
    std::iter::from_fn(|| match socket.read() {
        Ok(message) => Some(message),
        Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    })
    .collect()
}

fn tungstenite_writes(role: Role, messages: &[Message]) -> Vec<u8> {
    let mut socket = WebSocket::from_raw_socket(Wire::default(), role, None);
    for message in messages {
        socket.write(message.clone()).unwrap();
    }
    socket.flush().unwrap();
    std::mem::take(&mut socket.get_mut().written)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn tungstenite_reads_what_is_written_here(messages in messages(), piece in 1..70_000_usize) {
        let bytes = send(&mut server(None), &messages);
        prop_assert_eq!(&tungstenite_reads(Role::Client, bytes, piece), &messages);
        let bytes = send(&mut client(None), &messages);
        prop_assert_eq!(&tungstenite_reads(Role::Server, bytes, piece), &messages);
    }

    #[test]
    fn what_tungstenite_writes_is_read_here(messages in messages(), piece in prop_oneof![1..20_usize, 1..70_000_usize]) {
        let bytes = tungstenite_writes(Role::Client, &messages);
        prop_assert_eq!(&receive(&mut server(None), bytes, piece), &messages);
        let bytes = tungstenite_writes(Role::Server, &messages);
        prop_assert_eq!(&receive(&mut client(None), bytes, piece), &messages);
    }

    #[test]
    fn compressed_messages_arrive_as_they_were_sent(
        messages in messages(),
        piece in prop_oneof![1..20_usize, 1..70_000_usize],
        (level, memory_level) in (1..=9_u8, 1..=9_u8),
        bits in 9..=15_u8,
        takeover in any::<bool>(),
    ) {
        let window = WindowBits::new(bits).unwrap();
        let config = Config {
            level,
            memory_level,
            min_size: 0,
            server_context_takeover: takeover,
            client_context_takeover: takeover,
            server_max_window_bits: window,
            client_max_window_bits: window,
        };
        let bytes = send(&mut server(Some(config)), &messages);
        prop_assert_eq!(&receive(&mut client(Some(config)), bytes, piece), &messages);
        let bytes = send(&mut client(Some(config)), &messages);
        prop_assert_eq!(&receive(&mut server(Some(config)), bytes, piece), &messages);
    }

    #[test]
    fn miniz_inflates_what_is_compressed_here(messages in messages(), takeover in any::<bool>()) {
        let config = Config { server_context_takeover: takeover, min_size: 1, ..Config::default() };
        let mut server = server(Some(config));
        let mut inflate = Decompress::new(false);
        for message in messages.iter().filter(|message| !message.is_ping() && !message.is_empty()) {
            let frame = send(&mut server, std::slice::from_ref(message));
            let (header, len) = Header::parse(&frame).unwrap().unwrap();
            let payload = if header.rsv1 {
                if !takeover {
                    inflate.reset(false);
                }
                let compressed = [&frame[len..], &[0, 0, 0xff, 0xff]].concat();
                let mut inflated = Vec::with_capacity(message.len() + 1);
                inflate.decompress_vec(&compressed, &mut inflated, FlushDecompress::Sync).unwrap();
                inflated
            } else {
                frame[len..].to_vec()
            };
            prop_assert_eq!(&payload[..], &message.clone().into_data()[..]);
        }
    }

    #[test]
    fn what_miniz_compresses_is_inflated_here(messages in messages(), level in 0..=9_u32, piece in 1..70_000_usize) {
        let config = Config { server_context_takeover: true, ..Config::default() };
        let mut client = client(Some(config));
        let mut deflate = Compress::new(Compression::new(level), false);
        for message in messages.into_iter().filter(|message| !message.is_ping() && !message.is_empty()) {
            let mut compressed = Vec::with_capacity(message.len() * 2 + 100);
            deflate.compress_vec(&message.clone().into_data(), &mut compressed, FlushCompress::Sync).unwrap();
            prop_assert!(compressed.ends_with(&[0, 0, 0xff, 0xff]));
            compressed.truncate(compressed.len() - 4);
            let opcode = if message.is_text() { narthex_ws::Opcode::Text } else { narthex_ws::Opcode::Binary };
            let header = Header { fin: true, rsv1: true, opcode, mask: None, len: compressed.len() as u64 };
            let bytes = [&header.encode()[..], &compressed].concat();
            prop_assert_eq!(receive(&mut client, bytes, piece), vec![message]);
        }
    }

    #[test]
    fn no_bytes_bring_an_end_into_disorder(mut bytes in prop::collection::vec(any::<u8>(), 0..300), deflate in any::<bool>()) {
        for mut end in [server(deflate.then(Config::default)), client(deflate.then(Config::default))] {
            let mut input = &mut bytes[..];
            let mut failed = false;
            loop {
                match end.receive(&mut input) {
                    Ok(Some(_)) => prop_assert!(!failed),
                    Ok(None) => break,
                    Err(_) => failed = true,
                }
            }
            prop_assert!(input.is_empty());
            let mut out = Vec::new();
            end.answer(&mut out);
            prop_assert!(!failed || end.is_done());
        }
    }
}

#[test]
fn a_large_message_in_fragments_is_one_for_tungstenite() {
    let text = "Zażółć gęślą jaźń ".repeat(5000);
    let mut server = server(None);
    let mut out = Vec::new();
    server.begin(Kind::Text, &text.as_bytes()[..7], &mut out).unwrap();
    server.append(&text.as_bytes()[7..70_001], false, &mut out).unwrap();
    server.append(&text.as_bytes()[70_001..], true, &mut out).unwrap();
    assert_eq!(tungstenite_reads(Role::Client, out, 1000), [Message::text(text)]);
}

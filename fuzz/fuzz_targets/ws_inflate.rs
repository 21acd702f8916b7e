//! Any compressed message stays within its limit, and what is compressed here is inflated as it was.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use narthex_ws::deflate::{Compressors, Config, Offer, WindowBits};
use narthex_ws::{Connection, Event, Header, Limits, MaskKey, Opcode, Settings};

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let [flags, level, payload @ ..] = data else { return };
    let config = Config {
        level: level % 9 + 1,
        memory_level: flags >> 4 & 7,
        min_size: 0,
        server_context_takeover: flags & 8 != 0,
        server_max_window_bits: WindowBits::new(9 + flags % 7).expect("9 to 15"),
        ..Config::default()
    };
    let agreement = config.accept(&Offer::new(&config)).expect("our own offer");
    let deflate = || Some((agreement, Arc::new(Compressors::new(&config))));
    let settings = Arc::new(Settings { limits: Limits::of_size(LIMIT), ..Settings::default() });
    let mut server = Connection::server(settings.clone(), deflate());
    let mut client = Connection::client(settings, Box::new(|| MaskKey::new([1, 2, 3, 4])), deflate());

    // In messages, so that later ones refer to earlier ones where they may.
    for message in payload.chunks(payload.len() / 3 + 1) {
        let mut out = Vec::new();
        server.binary(message, &mut out).expect("open");
        match client.receive(&mut &mut out[..]) {
            Ok(Some(Event::Binary(data))) => assert_eq!(data, message),
            other => panic!("{other:?}"),
        }
    }

    let header = Header { fin: true, rsv1: true, opcode: Opcode::Binary, mask: None, len: payload.len() as u64 };
    let mut frame = [&header.encode()[..], payload].concat();
    if let Ok(Some(Event::Binary(data))) = client.receive(&mut &mut frame[..]) {
        assert!(data.len() <= LIMIT);
    }
});

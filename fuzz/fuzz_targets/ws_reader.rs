//! Any bytes, in pieces of any size, bring an end into no disorder; and where they are cut makes no difference.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use narthex_ws::deflate::{Compressors, Config, Offer};
use narthex_ws::{Connection, Delivery, Event, Limits, MaskKey, Settings};

/// Everything that came, without regard to where it was cut.
fn read(mut end: Connection, bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut seen, mut failed) = (Vec::new(), false);
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            let event = match end.receive(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    continue;
                }
            };
            assert!(!failed, "an event after an error");
            match event {
                Event::Text(text) => seen.extend_from_slice(text.as_bytes()),
                Event::Binary(data) | Event::Ping(data) | Event::Pong(data) => seen.extend_from_slice(&data),
                Event::Piece(piece) => {
                    seen.extend_from_slice(&piece.data);
                    if !piece.last {
                        continue;
                    }
                }
                Event::Close(_) => seen.push(b'c'),
            }
            seen.push(b'\n');
        }
        assert!(input.is_empty());
    }
    end.answer(&mut Vec::new());
    assert!(!failed || end.is_done());
    (seen, failed)
}

fuzz_target!(|data: &[u8]| {
    let [flags, piece, bytes @ ..] = data else { return };
    let config = Config {
        server_context_takeover: flags & 1 != 0,
        client_context_takeover: flags & 1 != 0,
        ..Config::default()
    };
    let agreement = config.accept(&Offer::new(&config)).expect("our own offer");
    let deflate = || (flags & 2 != 0).then(|| (agreement, Arc::new(Compressors::new(&config))));
    let delivery = [Delivery::Whole, Delivery::Pieces, Delivery::Both, Delivery::Whole][usize::from(flags >> 2 & 3)];
    let limits = Limits { max_fragments: 100, ..Limits::of_size(10_000) };
    let settings = Arc::new(Settings { limits, delivery });
    let end = || {
        if flags & 16 != 0 {
            Connection::server(settings.clone(), deflate())
        } else {
            Connection::client(settings.clone(), Box::new(|| MaskKey::new([1, 2, 3, 4])), deflate())
        }
    };
    let whole = read(end(), bytes, bytes.len().max(1));
    let pieces = read(end(), bytes, usize::from(*piece).max(1));
    assert_eq!(whole.1, pieces.1);
    // What an error cuts off depends on how much of it was there.
    if !whole.1 && delivery == Delivery::Whole {
        assert_eq!(whole.0, pieces.0);
    }
});

//! What peers send, well and badly, whole and in pieces of any size. The numbers are those of the Autobahn test suite.

use super::*;
use crate::mask::MaskKey;
use crate::settings::Limits;

const KEY: MaskKey = MaskKey::new([0x37, 0xfa, 0x21, 0x3d]);

/// A client's frame; `bits` are FIN, RSV1 to RSV3 and the opcode.
fn frame(bits: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header { fin: true, rsv1: false, opcode: Opcode::Text, mask: Some(KEY), len: payload.len() as u64 };
    let mut frame = header.encode().to_vec();
    frame[0] = bits;
    let start = frame.len();
    frame.extend_from_slice(payload);
    KEY.apply(&mut frame[start..]);
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// Events as short text: what there was before an error stays.
struct Seen {
    events: Vec<String>,
    error: Option<ProtocolError>,
    /// How many bytes had been given when the error came.
    after: usize,
}

fn read_with(settings: Settings, bytes: &[u8], piece: usize) -> Seen {
    let mut reader = Reader::new(Role::Server, Arc::new(settings), None);
    let mut seen = Seen { events: Vec::new(), error: None, after: 0 };
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        seen.after += piece.len();
        let mut input = &mut piece[..];
        loop {
            match reader.read(&mut input) {
                Ok(None) => break,
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
                Ok(Some(event)) => seen.events.push(match event {
                    Event::Text(text) => format!("text {text}"),
                    Event::Binary(data) => format!("binary {}", data.len()),
                    Event::Ping(data) => format!("ping {}", data.len()),
                    Event::Pong(data) => format!("pong {}", data.len()),
                    Event::Close(close) => format!("close {:?}", close.map(|close| close.code().get())),
                    Event::Piece(_) => panic!("nobody asked for pieces"),
                }),
            }
        }
        assert!(input.is_empty());
    }
    seen
}

/// The same is read in pieces of any size.
#[track_caller]
fn expect(frames: &[Vec<u8>], events: &[&str], error: Option<ProtocolError>) {
    let bytes = frames.concat();
    for piece in [1, 2, 3, 7, 64, bytes.len()] {
        let seen = read_with(Settings::default(), &bytes, piece);
        assert_eq!(
            (&seen.events[..], seen.error),
            (&events.iter().map(|event| (*event).to_owned()).collect::<Vec<_>>()[..], error)
        );
    }
}

#[test]
fn messages_of_every_length_form_are_read() {
    // 1.1 and 1.2.
    for len in [0, 1, 125, 126, 127, 128, 65535, 65536, 100_000] {
        expect(&[frame(0x82, &vec![0xfe; len])], &[&format!("binary {len}")], None);
        let body = "*".repeat(len);
        expect(&[text(&body)], &[&format!("text {body}")], None);
    }
}

#[test]
fn pings_and_pongs_have_at_most_125_bytes() {
    // 2.
    expect(&[frame(0x89, b""), frame(0x89, &[0xff; 125]), frame(0x8a, b"unasked")], &["ping 0", "ping 125", "pong 7"], None);
    expect(&[frame(0x89, &[0; 126])], &[], Some(ProtocolError::ControlFrame));
}

#[test]
fn reserved_bits_end_the_connection_and_spare_what_was_before() {
    // 3. RSV1 is nothing without permessage-deflate either.
    for bits in [0xc1, 0xa1, 0x91, 0xf1, 0xc9, 0xc8] {
        expect(&[text("before"), frame(bits, b"after")], &["text before"], Some(ProtocolError::ReservedBits));
    }
}

#[test]
fn reserved_opcodes_end_the_connection_and_spare_what_was_before() {
    // 4.
    for opcode in [3, 7, 0xb, 0xf] {
        let error = Some(ProtocolError::ReservedOpcode(opcode));
        expect(&[text("before"), frame(0x80 | opcode, b"")], &["text before"], error);
    }
}

#[test]
fn fragments_are_put_together_and_control_frames_come_between() {
    // 5.3 to 5.8, 5.19, 5.20.
    let frames = [
        frame(0x01, b"frag"),
        frame(0x89, b"1"),
        frame(0x00, b""),
        frame(0x00, b"men"),
        frame(0x8a, b"23"),
        frame(0x80, b"ts"),
        text("whole"),
    ];
    expect(&frames, &["ping 1", "pong 2", "text fragments", "text whole"], None);
    expect(&[frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")], &["text "], None);
}

#[test]
fn fragments_out_of_order_end_the_connection() {
    // 5.1, 5.2, 5.9 to 5.18.
    expect(&[frame(0x09, b"")], &[], Some(ProtocolError::ControlFrame));
    expect(&[frame(0x80, b"nothing")], &[], Some(ProtocolError::NothingToContinue));
    expect(&[text("a"), frame(0x00, b"nothing")], &["text a"], Some(ProtocolError::NothingToContinue));
    expect(&[frame(0x01, b"a"), text("b")], &[], Some(ProtocolError::Interleaved));
    expect(&[frame(0x01, b"a"), frame(0x02, b"b")], &[], Some(ProtocolError::Interleaved));
}

#[test]
fn text_may_be_cut_inside_a_character() {
    // 6.2.
    let text = "Hello-µ@ßöäüàá-UTF-8!!";
    let frames: Vec<_> = text.bytes().enumerate().map(|(at, byte)| frame(u8::from(at == 0), &[byte])).collect();
    expect(&[frames, vec![frame(0x80, b"")]].concat(), &[&format!("text {text}")], None);
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_first_wrong_byte() {
    // 6.4: the fragment with the wrong byte has not ended, and the message even less.
    let start = "κόσμε".as_bytes();
    for wrong in [&b"\xf4\x90"[..], b"\xff", b"\xed\xa0", b"\xc0", b"\x80"] {
        let payload = [start, wrong, b"\x80\x80edited"].concat();
        let (whole, first) = (frame(0x81, &payload), frame(0x01, start));
        let seen = read_with(Settings::default(), &whole, 1);
        assert_eq!((seen.error, seen.after), (Some(ProtocolError::InvalidUtf8), 6 + start.len() + wrong.len()));
        let second = frame(0x80, &payload[start.len()..]);
        let seen = read_with(Settings::default(), &[first.clone(), second].concat(), 1);
        assert_eq!((seen.error, seen.after), (Some(ProtocolError::InvalidUtf8), first.len() + 6 + wrong.len()));
        expect(&[whole], &[], Some(ProtocolError::InvalidUtf8));
    }
    // 6.5 and following: what is cut off by the end of the message.
    expect(&[frame(0x81, b"\xce")], &[], Some(ProtocolError::InvalidUtf8));
    expect(&[frame(0x01, b"\xce"), frame(0x80, b"")], &[], Some(ProtocolError::InvalidUtf8));
}

#[test]
fn nothing_is_read_after_a_close() {
    // 7.1 to 7.5.
    let close = frame(0x88, b"\x03\xe8Hello World!");
    expect(&[text("a"), close.clone(), text("b"), frame(0x89, b"")], &["text a", "close Some(1000)"], None);
    expect(&[frame(0x01, b"a"), frame(0x88, b""), frame(0x80, b"b")], &["close None"], None);
    expect(&[close, vec![0xff; 50]], &["close Some(1000)"], None);
    expect(&[frame(0x88, b"\x03")], &[], Some(ProtocolError::CloseBody));
    expect(&[frame(0x88, &[0; 126])], &[], Some(ProtocolError::ControlFrame));
    expect(
        &[frame(0x88, b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")],
        &[],
        Some(ProtocolError::InvalidUtf8),
    );
}

#[test]
fn with_compression_the_bit_for_it_is_on_first_frames_only() {
    // "Hello", as in RFC 7692 section 7.2.3.1, in two fragments.
    let (first, second) = (&[0xf2, 0x48, 0xcd][..], &[0xc9, 0xc9, 0x07, 0x00][..]);
    for (bits, event) in [(0x80, Ok(Some(Event::Text("Hello".into())))), (0xc0, Err(ProtocolError::ReservedBits))] {
        let (mut reader, mut bytes) = (deflating(), [frame(0x41, first), frame(bits, second)].concat());
        assert_eq!(reader.read(&mut &mut bytes[..]), event);
        assert!(reader.is_idle() && reader.inflater.is_none(), "nothing is held between messages");
    }
    for bits in [0xc8, 0xc9, 0xca] {
        assert_eq!(deflating().read(&mut &mut frame(bits, b"")[..]), Err(ProtocolError::ReservedBits));
    }
    assert_eq!(deflating().read(&mut &mut frame(0xc1, b"\xff\xff")[..]), Err(ProtocolError::Deflate));
}

/// A server's reader with compression, and no context takeover.
fn deflating() -> Reader {
    let config = crate::deflate::Config::default();
    let agreement = config.accept_from("permessage-deflate").unwrap();
    Reader::new(Role::Server, Arc::default(), agreement)
}

#[test]
fn pieces_of_text_are_refused_if_the_text_ends_inside_a_character() {
    let settings = Arc::new(Settings { delivery: Delivery::Pieces, ..Settings::default() });
    let mut reader = Reader::new(Role::Server, settings, None);
    let mut bytes = [frame(0x01, b"a\xce"), frame(0x80, b"")].concat();
    let mut input = &mut bytes[..];
    assert!(matches!(reader.read(&mut input), Ok(Some(Event::Piece(piece))) if *piece.data == *b"a\xce"));
    assert_eq!(reader.read(&mut input), Err(ProtocolError::InvalidUtf8));
}

#[test]
fn a_server_wants_masks_and_a_client_none() {
    for (role, mut bytes) in [(Role::Server, vec![0x81, 0]), (Role::Client, text("masked"))] {
        let mut reader = Reader::new(role, Arc::default(), None);
        assert_eq!(reader.read(&mut &mut bytes[..]), Err(ProtocolError::Masking));
    }
}

#[test]
fn a_limit_is_told_when_it_is_announced_and_not_when_it_is_reached() {
    let limits = Limits { max_frame_size: 10, max_message_size: 15, max_fragments: 3, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let read = |frames: &[Vec<u8>], cut: usize| {
        let bytes = frames.concat();
        let seen = read_with(settings, &bytes[..bytes.len() - cut], 1);
        (seen.events.len(), seen.error)
    };
    assert_eq!(read(&[frame(0x82, &[0; 10])], 0), (1, None));
    assert_eq!(read(&[frame(0x82, &[0; 11])], 11), (0, Some(ProtocolError::TooBig(10))));
    assert_eq!(read(&[frame(0x02, &[0; 10]), frame(0x80, &[0; 5])], 0), (1, None));
    assert_eq!(read(&[frame(0x02, &[0; 10]), frame(0x80, &[0; 6])], 6), (0, Some(ProtocolError::TooBig(15))));
    let empty = frame(0x00, b"");
    assert_eq!(read(&[frame(0x02, b""), empty.clone(), frame(0x80, b"")], 0), (1, None));
    assert_eq!(
        read(&[frame(0x02, b""), empty.clone(), empty, frame(0x80, b"")], 0),
        (0, Some(ProtocolError::TooManyFragments(3)))
    );
    // A length that no memory has, which is announced and never comes.
    let huge = Settings { limits: Limits { max_frame_size: u64::MAX, max_message_size: u64::MAX, ..limits }, ..settings };
    let seen = read_with(huge, &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5], 15);
    assert_eq!((seen.events.len(), seen.error), (0, None));
}

#[test]
fn what_lies_whole_in_the_input_is_borrowed_from_it() {
    let mut reader = Reader::new(Role::Server, Arc::default(), None);
    let mut bytes = [text("one"), frame(0x82, b"two"), frame(0x89, b"three"), text("four")[..8].to_vec()].concat();
    let mut input = &mut bytes[..];
    for _ in 0..3 {
        match reader.read(&mut input) {
            Ok(Some(Event::Text(Cow::Borrowed(_)) | Event::Binary(Cow::Borrowed(_)) | Event::Ping(Cow::Borrowed(_)))) => {}
            other => panic!("{other:?}"),
        }
        assert!(reader.is_idle());
    }
    assert_eq!(reader.read(&mut input), Ok(None));
    assert!(!reader.is_idle());
    let mut rest = text("four")[8..].to_vec();
    assert!(matches!(reader.read(&mut &mut rest[..]), Ok(Some(Event::Text(Cow::Owned(text)))) if text == "four"));
    assert!(reader.is_idle());
}

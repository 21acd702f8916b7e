//! The streams that are not requests (RFC 9114 section 6.2, RFC 9204 section 4.2): settings, and compression that is not used.

use std::rc::Rc;

use quinn::{RecvStream, VarInt};

use crate::h3::code;
use crate::h3::frame::{self, DATA, GOAWAY, HEADERS, SETTINGS, number, write_number};
use crate::h3::serve::Shared;

const CONTROL: u64 = 0;
const PUSH: u64 = 1;
const ENCODER: u64 = 2;
const DECODER: u64 = 3;
const MAX_FIELD_SECTION_SIZE: u64 = 6;
const ENABLE_CONNECT_PROTOCOL: u64 = 8;
/// More than any frame of the control stream that means something here.
const MOST_SETTINGS: u64 = 4 * 1024;
/// Frames that a client may send on its control stream.
const MOST_FRAMES: u32 = 1_000;

/// How the server's control stream begins.
pub(super) fn hello(max_head: usize) -> Vec<u8> {
    let mut settings = Vec::new();
    for (name, value) in [(MAX_FIELD_SECTION_SIZE, max_head as u64), (ENABLE_CONNECT_PROTOCOL, 1)] {
        write_number(name, &mut settings);
        write_number(value, &mut settings);
    }
    let mut hello = vec![CONTROL as u8];
    hello.extend_from_slice(&frame::whole(SETTINGS, &settings));
    hello
}

pub(super) fn goaway(first_refused: u64) -> Vec<u8> {
    let mut id = Vec::new();
    write_number(first_refused, &mut id);
    frame::whole(GOAWAY, &id)
}

/// Reads a stream that the client has opened for itself.
pub(super) async fn read(shared: Rc<Shared>, mut stream: RecvStream) {
    let Some(kind) = read_number(&mut stream).await else { return };
    let is_critical = matches!(kind, CONTROL | ENCODER | DECODER);
    if is_critical && !shared.is_first(kind) {
        return shared.close(code::STREAM_CREATION);
    }
    let ended = match kind {
        CONTROL => control(&mut stream).await,
        ENCODER => instructions(&mut stream, |byte| byte == 0x20).await,
        DECODER => instructions(&mut stream, |_| true).await,
        PUSH => code::STREAM_CREATION,
        _ => {
            let _ = stream.stop(code::STREAM_CREATION);
            return;
        }
    };
    shared.close(ended);
}

/// Reads until something is wrong, which the end of such a stream is too.
async fn control(stream: &mut RecvStream) -> VarInt {
    for nth in 0..MOST_FRAMES {
        let (Some(kind), Some(length)) = (read_number(stream).await, read_number(stream).await) else {
            return code::CLOSED_CRITICAL;
        };
        match kind {
            SETTINGS if nth == 0 && length <= MOST_SETTINGS => {}
            _ if nth == 0 => return code::MISSING_SETTINGS,
            DATA | HEADERS | SETTINGS | 2 | 5 | 6 | 8 | 9 => return code::FRAME_UNEXPECTED,
            _ => {}
        }
        if skip(stream, length).await.is_none() {
            return code::CLOSED_CRITICAL;
        }
    }
    code::EXCESSIVE_LOAD
}

/// Reads instructions about a dynamic table that has no room.
async fn instructions(stream: &mut RecvStream, is_right: impl Fn(u8) -> bool) -> VarInt {
    let mut buffer = [0; 256];
    while let Ok(Some(read)) = stream.read(&mut buffer).await {
        if !buffer.iter().take(read).all(|byte| is_right(*byte)) {
            return code::ENCODER_STREAM;
        }
    }
    code::CLOSED_CRITICAL
}

async fn read_number(stream: &mut RecvStream) -> Option<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(bytes.get_mut(..1)?).await.ok()?;
    let length = 1 << (bytes.first()? >> 6);
    stream.read_exact(bytes.get_mut(1..length)?).await.ok()?;
    number(&bytes).map(|(value, _)| value)
}

async fn skip(stream: &mut RecvStream, mut length: u64) -> Option<()> {
    let mut buffer = [0; 256];
    while length > 0 {
        let most = length.min(buffer.len() as u64) as usize;
        length -= stream.read(buffer.get_mut(..most)?).await.ok()?? as u64;
    }
    Some(())
}

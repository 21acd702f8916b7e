//! Frames (RFC 9113 sections 4.1 and 6), as bytes.

/// `DATA`
pub const DATA: u8 = 0;
/// `HEADERS`
pub const HEADERS: u8 = 1;
/// `PRIORITY`
pub const PRIORITY: u8 = 2;
/// `RST_STREAM`
pub const RST_STREAM: u8 = 3;
/// `SETTINGS`
pub const SETTINGS: u8 = 4;
/// `PUSH_PROMISE`
pub const PUSH_PROMISE: u8 = 5;
/// `PING`
pub const PING: u8 = 6;
/// `GOAWAY`
pub const GOAWAY: u8 = 7;
/// `WINDOW_UPDATE`
pub const WINDOW_UPDATE: u8 = 8;
/// `CONTINUATION`
pub const CONTINUATION: u8 = 9;

/// The flag of SETTINGS and PING that answers one.
pub const ACK: u8 = 1;
/// The flag that ends the sender's side of a stream.
pub const END_STREAM: u8 = 1;
/// The flag that ends a field block.
pub const END_HEADERS: u8 = 4;
/// The flag of a frame with padding.
pub const PADDED: u8 = 8;
/// The flag of HEADERS with a priority.
pub const WITH_PRIORITY: u8 = 0x20;

/// The error codes' names (section 7), by their numbers.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// `PROTOCOL_ERROR`
pub const PROTOCOL_ERROR: u32 = 1;
/// `FLOW_CONTROL_ERROR`
pub const FLOW_CONTROL_ERROR: u32 = 3;
/// `STREAM_CLOSED`
pub const STREAM_CLOSED: u32 = 5;
/// `FRAME_SIZE_ERROR`
pub const FRAME_SIZE_ERROR: u32 = 6;
/// `REFUSED_STREAM`
pub const REFUSED_STREAM: u32 = 7;
/// `CANCEL`
pub const CANCEL: u32 = 8;
/// `COMPRESSION_ERROR`
pub const COMPRESSION_ERROR: u32 = 9;
/// `ENHANCE_YOUR_CALM`
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// `SETTINGS_HEADER_TABLE_SIZE`
pub const HEADER_TABLE_SIZE: u16 = 1;
/// `SETTINGS_ENABLE_PUSH`
pub const ENABLE_PUSH: u16 = 2;
/// `SETTINGS_MAX_CONCURRENT_STREAMS`
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// `SETTINGS_INITIAL_WINDOW_SIZE`
pub const INITIAL_WINDOW_SIZE: u16 = 4;
/// `SETTINGS_MAX_FRAME_SIZE`
pub const MAX_FRAME_SIZE: u16 = 5;
/// `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441)
pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What every client begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An error code by its name.
pub fn code_name(code: u32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| CODES.get(code));
    known.map_or_else(|| format!("error {code}"), |name| (*name).to_owned())
}

/// A frame that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What follows its header.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number of four bytes that begins at `at`.
    pub fn number(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// Any frame at all.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a frame is short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A DATA frame.
pub fn data(stream: u32, flags: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

/// A HEADERS frame with a whole field block; `END_HEADERS` need not be said.
pub fn headers(stream: u32, flags: u8, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, block)
}

/// A PRIORITY frame's payload, of a stream that depends on another.
pub fn dependency(on: u32) -> [u8; 5] {
    let [a, b, c, d] = on.to_be_bytes();
    [a, b, c, d, 15]
}

/// A RST_STREAM frame.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

/// A SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, payload)
}

/// A WINDOW_UPDATE frame.
pub fn window_update(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
}

/// A PING frame.
pub fn ping(flags: u8, payload: [u8; 8]) -> Vec<u8> {
    frame(PING, flags, 0, payload)
}

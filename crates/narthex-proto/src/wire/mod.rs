//! The framed protocol between the host and its apps, as state machines without sockets or a clock.
//!
//! One ordered byte stream joins one host worker and one app worker and carries many requests at once.
//! [`HostEnd`] and [`AppEnd`] turn its bytes into events and calls into bytes; [`ControlConnection`] carries
//! the JSON messages by which apps greet the host, register URLs and ask for its state.
//!
//! # Frames
//!
//! Integers are little endian. Every frame starts with an 8-byte header:
//!
//! | bytes | field |
//! |---|---|
//! | 0..3 | payload length, at most [`MAX_PAYLOAD`] |
//! | 3 | kind in bits 0..5, bits 5 and 6 zero, bit 7 END |
//! | 4..8 | stream; 0 is the session itself, else slot in bits 0..20 (from 1) and generation in bits 20..32 |
//!
//! | kind | value | from | on | payload |
//! |---|---|---|---|---|
//! | HELLO | 1 | both | session | `"NTHX"`, version u16, JSON [`Message::Hello`] or [`Message::Welcome`] |
//! | CONTROL | 2 | both | session | JSON [`Message`], or a part of it; END marks the last part |
//! | REQUEST | 3 | host | stream | layout below; END when the request has no body |
//! | RESPONSE | 4 | app | stream | layout below; END when nothing follows |
//! | INFORM | 5 | app | stream | status u16 (1xx except 100 and 101), header lines |
//! | DATA | 6 | both | stream | body or tunnel bytes; END after the last |
//! | TRAILERS | 7 | both | stream | header lines; always the end |
//! | WINDOW | 8 | both | stream | increment u32, not 0 |
//! | CREDIT | 9 | app | session | increment u32, not 0 |
//! | CANCEL | 10 | both | stream | [`CancelCode`] u32 |
//! | PING, PONG | 11, 12 | both | session | u64, returned unchanged |
//! | DRAIN | 13 | both | session | empty; no request is opened on this session any more |
//! | DELEGATE | 14 | app | stream | length of a queue's name u16, the name, a URL or nothing (UTF-8): that queue shall answer |
//! | CLIENT_CLOSED | 15 | host | stream | empty; the client sends no more (FIN), and may or may not read the response |
//! | FRAGMENT | 16 | app | stream | offset u64, length u64 ([`u64::MAX`]: to the end), URL (UTF-8): that part of a stored fragment |
//! | FRAGMENT_MISSING | 17 | host | stream | empty; nothing was sent for the FRAGMENT |
//! | FRAGMENT_SENT | 18 | host | stream | length u64; the client has all of the FRAGMENT |
//! | FILE | 20 | app | stream | offset u64, length u64, device u64, inode u64: that part of a file is the rest of the response |
//! | FILE_TAKEN | 21 | host | stream | empty; the host sends the FILE, and the stream is over |
//! | BYTES | 19 | app | session | what belongs to the next CONTROL message and is no JSON ([`Message::StoreFragment`]) |
//!
//! | REQUEST bytes | field |
//! |---|---|
//! | 0 | layout version, 1 |
//! | 1 | flags: 1 upgrade wanted, 2 expects 100-continue, 4 TLS |
//! | 2 | HTTP version: 10, 11, 20, 30 |
//! | 3 | body: 0 none, 1 exact, 2 unknown length |
//! | 4..8 | registration |
//! | 8..16 | body length if exact, else 0 |
//! | 16..18, 18..20, 20..24 | lengths of path base, relative target, head |
//! | 24 | address families: 1 the peer's is IPv6, 2 the local one is IPv6 |
//! | 25..27 | length of the client's certificate |
//! | 27 | zero |
//! | 28.. | peer address, local address (IP, port u16, and for IPv6 scope u32), path base, relative target, certificate, head |
//!
//! | RESPONSE bytes | field |
//! |---|---|
//! | 0..2 | status |
//! | 2 | flags: 1 upgrade accepted, 2 close the client's connection, 4 the cache policy follows the fixed part |
//! | 3 | body: as in REQUEST |
//! | 4..8 | length of the header block |
//! | 8..16 | body length if exact, else 0 |
//! | 16..20 | only with flag 4: cache policy u32, the seconds for which the host may keep the response; 0 until it is flushed |
//! | then | header block (`name: value\r\n` lines, nothing else), then the first body bytes |
//!
//! So a request without a body is one frame, and so is a small response.
//!
//! # Fragments
//!
//! After RESPONSE, a FRAGMENT may stand where DATA may: the host puts the bytes that it keeps under that name there. They may
//! be gone at any time, so the app waits for the answer, and sends nothing on the stream but WINDOW and CANCEL meanwhile:
//!
//! * FRAGMENT_MISSING: the host does not have it, or not the whole part. The client got nothing; the app sends the bytes
//!   itself, or something else. That is known at once.
//! * FRAGMENT_SENT: the client has taken the bytes. They do not count against the window, since they were not sent here; that
//!   this answer waits for the client is what bounds them: a stream has one part of one fragment on its way, and no DATA
//!   behind it.
//!
//! A FRAGMENT never has END: the response ends with DATA or TRAILERS as ever. CANCEL needs no answer to the FRAGMENT before it,
//! and a host that has cancelled gives none.
//!
//! # Files
//!
//! After RESPONSE, a FILE may stand where the rest of the body would. Its descriptor is passed beside the bytes, with FILE's last byte or
//! an earlier one; device and inode say which of those that were passed it is, so that one that gets lost on the way is missed, and
//! not mistaken for another. The app waits for the answer as after a FRAGMENT:
//!
//! * FILE_TAKEN: the host sends the part, from what the descriptor refers to. The stream is over for both, so that the app need not
//!   live for as long as the client takes.
//! * FRAGMENT_MISSING: it does not (it has no such descriptor, or too many; the file is not one that it would read; its cache wants
//!   the bytes). The client got nothing of the body yet, and the app sends it.
//!
//! # How a stream ends, and why a late frame is never taken for a new stream's
//!
//! The host names streams. Of each stream **the app sends exactly one last frame, with END, CANCEL or DELEGATE**, and only
//! when that has arrived does the host give the slot to another request:
//!
//! * The app's END is the end of both directions: what is left of the request body is not wanted. The host stops
//!   sending and discards the rest of the client's body itself; DATA on its way to the app is ignored there.
//! * The host's CANCEL is answered by the app's CANCEL, unless the app's last frame is already on its way.
//!   The host keeps the slot until one of the two is there, and reports nothing more of that stream.
//! * A FILE that the host takes is the app's last frame; a CANCEL behind it finds no stream any more. FILE_TAKEN is on its way before
//!   the next REQUEST in that slot.
//! * The app's CANCEL is final at once, and so is its DELEGATE, which may only come before the response.
//! * A tunnel (upgrade accepted) ends when both sides have sent END, or with either side's CANCEL. Here the app
//!   may still send WINDOW or CANCEL after its END. The generation tells them from the next stream's; one step of
//!   it is enough, because the app reads the end of the tunnel before the next REQUEST in that slot.
//!
//! # Bounds
//!
//! Fragments apart, a stream's sender never has more than its window ([`INITIAL_WINDOW`] plus what WINDOW frames returned) on its
//! way, and the host never has more requests at the app than CREDIT frames allow. Exceeding either is a
//! [`ProtocolError`]. The answers a machine gives by itself (PONG, CANCEL) go to its output: a caller whose peer
//! does not read should stop calling `receive` until the output has been written.

mod app;
mod control;
mod error;
mod frame;
mod host;
mod keep_alive;
mod message;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;

pub use app::{AppEnd, AppEvent};
pub use control::ControlConnection;
pub use error::{Blame, MessageTooLarge, OpenError, ProtocolError, StreamError};
pub use frame::{FilePart, HEADER_LEN, Kind, MAX_PAYLOAD, Received};
pub use host::{HostEnd, HostEvent};
pub use keep_alive::{Beat, DEAD_AFTER, PING_AFTER, PingTimer};
pub use message::{
    Activity, GroupSettings, Hello, LogFormat, LoggedResponses, Logging, Message, Owner, Principal, Properties, QueueSettings,
    RefusalCode, RegisteredUrl, Role, Rollover, Timeouts, Verbosity, Welcome,
};
pub use request::{BodyLength, HttpVersion, MAX_HEAD, Request};
pub use response::{CachePolicy, HeaderBlock, Response, ResponseHead};
pub use stream::{CancelCode, INITIAL_WINDOW, StreamId};

/// The protocol version this library speaks, sent in HELLO. Both ends must speak the same one.
pub const PROTOCOL_VERSION: u16 = 3;

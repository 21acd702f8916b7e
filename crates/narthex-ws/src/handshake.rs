//! The opening handshake, RFC 6455 section 4: what a request and a response must have to make a connection a WebSocket.
//!
//! * Servers: [`Opening::of`] judges a request; [`Opening::response`] accepts it, and [`Refusal::response`] does not.
//! * Clients: [`Proposal`] has a request's fields, and judges the response.
//!
//! Who may connect (`Origin`, RFC 6455 section 10.2) is the application's to say, between the two steps of a server.

mod fields;
mod opening;
mod proposal;

pub use opening::{Opening, Refusal};
pub use proposal::{Agreed, Proposal, Rejection};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use sha1::{Digest, Sha1};

/// The only version that there is, RFC 6455 section 4.1.
const VERSION: &str = "13";

/// The proof that a server has understood a WebSocket handshake, RFC 6455 section 4.2.2 step 5.4.
fn accept(key: &[u8]) -> HeaderValue {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(BASE64_STANDARD.encode(hash)).expect("base64 may stand in a header field")
}

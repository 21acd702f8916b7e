//! The REQUEST payload: what the host knows about a request, and its raw head.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::error::{OpenError, ProtocolError};
use super::frame::{self, HEADER_LEN, Kind, malformed};
use super::stream::StreamId;

/// The longest request head, response header block or trailer block.
pub const MAX_HEAD: usize = 64 * 1024;

const LAYOUT: u8 = 1;
const FIXED: usize = 28;

const UPGRADE: u8 = 1;
const EXPECT_CONTINUE: u8 = 2;
const TLS: u8 = 4;

const PEER_V6: u8 = 1;
const LOCAL_V6: u8 = 2;

/// What is known about the length of a body before its bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// The body has this many bytes. The protocol does not check the sum; the HTTP engine does.
    Exact(u64),
    /// The end will show it.
    Unknown,
}

impl BodyLength {
    pub(super) fn to_wire(self) -> (u8, u64) {
        match self {
            Self::None => (0, 0),
            Self::Exact(length) => (1, length),
            Self::Unknown => (2, 0),
        }
    }

    pub(super) fn from_wire(kind: u8, length: u64) -> Option<Self> {
        match (kind, length) {
            (0, 0) => Some(Self::None),
            (1, length) => Some(Self::Exact(length)),
            (2, 0) => Some(Self::Unknown),
            _ => None,
        }
    }
}

/// The HTTP version the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum HttpVersion {
    Http10 = 10,
    Http11 = 11,
    Http2 = 20,
    Http3 = 30,
}

/// A request as the host passes it to the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The registration that the request was routed to.
    pub registration: u32,
    /// The client's HTTP version.
    pub version: HttpVersion,
    /// The client's connection is encrypted.
    pub tls: bool,
    /// The request asks for an upgrade (or is a CONNECT); the app may answer with a tunnel. Only without a body.
    pub upgrade: bool,
    /// The client waits for 100 Continue before it sends its body. Means nothing without a body.
    pub expect_continue: bool,
    /// What is known about the body.
    pub length: BodyLength,
    /// The client's address. An IPv6 flow label is not carried.
    pub peer: SocketAddr,
    /// The address the client connected to. An IPv6 flow label is not carried.
    pub local: SocketAddr,
    /// The part of the path that the prefix matched. Empty: nothing was split off.
    pub path_base: &'a [u8],
    /// The request target relative to the prefix. Empty: the same as in the head.
    pub target: &'a [u8],
    /// The certificate that the client has proved to own, DER. Empty: none. At most 65 535 bytes.
    pub certificate: &'a [u8],
    /// The validated HTTP/1.1 head as the client sent it, at most [`MAX_HEAD`].
    pub head: &'a [u8],
}

impl<'a> Request<'a> {
    /// The request expects 100-continue, and there is a body to wait for.
    pub(super) fn withholds_body(&self) -> bool {
        self.expect_continue && self.length != BodyLength::None
    }

    /// Appends the REQUEST frame for stream `id`.
    pub(super) fn encode(&self, id: StreamId, out: &mut Vec<u8>) {
        let (body, length) = self.length.to_wire();
        let addresses = address_len(&self.peer) + address_len(&self.local);
        let strings = self.path_base.len() + self.target.len() + self.certificate.len() + self.head.len();
        let payload = FIXED + addresses + strings;
        out.reserve(HEADER_LEN + payload);

        // One copy for everything that is not a string.
        let mut fixed = [0; HEADER_LEN + FIXED + 2 * 22];
        let end = self.length == BodyLength::None;
        fixed[..8].copy_from_slice(&frame::header(Kind::Request, end, id, payload));
        fixed[8] = LAYOUT;
        fixed[9] = flag(self.upgrade, UPGRADE) | flag(self.expect_continue, EXPECT_CONTINUE) | flag(self.tls, TLS);
        fixed[10] = self.version as u8;
        fixed[11] = body;
        fixed[12..16].copy_from_slice(&self.registration.to_le_bytes());
        fixed[16..24].copy_from_slice(&length.to_le_bytes());
        fixed[24..26].copy_from_slice(&(self.path_base.len() as u16).to_le_bytes());
        fixed[26..28].copy_from_slice(&(self.target.len() as u16).to_le_bytes());
        fixed[28..32].copy_from_slice(&(self.head.len() as u32).to_le_bytes());
        fixed[32] = flag(self.peer.is_ipv6(), PEER_V6) | flag(self.local.is_ipv6(), LOCAL_V6);

        fixed[33..35].copy_from_slice(&(self.certificate.len() as u16).to_le_bytes());

        let (_, rest) = fixed.split_at_mut(HEADER_LEN + FIXED);
        put_address(&self.local, put_address(&self.peer, rest));

        out.extend_from_slice(&fixed[..HEADER_LEN + FIXED + addresses]);
        out.extend_from_slice(self.path_base);
        out.extend_from_slice(self.target);
        out.extend_from_slice(self.certificate);
        out.extend_from_slice(self.head);
    }

    /// Whether [`encode`](Self::encode) can say it.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let longest = usize::from(u16::MAX);
        if self.head.len() > MAX_HEAD
            || self.path_base.len() > longest
            || self.target.len() > longest
            || self.certificate.len() > longest
        {
            return Err(OpenError::TooLarge);
        }
        if self.upgrade && self.length != BodyLength::None {
            return Err(OpenError::UpgradeWithBody);
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn decode(payload: &'a [u8], end: bool) -> Result<Self, ProtocolError> {
        let bad = |reason| malformed(Kind::Request, reason);
        let Some((fixed, mut rest)) = payload.split_first_chunk::<FIXED>() else {
            return Err(bad("the fixed part is cut off"));
        };
        let [
            layout,
            flags,
            version,
            body,
            r0,
            r1,
            r2,
            r3,
            n0,
            n1,
            n2,
            n3,
            n4,
            n5,
            n6,
            n7,
            base0,
            base1,
            target0,
            target1,
            head0,
            head1,
            head2,
            head3,
            families,
            certificate0,
            certificate1,
            reserved,
        ] = *fixed;
        if layout != LAYOUT
            || flags & !(UPGRADE | EXPECT_CONTINUE | TLS) != 0
            || families & !(PEER_V6 | LOCAL_V6) != 0
            || reserved != 0
        {
            return Err(bad("the layout is not version 1's"));
        }
        let length = u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
        let length = BodyLength::from_wire(body, length).ok_or_else(|| bad("the body length is wrong"))?;
        let bodiless = length == BodyLength::None;
        if end != bodiless {
            return Err(bad("END and the body length disagree"));
        }
        let upgrade = flags & UPGRADE != 0;
        if upgrade && !bodiless {
            return Err(bad("an upgrade is wanted after a body"));
        }
        let peer = take_address(&mut rest, families & PEER_V6 != 0);
        let local = take_address(&mut rest, families & LOCAL_V6 != 0);
        let (Some(peer), Some(local)) = (peer, local) else {
            return Err(bad("an address is cut off"));
        };
        let base = usize::from(u16::from_le_bytes([base0, base1]));
        let target = usize::from(u16::from_le_bytes([target0, target1]));
        let head = u32::from_le_bytes([head0, head1, head2, head3]) as usize;
        if head > MAX_HEAD {
            return Err(bad("the head is too long"));
        }
        let cut = || bad("the lengths do not add up");
        let Some((path_base, rest)) = rest.split_at_checked(base) else {
            return Err(cut());
        };
        let Some((target, rest)) = rest.split_at_checked(target) else {
            return Err(cut());
        };
        let certificate = usize::from(u16::from_le_bytes([certificate0, certificate1]));
        let Some((certificate, rest)) = rest.split_at_checked(certificate) else {
            return Err(cut());
        };
        if rest.len() != head {
            return Err(cut());
        }
        Ok(Self {
            registration: u32::from_le_bytes([r0, r1, r2, r3]),
            version: match version {
                10 => HttpVersion::Http10,
                11 => HttpVersion::Http11,
                20 => HttpVersion::Http2,
                30 => HttpVersion::Http3,
                _ => return Err(bad("the HTTP version is unknown")),
            },
            tls: flags & TLS != 0,
            upgrade,
            expect_continue: flags & EXPECT_CONTINUE != 0,
            length,
            peer,
            local,
            path_base,
            target,
            certificate,
            head: rest,
        })
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn address_len(address: &SocketAddr) -> usize {
    match address {
        SocketAddr::V4(_) => 6,
        SocketAddr::V6(_) => 22,
    }
}

/// Writes to the front of `to` and returns what is left of it.
#[inline]
fn put_address<'b>(address: &SocketAddr, to: &'b mut [u8]) -> &'b mut [u8] {
    let (place, rest) = to.split_at_mut(address_len(address));
    match address {
        SocketAddr::V4(v4) => {
            place[..4].copy_from_slice(&v4.ip().octets());
            place[4..].copy_from_slice(&v4.port().to_le_bytes());
        }
        SocketAddr::V6(v6) => {
            place[..16].copy_from_slice(&v6.ip().octets());
            place[16..18].copy_from_slice(&v6.port().to_le_bytes());
            place[18..].copy_from_slice(&v6.scope_id().to_le_bytes());
        }
    }
    rest
}

#[inline(always)]
fn take_address(rest: &mut &[u8], v6: bool) -> Option<SocketAddr> {
    if !v6 {
        let (&[a, b, c, d, p, q], tail) = rest.split_first_chunk::<6>()?;
        *rest = tail;
        let port = u16::from_le_bytes([p, q]);
        return Some((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port).into());
    }
    let (ip, tail) = rest.split_first_chunk::<16>()?;
    let (&[p, q, s0, s1, s2, s3], tail) = tail.split_first_chunk::<6>()?;
    *rest = tail;
    let port = u16::from_le_bytes([p, q]);
    let scope = u32::from_le_bytes([s0, s1, s2, s3]);
    Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, 0, scope).into())
}

//! Requests and bodies from HTTP.sys.
//!
//! A request comes as a structure at the beginning of a buffer, with pointers into the same buffer. Every pointer is checked to point
//! there before it is followed, and nothing is taken to be aligned: Wine's pointers are not.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;

use bytes::Bytes;
use windows_sys::Win32::Foundation::{HANDLE, NO_ERROR};
use windows_sys::Win32::Networking::HttpServer::{
    HTTP_REQUEST_FLAG_HTTP2, HTTP_REQUEST_FLAG_HTTP3, HTTP_REQUEST_FLAG_MORE_ENTITY_BODY_EXISTS, HTTP_REQUEST_V1,
    HTTP_REQUEST_V2, HTTP_SSL_CLIENT_CERT_INFO, HTTP_SSL_INFO, HTTP_UNKNOWN_HEADER, HttpReceiveHttpRequest,
    HttpReceiveRequestEntityBody,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::call::Work;
use crate::Code;
use crate::api::{ConnectionId, Received, RequestId};
use crate::names;
use crate::request::{Facts, Request, Version};

/// Receives a request.
pub(super) struct ReceiveRequest {
    id: u64,
    buffer: Buffer,
}

impl ReceiveRequest {
    pub(super) fn new(id: Option<RequestId>, room: usize) -> Self {
        Self { id: id.map_or(0, |id| id.0), buffer: Buffer::new(room) }
    }
}

impl Work for ReceiveRequest {
    type Output = Received;

    fn begin(&mut self) -> impl FnOnce(HANDLE, *mut u32, *mut OVERLAPPED) -> u32 + use<> {
        let (id, buffer) = (self.id, self.buffer.0.as_mut_ptr().cast());
        let room = u32::try_from(size_of_val(&*self.buffer.0)).unwrap_or(u32::MAX);
        move |queue, bytes, overlapped| {
            // SAFETY: the buffer has this room and is aligned for the structure; it belongs to the call, and so do the other places.
            unsafe { HttpReceiveHttpRequest(queue, id, 0, buffer, room, bytes, overlapped) }
        }
    }

    fn finish(self, code: Code, bytes: usize) -> Result<Received, Code> {
        match code {
            Code(NO_ERROR) => match self.buffer.request() {
                Some(request) => Ok(Received::Request(request)),
                None => Ok(Received::Unreadable { id: self.buffer.id()? }),
            },
            Code::MORE_DATA => Ok(Received::TooLong { id: self.buffer.id()?, needed: bytes }),
            code => Err(code),
        }
    }
}

/// Receives a piece of a body.
pub(super) struct ReceiveBody {
    id: u64,
    buffer: Vec<u8>,
}

impl ReceiveBody {
    pub(super) fn new(id: RequestId, room: usize) -> Self {
        Self { id: id.0, buffer: vec![0; room] }
    }
}

impl Work for ReceiveBody {
    type Output = Option<Bytes>;

    fn begin(&mut self) -> impl FnOnce(HANDLE, *mut u32, *mut OVERLAPPED) -> u32 + use<> {
        let (id, buffer) = (self.id, self.buffer.as_mut_ptr().cast());
        let room = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        move |queue, bytes, overlapped| {
            // SAFETY: the buffer has this room and belongs to the call, and so do the other places.
            unsafe { HttpReceiveRequestEntityBody(queue, id, 0, buffer, room, bytes, overlapped) }
        }
    }

    fn finish(mut self, code: Code, bytes: usize) -> Result<Option<Bytes>, Code> {
        match code {
            Code(NO_ERROR) => {
                self.buffer.truncate(bytes);
                Ok(Some(Bytes::from(self.buffer)))
            }
            Code::HANDLE_EOF => Ok(None),
            code => Err(code),
        }
    }
}

/// Room for a request, aligned as the structure needs it.
struct Buffer(Vec<u64>);

impl Buffer {
    fn new(room: usize) -> Self {
        Self(vec![0; room.max(size_of::<HTTP_REQUEST_V2>()).div_ceil(size_of::<u64>())])
    }

    /// What is at `pointer`, if all of it is in the buffer.
    fn bytes<T>(&self, pointer: *const T, length: usize) -> Option<&[u8]> {
        let whole = self.0.as_ptr().cast::<u8>();
        let start = pointer.addr().checked_sub(whole.addr())?;
        if start.checked_add(length)? > size_of_val(&*self.0) {
            return None;
        }
        // SAFETY: the range is in the buffer, which is initialized, and which nobody writes to any more.
        Some(unsafe { std::slice::from_raw_parts(whole.add(start), length) })
    }

    /// The structure at `pointer`, if all of it is in the buffer.
    fn read<T: Plain>(&self, pointer: *const T) -> Option<T> {
        let bytes = self.bytes(pointer, size_of::<T>())?;
        // SAFETY: there are as many bytes as it has, and HTTP.sys has put such a structure there; it need not be aligned.
        Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
    }

    /// The structure at the beginning.
    fn first<T: Plain>(&self) -> Option<T> {
        self.read(self.0.as_ptr().cast())
    }

    fn id(&self) -> Result<RequestId, Code> {
        let head: HTTP_REQUEST_V1 = self.first().ok_or(Code::INVALID_PARAMETER)?;
        Ok(RequestId(head.RequestId))
    }

    fn request(&self) -> Option<Request> {
        let HTTP_REQUEST_V2 { Base: raw, .. } = self.first()?;
        let method = match names::method(raw.Verb) {
            Some(method) => method.as_bytes(),
            None => self.bytes(raw.pUnknownVerb, raw.UnknownVerbLength.into())?,
        };
        let facts = Facts {
            id: RequestId(raw.RequestId),
            connection: ConnectionId(raw.ConnectionId),
            context: raw.UrlContext,
            version: version(&raw),
            peer: self.address(raw.Address.pRemoteAddress)?,
            local: self.address(raw.Address.pLocalAddress)?,
            secure: !raw.pSslInfo.is_null(),
            certificate: self.certificate(raw.pSslInfo),
            has_body: raw.Flags & HTTP_REQUEST_FLAG_MORE_ENTITY_BODY_EXISTS != 0,
        };
        let mut request = Request::new(facts, method, self.bytes(raw.pRawUrl, raw.RawUrlLength.into())?);
        for (number, field) in raw.Headers.KnownHeaders.iter().enumerate() {
            if let Some(name) = names::request_field(number)
                && !field.pRawValue.is_null()
            {
                request.push(name.as_bytes(), self.bytes(field.pRawValue, field.RawValueLength.into())?);
            }
        }
        for number in 0..usize::from(raw.Headers.UnknownHeaderCount) {
            let field = self.read(raw.Headers.pUnknownHeaders.cast_const().wrapping_add(number))?;
            let name = self.bytes(field.pName, field.NameLength.into())?;
            request.push(name, self.bytes(field.pRawValue, field.RawValueLength.into())?);
        }
        Some(request)
    }

    /// What the client has shown in the handshake.
    fn certificate(&self, ssl: *const HTTP_SSL_INFO) -> Option<Bytes> {
        let shown = self.read(self.read(ssl)?.pClientCertInfo.cast_const())?;
        let length = usize::try_from(shown.CertEncodedSize).ok()?;
        self.bytes(shown.pCertEncoded, length).filter(|der| !der.is_empty()).map(Bytes::copy_from_slice)
    }

    /// A `SOCKADDR`.
    fn address<T>(&self, address: *const T) -> Option<SocketAddr> {
        let family: [u8; 2] = self.bytes(address, 2)?.try_into().ok()?;
        match u16::from_ne_bytes(family) {
            AF_INET => {
                let bytes: [u8; 8] = self.bytes(address, 8)?.try_into().ok()?;
                let [_, _, high, low, a, b, c, d] = bytes;
                Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
            }
            AF_INET6 => {
                let bytes: [u8; 28] = self.bytes(address, 28)?.try_into().ok()?;
                let port = u16::from_be_bytes([bytes[2], bytes[3]]);
                let host: [u8; 16] = bytes[8..24].try_into().ok()?;
                let scope = u32::from_ne_bytes(bytes[24..].try_into().ok()?);
                Some(SocketAddrV6::new(Ipv6Addr::from(host), port, 0, scope).into())
            }
            _ => None,
        }
    }
}

fn version(raw: &HTTP_REQUEST_V1) -> Version {
    if raw.Flags & HTTP_REQUEST_FLAG_HTTP3 != 0 {
        return Version::Http3;
    }
    if raw.Flags & HTTP_REQUEST_FLAG_HTTP2 != 0 {
        return Version::Http2;
    }
    match (raw.Version.MajorVersion, raw.Version.MinorVersion) {
        (0, _) | (1, 0) => Version::Http10,
        _ => Version::Http11,
    }
}

/// Structures of HTTP.sys that may have any bits.
///
/// # Safety
/// Numbers and raw pointers only, apart from what HTTP.sys itself writes.
unsafe trait Plain: Copy {}

// SAFETY: numbers and raw pointers.
unsafe impl Plain for HTTP_REQUEST_V1 {}
// SAFETY: numbers and raw pointers.
unsafe impl Plain for HTTP_REQUEST_V2 {}
// SAFETY: numbers and raw pointers.
unsafe impl Plain for HTTP_UNKNOWN_HEADER {}
// SAFETY: numbers and raw pointers.
unsafe impl Plain for HTTP_SSL_INFO {}
// SAFETY: numbers and raw pointers, and one `bool`, which HTTP.sys writes.
unsafe impl Plain for HTTP_SSL_CLIENT_CERT_INFO {}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// A request for `/x`, with text at the end of the buffer as HTTP.sys has it, and change to the structure.
    fn request(change: impl FnOnce(&mut HTTP_REQUEST_V2, *const u8)) -> Option<Request> {
        let mut buffer = Buffer::new(2048);
        let whole: *mut u8 = buffer.0.as_mut_ptr().cast();
        let text = 1500 + 1;
        let address = [2, 0, 0x1f, 0x90, 127, 0, 0, 1];
        // SAFETY: both ranges are in the buffer.
        unsafe {
            ptr::copy_nonoverlapping(c"/xMETHodX-Namevalue".as_ptr().cast(), whole.add(text), 19);
            ptr::copy_nonoverlapping(address.as_ptr(), whole.add(text + 100), 8);
        }
        let text = whole.wrapping_add(text).cast_const();
        let mut raw = HTTP_REQUEST_V2::default();
        raw.Base.RequestId = 9;
        raw.Base.Verb = 4;
        (raw.Base.pRawUrl, raw.Base.RawUrlLength) = (text, 2);
        raw.Base.Address.pRemoteAddress = text.wrapping_add(100).cast_mut().cast();
        raw.Base.Address.pLocalAddress = raw.Base.Address.pRemoteAddress;
        change(&mut raw, text);
        // SAFETY: the buffer has room for the structure.
        unsafe { ptr::write_unaligned(whole.cast(), raw) };
        buffer.request()
    }

    #[test]
    fn a_request_is_read_from_pointers_that_are_not_aligned() {
        let plain = request(|_, _| {}).unwrap();
        assert_eq!((plain.method(), plain.target(), plain.facts.id), (&b"GET"[..], &b"/x"[..], RequestId(9)));
        assert_eq!((plain.facts.peer, plain.facts.secure), (SocketAddr::from(([127, 0, 0, 1], 8080)), false));
        let known = request(|raw, text| {
            (raw.Base.Verb, raw.Base.pUnknownVerb, raw.Base.UnknownVerbLength) = (1, text.wrapping_add(2), 6);
            raw.Base.Headers.KnownHeaders[28].pRawValue = text.wrapping_add(14);
            raw.Base.Headers.KnownHeaders[28].RawValueLength = 5;
        });
        let known = known.unwrap();
        assert_eq!((known.method(), known.fields().only("host")), (&b"METHod"[..], Some(&b"value"[..])));
    }

    #[test]
    fn a_pointer_that_leaves_the_buffer_is_not_followed() {
        assert!(request(|raw, text| raw.Base.pRawUrl = text.wrapping_add(2048)).is_none());
        assert!(request(|raw, text| raw.Base.pRawUrl = text.wrapping_sub(2048)).is_none());
        assert!(request(|raw, _| raw.Base.RawUrlLength = u16::MAX).is_none());
        assert!(request(|raw, _| raw.Base.pRawUrl = ptr::null()).is_none());
        assert!(request(|raw, _| raw.Base.Address.pRemoteAddress = ptr::null_mut()).is_none());
        assert!(request(|raw, _| raw.Base.Headers.UnknownHeaderCount = 1).is_none());
        assert!(
            request(|raw, text| {
                raw.Base.Headers.UnknownHeaderCount = u16::MAX;
                raw.Base.Headers.pUnknownHeaders = text.cast_mut().cast();
            })
            .is_none()
        );
    }

    #[test]
    fn the_number_of_a_request_is_where_the_documentation_has_it() {
        assert_eq!((offset_of!(HTTP_REQUEST_V1, ConnectionId), offset_of!(HTTP_REQUEST_V1, RequestId)), (8, 16));
    }
}

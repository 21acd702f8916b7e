//! Responses to HTTP.sys. The structures point into what is sent, which stays where it is until the call has completed.

use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, NO_ERROR};
use windows_sys::Win32::Networking::HttpServer::{
    HTTP_BYTE_RANGE, HTTP_CACHE_POLICY, HTTP_DATA_CHUNK, HTTP_DATA_CHUNK_0, HTTP_DATA_CHUNK_0_0, HTTP_DATA_CHUNK_0_1,
    HTTP_DATA_CHUNK_0_4, HTTP_RESPONSE_V2, HTTP_SEND_RESPONSE_FLAG_DISCONNECT, HTTP_SEND_RESPONSE_FLAG_MORE_DATA,
    HTTP_SEND_RESPONSE_FLAG_OPAQUE, HTTP_UNKNOWN_HEADER, HTTP_VERSION, HttpCachePolicyTimeToLive, HttpCachePolicyUserInvalidates,
    HttpDataChunkFromFileHandle, HttpDataChunkFromMemory, HttpDataChunkTrailers, HttpSendHttpResponse,
    HttpSendResponseEntityBody,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::call::Work;
use crate::Code;
use crate::api::RequestId;
use crate::fields::Fields;
use crate::names;
use crate::response::{CachePolicy, Chunk, Head, Sending};

/// Sends a response, or a part of one.
pub(super) struct Send {
    id: u64,
    flags: u32,
    chunks: Vec<HTTP_DATA_CHUNK>,
    /// What the chunks of trailers point to.
    trailers: Vec<Vec<HTTP_UNKNOWN_HEADER>>,
    unknown: Vec<HTTP_UNKNOWN_HEADER>,
    head: Option<Box<HTTP_RESPONSE_V2>>,
    cache: Option<Box<HTTP_CACHE_POLICY>>,
    /// What all of that points to.
    sending: Box<Sending>,
}

// SAFETY: the pointers point to the heap, to what this owns and nobody else changes; handles of files may be used by every thread.
unsafe impl std::marker::Send for Send {}

impl Send {
    /// `None` if a field is longer than HTTP.sys takes.
    pub(super) fn new(id: RequestId, sending: Sending) -> Option<Self> {
        let sending = Box::new(sending);
        let mut send = Self {
            id: id.0,
            flags: flags(&sending),
            chunks: Vec::new(),
            trailers: Vec::new(),
            unknown: Vec::new(),
            head: None,
            cache: sending.cache.map(|policy| Box::new(cache_policy(policy))),
            sending,
        };
        for chunk in &send.sending.chunks {
            describe(chunk, &mut send.chunks, &mut send.trailers)?;
        }
        if let Some(head) = &send.sending.head {
            let mut raw = response(head, &mut send.unknown)?;
            raw.Base.EntityChunkCount = u16::try_from(send.chunks.len()).ok()?;
            raw.Base.pEntityChunks = if send.chunks.is_empty() { ptr::null_mut() } else { send.chunks.as_mut_ptr() };
            send.head = Some(raw);
        }
        Some(send)
    }
}

impl Work for Send {
    type Output = ();

    fn begin(&mut self) -> impl FnOnce(HANDLE, *mut u32, *mut OVERLAPPED) -> u32 + use<> {
        let (id, flags) = (self.id, self.flags);
        let head = self.head.as_deref().map(ptr::from_ref);
        let cache = self.cache.as_deref().map_or(ptr::null(), ptr::from_ref);
        let count = u16::try_from(self.chunks.len()).unwrap_or(u16::MAX);
        let chunks = if self.chunks.is_empty() { ptr::null() } else { self.chunks.as_ptr() };
        move |queue, bytes, overlapped| match head {
            // SAFETY: head, chunks, policy and what they point to belong to the call, and so do the other places.
            Some(head) => unsafe {
                HttpSendHttpResponse(queue, id, flags, head, cache, bytes, ptr::null(), 0, overlapped, ptr::null())
            },
            // SAFETY: the chunks and what they point to belong to the call, and so do the other places.
            None => unsafe {
                HttpSendResponseEntityBody(queue, id, flags, count, chunks, bytes, ptr::null(), 0, overlapped, ptr::null())
            },
        }
    }

    fn finish(self, code: Code, _: usize) -> Result<(), Code> {
        if code == Code(NO_ERROR) { Ok(()) } else { Err(code) }
    }
}

fn flags(sending: &Sending) -> u32 {
    let set = |is_set, flag| if is_set { flag } else { 0 };
    // Both together are not defined.
    set(sending.more, HTTP_SEND_RESPONSE_FLAG_MORE_DATA)
        | set(sending.disconnect && !sending.more, HTTP_SEND_RESPONSE_FLAG_DISCONNECT)
        | set(sending.opaque, HTTP_SEND_RESPONSE_FLAG_OPAQUE)
}

fn cache_policy(policy: CachePolicy) -> HTTP_CACHE_POLICY {
    match policy {
        CachePolicy::UntilFlushed => HTTP_CACHE_POLICY { Policy: HttpCachePolicyUserInvalidates, SecondsToLive: 0 },
        CachePolicy::TimeToLive(seconds) => HTTP_CACHE_POLICY { Policy: HttpCachePolicyTimeToLive, SecondsToLive: seconds.get() },
    }
}

/// A head. Of a field that comes more than once only the first has the place that HTTP.sys has for it.
fn response(head: &Head, unknown: &mut Vec<HTTP_UNKNOWN_HEADER>) -> Option<Box<HTTP_RESPONSE_V2>> {
    let mut raw = Box::<HTTP_RESPONSE_V2>::default();
    raw.Base.Version = HTTP_VERSION { MajorVersion: 1, MinorVersion: 1 };
    raw.Base.StatusCode = head.status;
    raw.Base.ReasonLength = u16::try_from(head.reason.len()).ok()?;
    raw.Base.pReason = head.reason.as_ptr();
    for (name, value) in head.fields.iter() {
        let place = names::response_field(name).and_then(|number| raw.Base.Headers.KnownHeaders.get_mut(number));
        match place.filter(|place| place.pRawValue.is_null()) {
            Some(place) => {
                place.RawValueLength = length(value)?;
                place.pRawValue = value.as_ptr();
            }
            None => unknown.push(field(name, value)?),
        }
    }
    raw.Base.Headers.UnknownHeaderCount = u16::try_from(unknown.len()).ok()?;
    raw.Base.Headers.pUnknownHeaders = unknown.as_mut_ptr();
    Some(raw)
}

fn field(name: &[u8], value: &[u8]) -> Option<HTTP_UNKNOWN_HEADER> {
    Some(HTTP_UNKNOWN_HEADER {
        NameLength: length(name)?,
        RawValueLength: length(value)?,
        pName: name.as_ptr(),
        pRawValue: value.as_ptr(),
    })
}

fn length(text: &[u8]) -> Option<u16> {
    u16::try_from(text.len()).ok()
}

fn describe(chunk: &Chunk, chunks: &mut Vec<HTTP_DATA_CHUNK>, trailers: &mut Vec<Vec<HTTP_UNKNOWN_HEADER>>) -> Option<()> {
    match chunk {
        Chunk::Memory(bytes) => chunks.extend(bytes.chunks(1 << 30).map(memory)),
        Chunk::File { file, offset, length } => {
            let range = HTTP_BYTE_RANGE { StartingOffset: *offset, Length: *length };
            let part = HTTP_DATA_CHUNK_0_1 { ByteRange: range, FileHandle: file.as_raw_handle() };
            let part = HTTP_DATA_CHUNK_0 { FromFileHandle: part };
            chunks.push(HTTP_DATA_CHUNK { DataChunkType: HttpDataChunkFromFileHandle, Anonymous: part });
        }
        Chunk::Trailers(fields) => {
            let mut raw = described(fields)?;
            let part = HTTP_DATA_CHUNK_0_4 { TrailerCount: u16::try_from(raw.len()).ok()?, pTrailers: raw.as_mut_ptr() };
            let part = HTTP_DATA_CHUNK_0 { Trailers: part };
            chunks.push(HTTP_DATA_CHUNK { DataChunkType: HttpDataChunkTrailers, Anonymous: part });
            trailers.push(raw);
        }
    }
    Some(())
}

fn memory(bytes: &[u8]) -> HTTP_DATA_CHUNK {
    let part = HTTP_DATA_CHUNK_0_0 { pBuffer: bytes.as_ptr().cast_mut().cast(), BufferLength: bytes.len() as u32 };
    HTTP_DATA_CHUNK { DataChunkType: HttpDataChunkFromMemory, Anonymous: HTTP_DATA_CHUNK_0 { FromMemory: part } }
}

fn described(fields: &Fields) -> Option<Vec<HTTP_UNKNOWN_HEADER>> {
    fields.iter().map(|(name, value)| field(name, value)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn send(fields: &[(&[u8], &[u8])]) -> Option<Send> {
        let head = Head { status: 200, reason: "OK", fields: fields.iter().copied().collect() };
        let chunks = vec![Chunk::Memory(Bytes::from("body"))];
        Send::new(RequestId(1), Sending { head: Some(head), chunks, more: true, ..Sending::default() })
    }

    #[test]
    fn fields_have_their_places_and_the_second_of_a_name_is_beside_them() {
        let sent = send(&[(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-own", b"x")]).unwrap();
        let head = &sent.head.as_ref().unwrap().Base;
        assert_eq!((head.StatusCode, head.EntityChunkCount, head.Headers.UnknownHeaderCount), (200, 1, 2));
        assert_eq!(head.Headers.KnownHeaders[27].RawValueLength, 3);
        assert_eq!(sent.flags, HTTP_SEND_RESPONSE_FLAG_MORE_DATA);
        assert!(sent.unknown.iter().all(|field| field.RawValueLength > 0));
    }

    #[test]
    fn a_field_that_is_longer_than_http_sys_takes_is_not_sent_short() {
        assert!(send(&[(b"x-long", &vec![b'x'; 65_535])]).is_some());
        assert!(send(&[(b"x-long", &vec![b'x'; 65_536])]).is_none());
    }
}

//! Responses to HTTP.sys. The structures point into what is sent, which stays where it is until the call has completed.

use std::os::windows::io::AsRawHandle;
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, NO_ERROR};
use windows_sys::Win32::Networking::HttpServer::{
    HTTP_BYTE_RANGE, HTTP_CACHE_POLICY, HTTP_DATA_CHUNK, HTTP_DATA_CHUNK_0, HTTP_DATA_CHUNK_0_0, HTTP_DATA_CHUNK_0_1,
    HTTP_DATA_CHUNK_0_4, HTTP_SEND_RESPONSE_FLAG_DISCONNECT, HTTP_SEND_RESPONSE_FLAG_MORE_DATA, HTTP_SEND_RESPONSE_FLAG_OPAQUE,
    HTTP_UNKNOWN_HEADER, HttpCachePolicyTimeToLive, HttpCachePolicyUserInvalidates, HttpDataChunkFromFileHandle,
    HttpDataChunkFromMemory, HttpDataChunkTrailers, HttpSendHttpResponse, HttpSendResponseEntityBody,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::call::Work;
use super::head::{RawHead, length};
use crate::Code;
use crate::api::RequestId;
use crate::fields::Fields;
use crate::response::{CachePolicy, Chunk, Sending};

/// Sends a response, or a part of one.
pub(super) struct Send {
    id: u64,
    flags: u32,
    chunks: Vec<HTTP_DATA_CHUNK>,
    /// What the chunks of trailers point to.
    trailers: Vec<Vec<HTTP_UNKNOWN_HEADER>>,
    head: Option<RawHead>,
    cache: Option<Box<HTTP_CACHE_POLICY>>,
    /// What all of that points to.
    sending: Box<Sending>,
}

// SAFETY: the pointers point to the heap, to what this owns and nobody else changes; handles of files may be used by every thread.
unsafe impl std::marker::Send for Send {}

impl Send {
    /// `None` if a field is longer than HTTP.sys takes.
    pub(super) fn new(id: RequestId, sending: Sending, wine: bool) -> Option<Self> {
        let sending = Box::new(sending);
        let mut send = Self {
            id: id.0,
            flags: flags(&sending),
            chunks: Vec::new(),
            trailers: Vec::new(),
            head: None,
            cache: sending.cache.map(|policy| Box::new(cache_policy(policy))),
            sending,
        };
        for chunk in &send.sending.chunks {
            describe(chunk, &mut send.chunks, &mut send.trailers)?;
        }
        if let Some(head) = &send.sending.head {
            let mut raw = RawHead::new(head, send.sending.opaque, wine)?;
            raw.set_chunks(&mut send.chunks)?;
            send.head = Some(raw);
        }
        Some(send)
    }
}

impl Work for Send {
    type Output = ();

    fn begin(&mut self) -> impl FnOnce(HANDLE, *mut u32, *mut OVERLAPPED) -> u32 + use<> {
        let (id, flags) = (self.id, self.flags);
        let head = self.head.as_ref().map(RawHead::as_ptr);
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
    let raw = |name: &[u8], value: &[u8]| {
        let (name_length, value_length) = (length(name)?, length(value)?);
        let (name, value) = (name.as_ptr(), value.as_ptr());
        Some(HTTP_UNKNOWN_HEADER { NameLength: name_length, RawValueLength: value_length, pName: name, pRawValue: value })
    };
    fields.iter().map(|(name, value)| raw(name, value)).collect()
}

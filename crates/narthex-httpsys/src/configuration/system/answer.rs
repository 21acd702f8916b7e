//! What `HttpQueryServiceConfiguration` writes: a structure, and behind it what its pointers point to. Nothing is read by following a
//! pointer: each is taken for a place in the buffer, and one that points elsewhere for nothing.

use std::net::SocketAddr;
use std::ptr;

use windows_sys::Win32::Networking::HttpServer::{HTTP_SERVICE_CONFIG_ID, HttpQueryServiceConfiguration};

use super::super::socket_address::from_bytes;
use crate::Code;
use crate::system::answer;

/// Room for most answers.
const ROOM: usize = 1024;
/// An entry that wants more than this is none.
const MOST: usize = 1 << 20;

/// An answer.
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Where they were when HTTP.sys wrote them: pointers are relative to that.
    at: usize,
}

impl Answer {
    /// The answer to a question. `None`: there is nothing, or no more.
    pub(super) fn to<Q>(id: HTTP_SERVICE_CONFIG_ID, question: Option<&Q>) -> Result<Option<Self>, Code> {
        let (input, input_length) = question.map_or((ptr::null(), 0), |question| (ptr::from_ref(question), size_of::<Q>()));
        let mut room = ROOM;
        loop {
            // Of 8 bytes each, so that the structures are aligned.
            let mut buffer = vec![0_u64; room.div_ceil(8)];
            let mut needed = 0;
            let length = buffer.len() * 8;
            // SAFETY: `question` is what this id is asked with; `buffer` has `length` bytes, and both outlive the call.
            let code = unsafe {
                HttpQueryServiceConfiguration(
                    ptr::null_mut(),
                    id,
                    input.cast(),
                    input_length as u32,
                    buffer.as_mut_ptr().cast(),
                    length as u32,
                    &raw mut needed,
                    ptr::null(),
                )
            };
            match answer(code) {
                Ok(()) => {
                    let bytes = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
                    return Ok(Some(Self { bytes, at: buffer.as_ptr().addr() }));
                }
                Err(Code::FILE_NOT_FOUND | Code::NO_MORE_ITEMS) => return Ok(None),
                Err(Code::INSUFFICIENT_BUFFER | Code::MORE_DATA) if (room + 1..MOST).contains(&(needed as usize)) => {
                    room = needed as usize;
                }
                Err(code) => return Err(code),
            }
        }
    }

    /// The structure at an offset.
    pub(super) fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..)?.get(..size_of::<T>())?;
        // SAFETY: there are as many bytes, and the callers' types are numbers and pointers, for which every value is one.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    /// The bytes that a pointer is to. `None` for null.
    pub(super) fn bytes(&self, pointer: *const u8, length: usize) -> Option<Vec<u8>> {
        Some(self.from(pointer)?.get(..length)?.to_vec())
    }

    /// The text that a pointer is to. `None` for null.
    pub(super) fn text(&self, pointer: *const u16) -> Option<String> {
        let units = self.from(pointer.cast())?.chunks_exact(2).map(|unit| u16::from_ne_bytes([unit[0], unit[1]]));
        let text: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        Some(String::from_utf16_lossy(&text))
    }

    /// The address that a pointer is to.
    pub(super) fn address(&self, pointer: *const u8) -> Option<SocketAddr> {
        from_bytes(self.from(pointer)?)
    }

    /// The address at an offset.
    pub(super) fn address_at(&self, offset: usize) -> Option<SocketAddr> {
        from_bytes(self.bytes.get(offset..)?)
    }

    fn from(&self, pointer: *const u8) -> Option<&[u8]> {
        self.bytes.get(pointer.addr().checked_sub(self.at)?..)
    }
}

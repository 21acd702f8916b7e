//! Users and groups of Windows.

use std::ptr;

use windows_sys::Win32::Foundation::{GetLastError, LocalFree};
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::LookupAccountNameW;

use crate::Code;
use crate::system::wide;

/// `SECURITY_MAX_SID_SIZE`, in words that are as aligned as a SID has to be.
const SID_WORDS: usize = 68 / 4;
/// The longest name of a domain: 255 characters and a zero.
const DOMAIN: usize = 256;

/// The security identifier of a user or group.
pub(super) fn sid(account: &str) -> Result<String, Code> {
    let name = wide(account);
    let mut sid = [0_u32; SID_WORDS];
    let mut domain = [0_u16; DOMAIN];
    let (mut sid_length, mut domain_length, mut kind) = (size_of_val(&sid) as u32, DOMAIN as u32, 0);
    // SAFETY: the name ends with a zero; the buffers have the lengths that are said; null is this machine.
    let found = unsafe {
        LookupAccountNameW(
            ptr::null(),
            name.as_ptr(),
            sid.as_mut_ptr().cast(),
            &raw mut sid_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if found == 0 {
        return Err(last_error());
    }
    let mut text = ptr::null_mut();
    // SAFETY: the call above has written a SID; `text` is a place for the answer.
    if unsafe { ConvertSidToStringSidW(sid.as_mut_ptr().cast(), &raw mut text) } == 0 {
        return Err(last_error());
    }
    let mut units = Vec::new();
    // SAFETY: the text ends with a zero, and nothing behind that is read.
    unsafe {
        let mut at = text;
        while *at != 0 {
            units.push(*at);
            at = at.add(1);
        }
        // It was made by `LocalAlloc`, and nobody uses it any more.
        LocalFree(text.cast());
    }
    Ok(String::from_utf16_lossy(&units))
}

fn last_error() -> Code {
    // SAFETY: it says why the last call of this thread failed.
    Code(unsafe { GetLastError() })
}

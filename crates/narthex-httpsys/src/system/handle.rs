//! A request queue's handle, with the thread pool's I/O object through which its calls complete.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Foundation::{GetLastError, HANDLE};
use windows_sys::Win32::Networking::HttpServer::{
    HTTP_CREATE_REQUEST_QUEUE_FLAG_OPEN_EXISTING, HttpCloseRequestQueue, HttpCreateRequestQueue, HttpShutdownRequestQueue,
};
use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};
use windows_sys::Win32::System::Threading::{CloseThreadpoolIo, CreateThreadpoolIo, PTP_CALLBACK_INSTANCE, PTP_IO};
use windows_sys::Win32::System::WindowsProgramming::FILE_SKIP_COMPLETION_PORT_ON_SUCCESS;

use super::call;
use super::{Used, VERSION, answer, log_failure, wide};
use crate::Code;
use crate::api::Open;

/// `FILE_SKIP_SET_EVENT_ON_HANDLE`: nobody waits for the handle itself.
const SKIP_EVENT: u32 = 2;

/// An open queue. Every call that is under way holds it, so it is closed when nobody can use the number of its handle any more.
pub(super) struct Handle {
    raw: HANDLE,
    io: PTP_IO,
    /// Calls that succeed at once have no completion packet.
    pub(super) skips_on_success: bool,
    pub(super) wine: bool,
    closed: AtomicBool,
    /// Goes last.
    _used: Arc<Used>,
}

// SAFETY: HTTP.sys and the thread pool may be called from every thread; the pointer is a handle and nothing is behind it.
unsafe impl Send for Handle {}
// SAFETY: as above; the rest is atomic or does not change.
unsafe impl Sync for Handle {}

impl Handle {
    pub(super) fn open(used: Arc<Used>, name: Option<&str>, open: Open, wine: bool) -> Result<Self, Code> {
        let name = name.map(wide);
        let flags = match open {
            Open::Create => 0,
            Open::Existing => HTTP_CREATE_REQUEST_QUEUE_FLAG_OPEN_EXISTING,
        };
        let mut raw = ptr::null_mut();
        let name = name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        // SAFETY: the name is null or ends with a zero and outlives the call; `raw` is a place for the answer.
        answer(unsafe { HttpCreateRequestQueue(VERSION, name, ptr::null(), flags, &raw mut raw) })?;
        let modes = (FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | SKIP_EVENT) as u8;
        // SAFETY: the handle is open and overlapped, as all request queues are.
        let skips_on_success = unsafe { SetFileCompletionNotificationModes(raw, modes) } != 0;
        // SAFETY: the handle is open, and has no other completion port; the callback is for the calls of `call::start`.
        let io = unsafe { CreateThreadpoolIo(raw, Some(completed), ptr::null_mut(), ptr::null()) };
        if io == 0 {
            // SAFETY: it says why the last call of this thread failed.
            let code = Code(unsafe { GetLastError() });
            // SAFETY: nobody else has seen the handle.
            log_failure("close a request queue", unsafe { HttpCloseRequestQueue(raw) });
            return Err(code);
        }
        Ok(Self { raw, io, skips_on_success, wine, closed: AtomicBool::new(false), _used: used })
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.raw
    }

    pub(super) fn io(&self) -> PTP_IO {
        self.io
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends what is under way. The handle itself is closed when the last call is over.
    pub(super) fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        // Wine's ends the process.
        if !self.wine {
            // SAFETY: the handle is open as long as `self` is there.
            log_failure("shut a request queue down", unsafe { HttpShutdownRequestQueue(self.raw) });
        }
        self.cancel(ptr::null());
    }

    /// Cancels one call; null: all that this process has made.
    pub(super) fn cancel(&self, overlapped: *const OVERLAPPED) {
        // SAFETY: the handle is open; Windows compares the address with those of calls under way and does not follow it. The failure
        // to find one means that it has completed.
        unsafe { CancelIoEx(self.raw, overlapped) };
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: no call is under way, since each holds this; so nobody uses the handle afterwards.
        log_failure("close a request queue", unsafe { HttpCloseRequestQueue(self.raw) });
        // SAFETY: as above. This may run in the last callback: the thread pool frees the object after it.
        unsafe { CloseThreadpoolIo(self.io) };
    }
}

/// Called by the thread pool.
unsafe extern "system" fn completed(
    _: PTP_CALLBACK_INSTANCE,
    _: *mut c_void,
    overlapped: *mut c_void,
    code: u32,
    bytes: usize,
    _: PTP_IO,
) {
    // SAFETY: only `call::start` makes overlapped calls on such handles, and each completes here once.
    unsafe { call::complete(overlapped.cast(), code, bytes) }
}

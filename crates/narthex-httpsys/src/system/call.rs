//! One overlapped call. It owns what HTTP.sys reads and writes, from the moment it is made until it has completed: whoever waits for
//! it may go away at any time.

use std::cell::UnsafeCell;
use std::sync::Arc;

use tokio::sync::oneshot;
use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, HANDLE, NO_ERROR};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Threading::{CancelThreadpoolIo, StartThreadpoolIo};

use super::handle::Handle;
use crate::Code;
use crate::operation::{Cancel, Operation};

/// A kind of call.
pub(super) trait Work: Send + 'static {
    type Output: Send;

    /// What makes the call, with the place for the number of bytes of one that completes at once. What it hands to HTTP.sys has to be
    /// owned by `self`, on the heap. It does not borrow `self`, since the call may complete on another thread before it returns.
    fn begin(&mut self) -> impl FnOnce(HANDLE, *mut u32, *mut OVERLAPPED) -> u32 + use<Self>;

    /// What has come of it. HTTP.sys does not use anything of `self` any more.
    fn finish(self, code: Code, bytes: usize) -> Result<Self::Output, Code>;
}

/// What the kernel's pointer points to. The `OVERLAPPED` has to be first.
#[repr(C)]
struct Head {
    overlapped: UnsafeCell<OVERLAPPED>,
    /// Completes the [`Call`] of which this is the beginning. To be called once.
    complete: unsafe fn(*const Head, Code, usize),
}

#[repr(C)]
struct Call<W: Work> {
    head: Head,
    queue: Arc<Handle>,
    /// Written by calls that complete at once.
    bytes: UnsafeCell<u32>,
    /// Used by whoever completes the call, alone.
    turn: UnsafeCell<Turn<W>>,
}

struct Turn<W: Work> {
    /// Taken when the call completes.
    work: Option<W>,
    done: Option<oneshot::Sender<Result<W::Output, Code>>>,
}

// SAFETY: a `Turn` can be sent, and is used by who completes the call only; what others use is the address of `head` and the handle.
unsafe impl<W: Work> Send for Call<W> {}
// SAFETY: as above.
unsafe impl<W: Work> Sync for Call<W> {}

impl<W: Work> Cancel for Call<W> {
    fn cancel(&self) {
        // The address is not used for another call as long as this one exists.
        self.queue.cancel(self.head.overlapped.get());
    }
}

/// Makes a call.
pub(super) fn start<W: Work>(queue: &Arc<Handle>, mut work: W) -> Operation<W::Output> {
    if queue.is_closed() {
        return Operation::done(Err(Code::OPERATION_ABORTED));
    }
    let (done, result) = oneshot::channel();
    let begin = work.begin();
    let call = Arc::new(Call {
        head: Head { overlapped: UnsafeCell::new(OVERLAPPED::default()), complete: complete_call::<W> },
        queue: Arc::clone(queue),
        bytes: UnsafeCell::new(0),
        turn: UnsafeCell::new(Turn { work: Some(work), done: Some(done) }),
    });
    // The kernel's own reference, which `complete_call` takes back.
    let kernels = Arc::into_raw(Arc::clone(&call));
    // SAFETY: the object belongs to the handle, which is open; a completion, or the cancel below, follows.
    unsafe { StartThreadpoolIo(queue.io()) };
    let code = begin(queue.raw(), call.bytes.get(), kernels.cast_mut().cast());
    if code == ERROR_IO_PENDING || code == NO_ERROR && !queue.skips_on_success {
        // Whoever closed the queue meanwhile may not have found this call.
        if queue.is_closed() {
            call.cancel();
        }
        return Operation::pending(result, Some(call));
    }
    // SAFETY: the call is over and will not complete again: it failed, or it succeeded and such calls have no packet.
    unsafe { CancelThreadpoolIo(queue.io()) };
    // SAFETY: so nobody writes it any more.
    let bytes = unsafe { *call.bytes.get() };
    // SAFETY: `kernels` is the kernel's reference, of a call that is over, and is not used after this.
    unsafe { complete_call::<W>(kernels.cast(), Code(code), bytes as usize) };
    Operation::pending(result, None)
}

/// Completes the call whose `OVERLAPPED` this is.
///
/// # Safety
/// To be called once for each call that [`start`] has made and that is pending.
pub(super) unsafe fn complete(overlapped: *const OVERLAPPED, code: u32, bytes: usize) {
    let head = overlapped.cast::<Head>();
    // SAFETY: the `OVERLAPPED` of a pending call is the first field of its `Head`, which the kernel's reference keeps alive.
    let complete = unsafe { (*head).complete };
    // SAFETY: `head` is the one that it was made for, and this is the only call, as the caller says.
    unsafe { complete(head, Code(code), bytes) }
}

/// # Safety
/// `head` has to be the reference that [`start`] made for the kernel, and is gone afterwards.
unsafe fn complete_call<W: Work>(head: *const Head, code: Code, bytes: usize) {
    // SAFETY: it comes from `Arc::into_raw` of a `Call<W>`, whose first field `head` is.
    let call = unsafe { Arc::from_raw(head.cast::<Call<W>>()) };
    // SAFETY: HTTP.sys is done with the call, so the turn is ours.
    let turn = unsafe { &mut *call.turn.get() };
    if let (Some(work), Some(done)) = (turn.work.take(), turn.done.take()) {
        // Whoever waited may have gone.
        let _ = done.send(work.finish(code, bytes));
    }
}

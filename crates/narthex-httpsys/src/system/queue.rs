//! A request queue of HTTP.sys.

use std::ptr;
use std::sync::Arc;

use bytes::Bytes;
use windows_sys::Win32::Foundation::{HANDLE, NO_ERROR};
use windows_sys::Win32::Networking::HttpServer::{
    HTTP_BINDING_INFO, HTTP_SERVER_PROPERTY, Http503ResponseVerbosityBasic, Http503ResponseVerbosityFull,
    Http503ResponseVerbosityLimited, HttpCancelHttpRequest, HttpEnabledStateActive, HttpEnabledStateInactive,
    HttpServer503VerbosityProperty, HttpServerBindingProperty, HttpServerQueueLengthProperty, HttpServerStateProperty,
    HttpSetRequestQueueProperty, HttpWaitForDisconnect,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::call::{self, Work};
use super::handle::Handle;
use super::receive::{ReceiveBody, ReceiveRequest};
use super::send::Send;
use super::{PRESENT, Used, answer, set};
use crate::Code;
use crate::api::{ConnectionId, GroupId, Open, Queue, Received, RequestId};
use crate::operation::Operation;
use crate::property::{QueueProperty, Verbosity};
use crate::response::Sending;

pub(super) struct RequestQueue(Arc<Handle>);

impl RequestQueue {
    pub(super) fn open(used: Arc<Used>, name: Option<&str>, open: Open, wine: bool) -> Result<Self, Code> {
        Ok(Self(Arc::new(Handle::open(used, name, open, wine)?)))
    }

    fn set_number(&self, property: HTTP_SERVER_PROPERTY, value: u32) -> Result<(), Code> {
        let (place, size) = (ptr::from_ref(&value).cast(), size_of::<u32>() as u32);
        // SAFETY: the properties of queues are numbers of four bytes, and HTTP.sys copies them; the handle is open.
        answer(unsafe { HttpSetRequestQueueProperty(self.0.raw(), property, place, size, 0, ptr::null()) })
    }
}

impl Drop for RequestQueue {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Queue for RequestQueue {
    fn bind(&self, group: GroupId) -> Result<(), Code> {
        set(group, HttpServerBindingProperty, &HTTP_BINDING_INFO { Flags: PRESENT, RequestQueueHandle: self.0.raw() })
    }

    fn set(&self, property: QueueProperty) -> Result<(), Code> {
        match property {
            QueueProperty::Active(active) => {
                let state = if active { HttpEnabledStateActive } else { HttpEnabledStateInactive };
                self.set_number(HttpServerStateProperty, state.cast_unsigned())
            }
            QueueProperty::Length(length) => self.set_number(HttpServerQueueLengthProperty, length),
            QueueProperty::Verbosity(verbosity) => {
                let level = match verbosity {
                    Verbosity::Basic => Http503ResponseVerbosityBasic,
                    Verbosity::Limited => Http503ResponseVerbosityLimited,
                    Verbosity::Full => Http503ResponseVerbosityFull,
                };
                self.set_number(HttpServer503VerbosityProperty, level.cast_unsigned())
            }
        }
    }

    fn receive(&self, id: Option<RequestId>, room: usize) -> Operation<Received> {
        call::start(&self.0, ReceiveRequest::new(id, room))
    }

    fn receive_body(&self, id: RequestId, room: usize) -> Operation<Option<Bytes>> {
        call::start(&self.0, ReceiveBody::new(id, room))
    }

    fn send(&self, id: RequestId, sending: Sending) -> Operation<()> {
        match Send::new(id, sending, self.0.wine) {
            Some(send) => call::start(&self.0, send),
            None => Operation::done(Err(Code::INVALID_PARAMETER)),
        }
    }

    fn disconnected(&self, connection: ConnectionId) -> Operation<()> {
        if self.0.wine {
            return Operation::done(Err(Code::CALL_NOT_IMPLEMENTED));
        }
        call::start(&self.0, Disconnected(connection.0))
    }

    fn cancel(&self, id: RequestId) -> Result<(), Code> {
        if self.0.wine {
            return Err(Code::CALL_NOT_IMPLEMENTED);
        }
        // SAFETY: the handle is open; a number that HTTP.sys does not know is an error and nothing worse; it completes at once.
        answer(unsafe { HttpCancelHttpRequest(self.0.raw(), id.0, ptr::null_mut()) })
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Waits for a client to go.
struct Disconnected(u64);

impl Work for Disconnected {
    type Output = ();

    fn begin(&mut self) -> impl FnOnce(HANDLE, *mut u32, *mut OVERLAPPED) -> u32 + use<> {
        let connection = self.0;
        move |queue, _, overlapped| {
            // SAFETY: the handle is open, and the place belongs to the call.
            unsafe { HttpWaitForDisconnect(queue, connection, overlapped) }
        }
    }

    fn finish(self, code: Code, _: usize) -> Result<(), Code> {
        if code == Code(NO_ERROR) { Ok(()) } else { Err(code) }
    }
}

//! HTTP.sys itself: the calls of `httpapi.dll`. The only `unsafe` code of the project.
//!
//! * `handle`: a queue's handle and the thread pool's I/O object on it.
//! * `call`: one overlapped call, which owns all that HTTP.sys works with until it has completed.
//! * `receive`, `send`, `head`: HTTP.sys's structures from and to plain Rust types.
//!
//! Some functions of Wine's `httpapi.dll` end the process. Where Wine runs, those are not called, and answer
//! [`Code::CALL_NOT_IMPLEMENTED`].

mod call;
mod handle;
mod head;
mod queue;
mod receive;
mod send;

use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::NO_ERROR;
use windows_sys::Win32::Networking::HttpServer::{
    HTTP_BANDWIDTH_LIMIT_INFO, HTTP_CONNECTION_LIMIT_INFO, HTTP_FEATURE_ID, HTTP_INITIALIZE_SERVER, HTTP_PROPERTY_FLAGS,
    HTTP_QOS_SETTING_INFO, HTTP_QOS_SETTING_TYPE, HTTP_SERVER_PROPERTY, HTTP_STATE_INFO, HTTP_TIMEOUT_LIMIT_INFO,
    HTTPAPI_VERSION, HttpAddUrlToUrlGroup, HttpCloseServerSession, HttpCloseUrlGroup, HttpCreateServerSession,
    HttpCreateUrlGroup, HttpEnabledStateActive, HttpEnabledStateInactive, HttpFeatureResponseTrailers, HttpInitialize,
    HttpQosSettingTypeBandwidth, HttpQosSettingTypeConnectionLimit, HttpRemoveUrlFromUrlGroup, HttpServerQosProperty,
    HttpServerStateProperty, HttpServerTimeoutsProperty, HttpSetUrlGroupProperty, HttpTerminate,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::core::{PCSTR, PCWSTR, s, w};

use self::queue::RequestQueue;
use crate::Code;
use crate::api::{Api, Feature, GroupId, Open, Queue, SessionId};
use crate::property::{GroupProperty, Timeouts};

pub(crate) const VERSION: HTTPAPI_VERSION = HTTPAPI_VERSION { HttpApiMajorVersion: 2, HttpApiMinorVersion: 0 };
/// The structure that has it says something.
const PRESENT: HTTP_PROPERTY_FLAGS = HTTP_PROPERTY_FLAGS { _bitfield: 1 };
/// `HTTP_LIMIT_INFINITE`.
const NO_LIMIT: u32 = u32::MAX;

/// HTTP.sys, used by this process.
pub struct HttpSys {
    used: Arc<Used>,
    wine: bool,
    trailers: bool,
}

impl HttpSys {
    /// Begins to use it.
    ///
    /// # Errors
    /// If this Windows has no HTTP.sys, as Nano Server.
    pub fn open() -> Result<Arc<Self>, Code> {
        let used = Arc::new(Used::begin()?);
        let wine = function(w!("ntdll.dll"), s!("wine_get_version")).is_some();
        Ok(Arc::new(Self { used, wine, trailers: !wine && has_feature(HttpFeatureResponseTrailers) }))
    }

    /// Whether it is Wine's.
    #[must_use]
    pub fn is_wine(&self) -> bool {
        self.wine
    }
}

/// HTTP.sys is used. Whatever is open holds it.
struct Used(());

impl Used {
    fn begin() -> Result<Self, Code> {
        // SAFETY: there are no preconditions; the reserved argument is null.
        answer(unsafe { HttpInitialize(VERSION, HTTP_INITIALIZE_SERVER, ptr::null_mut()) })?;
        Ok(Self(()))
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        // SAFETY: `begin` has initialized with the same flags, and no queue is open any more.
        unsafe { HttpTerminate(HTTP_INITIALIZE_SERVER, ptr::null_mut()) };
    }
}

impl Api for HttpSys {
    fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Trailers => self.trailers,
            // Every Windows that Rust runs on has these.
            Feature::OpaqueUpgrade | Feature::DisconnectNotice | Feature::CancelRequest | Feature::FileChunks => !self.wine,
        }
    }

    fn create_session(&self) -> Result<SessionId, Code> {
        let mut id = 0;
        // SAFETY: `id` is a place for the answer.
        answer(unsafe { HttpCreateServerSession(VERSION, &raw mut id, 0) })?;
        Ok(SessionId(id))
    }

    fn close_session(&self, session: SessionId) {
        // SAFETY: a number that HTTP.sys does not know is an error and nothing worse.
        log_failure("close a server session", unsafe { HttpCloseServerSession(session.0) });
    }

    fn create_group(&self, session: SessionId) -> Result<GroupId, Code> {
        let mut id = 0;
        // SAFETY: `id` is a place for the answer.
        answer(unsafe { HttpCreateUrlGroup(session.0, &raw mut id, 0) })?;
        Ok(GroupId(id))
    }

    fn close_group(&self, group: GroupId) {
        // SAFETY: a number that HTTP.sys does not know is an error and nothing worse.
        log_failure("close a URL group", unsafe { HttpCloseUrlGroup(group.0) });
    }

    fn add_url(&self, group: GroupId, url: &str, context: u64) -> Result<(), Code> {
        let url = wide(url);
        // SAFETY: `url` ends with a zero and outlives the call.
        answer(unsafe { HttpAddUrlToUrlGroup(group.0, url.as_ptr(), context, 0) })
    }

    fn remove_url(&self, group: GroupId, url: &str) -> Result<(), Code> {
        let url = wide(url);
        // SAFETY: `url` ends with a zero and outlives the call.
        answer(unsafe { HttpRemoveUrlFromUrlGroup(group.0, url.as_ptr(), 0) })
    }

    fn set_group(&self, group: GroupId, property: GroupProperty) -> Result<(), Code> {
        match property {
            GroupProperty::Active(active) => set(group, HttpServerStateProperty, &state(active)),
            GroupProperty::Timeouts(timeouts) => set(group, HttpServerTimeoutsProperty, &timers(timeouts)),
            GroupProperty::MaxBandwidth(most) => {
                let mut info = HTTP_BANDWIDTH_LIMIT_INFO { Flags: PRESENT, MaxBandwidth: most.unwrap_or(NO_LIMIT) };
                set(group, HttpServerQosProperty, &quality(HttpQosSettingTypeBandwidth, &mut info))
            }
            GroupProperty::MaxConnections(most) => {
                let mut info = HTTP_CONNECTION_LIMIT_INFO { Flags: PRESENT, MaxConnections: most.unwrap_or(NO_LIMIT) };
                set(group, HttpServerQosProperty, &quality(HttpQosSettingTypeConnectionLimit, &mut info))
            }
        }
    }

    fn open_queue(&self, name: Option<&str>, open: Open) -> Result<Arc<dyn Queue>, Code> {
        Ok(Arc::new(RequestQueue::open(Arc::clone(&self.used), name, open, self.wine)?))
    }
}

fn state(active: bool) -> HTTP_STATE_INFO {
    HTTP_STATE_INFO { Flags: PRESENT, State: if active { HttpEnabledStateActive } else { HttpEnabledStateInactive } }
}

fn timers(timeouts: Timeouts) -> HTTP_TIMEOUT_LIMIT_INFO {
    HTTP_TIMEOUT_LIMIT_INFO {
        Flags: PRESENT,
        EntityBody: timeouts.entity_body,
        DrainEntityBody: timeouts.drain_entity_body,
        RequestQueue: timeouts.request_queue,
        IdleConnection: timeouts.idle_connection,
        HeaderWait: timeouts.header_wait,
        MinSendRate: timeouts.min_send_rate,
    }
}

fn quality<T>(kind: HTTP_QOS_SETTING_TYPE, info: &mut T) -> HTTP_QOS_SETTING_INFO {
    HTTP_QOS_SETTING_INFO { QosType: kind, QosSetting: ptr::from_mut(info).cast() }
}

fn set<T>(group: GroupId, property: HTTP_SERVER_PROPERTY, info: &T) -> Result<(), Code> {
    // SAFETY: `info` is the structure of this property, and what it points to is alive in the caller; HTTP.sys copies it.
    answer(unsafe { HttpSetUrlGroupProperty(group.0, property, ptr::from_ref(info).cast(), size_of::<T>() as u32) })
}

/// Whether HTTP.sys says that it has a feature. Older ones do not have the question.
fn has_feature(feature: HTTP_FEATURE_ID) -> bool {
    let Some(function) = function(w!("httpapi.dll"), s!("HttpIsFeatureSupported")) else { return false };
    // SAFETY: this is what the function of that name is.
    let is_supported: unsafe extern "system" fn(HTTP_FEATURE_ID) -> i32 = unsafe { std::mem::transmute(function) };
    // SAFETY: there are no preconditions.
    unsafe { is_supported(feature) != 0 }
}

/// A function of a library that this process has loaded.
pub(crate) fn function(library: PCWSTR, name: PCSTR) -> Option<unsafe extern "system" fn() -> isize> {
    // SAFETY: both names end with a zero; the library stays loaded, since this process is linked with it.
    unsafe { GetProcAddress(GetModuleHandleW(library), name) }
}

/// As Windows takes text.
pub(crate) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

pub(crate) fn answer(code: u32) -> Result<(), Code> {
    if code == NO_ERROR { Ok(()) } else { Err(Code(code)) }
}

fn log_failure(what: &str, code: u32) {
    if let Err(code) = answer(code) {
        tracing::debug!(%code, "HTTP.sys cannot {what}");
    }
}

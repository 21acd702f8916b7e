//! The configuration itself: the calls of `httpapi.dll` on it.

mod account;
mod answer;

use std::ffi::c_void;
use std::net::{Ipv4Addr, SocketAddr};
use std::ptr;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::HttpServer as http;
use windows_sys::Win32::Networking::WinSock::SOCKADDR_STORAGE;
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::core::{GUID, s, w};

use self::answer::Answer;
use super::socket_address::to_bytes;
use super::{CacheParam, Configuration, Entry, Key, Kind, SslCert, SslKey, Timer};
use crate::Code;
use crate::system::{VERSION, answer, function, wide};

/// The configuration of this machine's HTTP.sys.
pub struct SystemConfiguration(());

impl SystemConfiguration {
    /// Begins to use it.
    ///
    /// # Errors
    /// If this Windows has no HTTP.sys, as Nano Server.
    pub fn open() -> Result<Self, Code> {
        // SAFETY: there are no preconditions; the reserved argument is null.
        answer(unsafe { http::HttpInitialize(VERSION, http::HTTP_INITIALIZE_CONFIG, ptr::null_mut()) })?;
        Ok(Self(()))
    }
}

impl Drop for SystemConfiguration {
    fn drop(&mut self) {
        // SAFETY: `open` has initialized with the same flags.
        unsafe { http::HttpTerminate(http::HTTP_INITIALIZE_CONFIG, ptr::null_mut()) };
    }
}

impl Configuration for SystemConfiguration {
    fn add(&self, entry: &Entry) -> Result<(), Code> {
        apply(http::HttpSetServiceConfiguration, entry)
    }

    fn update(&self, entry: &Entry) -> Result<(), Code> {
        let update = function(w!("httpapi.dll"), s!("HttpUpdateServiceConfiguration")).ok_or(Code::CALL_NOT_IMPLEMENTED)?;
        // SAFETY: this is what the function of that name is.
        let update: Change = unsafe { std::mem::transmute(update) };
        apply(update, entry)
    }

    fn delete(&self, key: &Key) -> Result<(), Code> {
        apply(http::HttpDeleteServiceConfiguration, &key.bare())
    }

    fn list(&self, kind: Kind) -> Result<Vec<Entry>, Code> {
        match kind {
            Kind::UrlAcl => reservations(),
            Kind::IpListen => addresses(),
            Kind::Timeout => Timer::ALL.into_iter().filter_map(|timer| timeout(timer).transpose()).collect(),
            Kind::CacheParam => CacheParam::ALL.into_iter().filter_map(|param| parameter(param).transpose()).collect(),
            Kind::SslCert => {
                let mut found = bindings_of_addresses()?;
                found.extend(bindings_of_names()?);
                found.extend(bindings_of_stores()?);
                Ok(found)
            }
        }
    }

    fn sid(&self, account: &str) -> Result<String, Code> {
        account::sid(account)
    }
}

/// `HttpSetServiceConfiguration` and its like.
type Change = unsafe extern "system" fn(HANDLE, http::HTTP_SERVICE_CONFIG_ID, *const c_void, u32, *const OVERLAPPED) -> u32;

fn change<T>(change: Change, id: http::HTTP_SERVICE_CONFIG_ID, information: &T) -> Result<(), Code> {
    // SAFETY: `information` is the structure of this id, and what it points to is alive in the caller; HTTP.sys copies it.
    answer(unsafe { change(ptr::null_mut(), id, ptr::from_ref(information).cast(), size_of::<T>() as u32, ptr::null()) })
}

fn apply(function: Change, entry: &Entry) -> Result<(), Code> {
    match entry {
        Entry::UrlAcl { url, sddl } => {
            let (mut url, mut sddl) = (Text::of(Some(url)), Text::of(Some(sddl).filter(|sddl| !sddl.is_empty())));
            let information = http::HTTP_SERVICE_CONFIG_URLACL_SET {
                KeyDesc: http::HTTP_SERVICE_CONFIG_URLACL_KEY { pUrlPrefix: url.pointer() },
                ParamDesc: http::HTTP_SERVICE_CONFIG_URLACL_PARAM { pStringSecurityDescriptor: sddl.pointer() },
            };
            change(function, http::HttpServiceConfigUrlAclInfo, &information)
        }
        Entry::IpListen(ip) => {
            let (mut address, length) = storage(SocketAddr::new(*ip, 0));
            let information =
                http::HTTP_SERVICE_CONFIG_IP_LISTEN_PARAM { AddrLength: length, pAddress: ptr::from_mut(&mut address).cast() };
            change(function, http::HttpServiceConfigIPListenList, &information)
        }
        Entry::Timeout(timer, seconds) => {
            let information = http::HTTP_SERVICE_CONFIG_TIMEOUT_SET { KeyDesc: timer_key(*timer), ParamDesc: *seconds };
            change(function, http::HttpServiceConfigTimeout, &information)
        }
        Entry::CacheParam(param, bytes) => {
            let information = http::HTTP_SERVICE_CONFIG_CACHE_SET { KeyDesc: cache_key(*param), ParamDesc: *bytes };
            change(function, http::HttpServiceConfigCache, &information)
        }
        Entry::SslCert(binding) => apply_binding(function, binding),
    }
}

fn apply_binding(function: Change, binding: &SslCert) -> Result<(), Code> {
    let mut parts = Parts::of(binding);
    let parameters = parts.parameters(binding);
    match &binding.key {
        SslKey::IpPort(address) => {
            let (mut address, _) = storage(*address);
            let key = http::HTTP_SERVICE_CONFIG_SSL_KEY { pIpPort: ptr::from_mut(&mut address).cast() };
            let information = http::HTTP_SERVICE_CONFIG_SSL_SET { KeyDesc: key, ParamDesc: parameters };
            change(function, http::HttpServiceConfigSSLCertInfo, &information)
        }
        SslKey::HostnamePort(host, port) => {
            let mut host = Text::of(Some(host));
            let key = http::HTTP_SERVICE_CONFIG_SSL_SNI_KEY { IpPort: any_address(*port), Host: host.pointer() };
            let information = http::HTTP_SERVICE_CONFIG_SSL_SNI_SET { KeyDesc: key, ParamDesc: parameters };
            change(function, http::HttpServiceConfigSslSniCertInfo, &information)
        }
        SslKey::Ccs(port) => {
            let key = http::HTTP_SERVICE_CONFIG_SSL_CCS_KEY { LocalAddress: any_address(*port) };
            let information = http::HTTP_SERVICE_CONFIG_SSL_CCS_SET { KeyDesc: key, ParamDesc: parameters };
            change(function, http::HttpServiceConfigSslCcsCertInfo, &information)
        }
    }
}

/// A text that Windows is pointed to, which it takes for writable though it does not write.
struct Text(Option<Vec<u16>>);

impl Text {
    fn of(text: Option<&String>) -> Self {
        Self(text.map(|text| wide(text)))
    }

    /// Null if there is no text.
    fn pointer(&mut self) -> *mut u16 {
        self.0.as_mut().map_or(ptr::null_mut(), |text| text.as_mut_ptr())
    }
}

/// What a binding's parameters point to.
struct Parts {
    hash: Vec<u8>,
    store: Text,
    ctl_identifier: Text,
    ctl_store: Text,
}

impl Parts {
    fn of(binding: &SslCert) -> Self {
        Self {
            hash: binding.hash.0.clone(),
            store: Text::of(binding.store.as_ref()),
            ctl_identifier: Text::of(binding.ctl_identifier.as_ref()),
            ctl_store: Text::of(binding.ctl_store.as_ref()),
        }
    }

    /// They point into `self`, which has to outlive them.
    fn parameters(&mut self, binding: &SslCert) -> http::HTTP_SERVICE_CONFIG_SSL_PARAM {
        let hash = if self.hash.is_empty() { ptr::null_mut() } else { self.hash.as_mut_ptr() };
        http::HTTP_SERVICE_CONFIG_SSL_PARAM {
            SslHashLength: self.hash.len() as u32,
            pSslHash: hash.cast(),
            AppId: GUID::from_u128(binding.app_id.0),
            pSslCertStoreName: self.store.pointer(),
            DefaultCertCheckMode: binding.check_mode,
            DefaultRevocationFreshnessTime: binding.revocation_freshness,
            DefaultRevocationUrlRetrievalTimeout: binding.retrieval_timeout,
            pDefaultSslCtlIdentifier: self.ctl_identifier.pointer(),
            pDefaultSslCtlStoreName: self.ctl_store.pointer(),
            DefaultFlags: binding.flags(),
        }
    }
}

fn storage(address: SocketAddr) -> (SOCKADDR_STORAGE, u16) {
    let (bytes, length) = to_bytes(address);
    // SAFETY: the structure is plain numbers of as many bytes, and every value of them is one.
    (unsafe { std::mem::transmute::<[u8; 128], SOCKADDR_STORAGE>(bytes) }, length as u16)
}

/// The port of a binding that is not for one address.
fn any_address(port: u16) -> SOCKADDR_STORAGE {
    storage((Ipv4Addr::UNSPECIFIED, port).into()).0
}

const fn timer_key(timer: Timer) -> http::HTTP_SERVICE_CONFIG_TIMEOUT_KEY {
    match timer {
        Timer::IdleConnection => http::IdleConnectionTimeout,
        Timer::HeaderWait => http::HeaderWaitTimeout,
    }
}

const fn cache_key(param: CacheParam) -> http::HTTP_SERVICE_CONFIG_CACHE_KEY {
    match param {
        CacheParam::MaxCacheResponseSize => http::MaxCacheResponseSize,
        CacheParam::CacheRangeChunkSize => http::CacheRangeChunkSize,
    }
}

fn timeout(timer: Timer) -> Result<Option<Entry>, Code> {
    let found = Answer::to(http::HttpServiceConfigTimeout, Some(&timer_key(timer)))?;
    Ok(found.and_then(|found| found.read::<u16>(0)).map(|seconds| Entry::Timeout(timer, seconds)))
}

fn parameter(param: CacheParam) -> Result<Option<Entry>, Code> {
    let found = Answer::to(http::HttpServiceConfigCache, Some(&cache_key(param)))?;
    Ok(found.and_then(|found| found.read::<u32>(0)).map(|bytes| Entry::CacheParam(param, bytes)))
}

fn addresses() -> Result<Vec<Entry>, Code> {
    let Some(found) = Answer::to::<u32>(http::HttpServiceConfigIPListenList, None)? else { return Ok(Vec::new()) };
    let count = found.read::<u32>(0).unwrap_or_default() as usize;
    let first = std::mem::offset_of!(http::HTTP_SERVICE_CONFIG_IP_LISTEN_QUERY, AddrList);
    let address = |index: usize| found.address_at(first + index * size_of::<SOCKADDR_STORAGE>());
    Ok((0..count).filter_map(address).map(|address| Entry::IpListen(address.ip())).collect())
}

/// Asks for one entry after the other until there are no more. `question` makes the question with a number.
fn each<Q>(
    id: http::HTTP_SERVICE_CONFIG_ID,
    question: impl Fn(u32) -> Q,
    entry: impl Fn(&Answer) -> Option<Entry>,
) -> Result<Vec<Entry>, Code> {
    let mut found = Vec::new();
    for token in 0..u32::MAX {
        let Some(answer) = Answer::to(id, Some(&question(token)))? else { break };
        found.extend(entry(&answer));
    }
    Ok(found)
}

fn reservations() -> Result<Vec<Entry>, Code> {
    let question = |token| http::HTTP_SERVICE_CONFIG_URLACL_QUERY {
        QueryDesc: http::HttpServiceConfigQueryNext,
        KeyDesc: http::HTTP_SERVICE_CONFIG_URLACL_KEY { pUrlPrefix: ptr::null_mut() },
        dwToken: token,
    };
    each(http::HttpServiceConfigUrlAclInfo, question, |answer| {
        let set: http::HTTP_SERVICE_CONFIG_URLACL_SET = answer.read(0)?;
        let sddl = answer.text(set.ParamDesc.pStringSecurityDescriptor).unwrap_or_default();
        Some(Entry::UrlAcl { url: answer.text(set.KeyDesc.pUrlPrefix)?, sddl })
    })
}

fn bindings_of_addresses() -> Result<Vec<Entry>, Code> {
    let question = |token| http::HTTP_SERVICE_CONFIG_SSL_QUERY {
        QueryDesc: http::HttpServiceConfigQueryNext,
        KeyDesc: http::HTTP_SERVICE_CONFIG_SSL_KEY { pIpPort: ptr::null_mut() },
        dwToken: token,
    };
    each(http::HttpServiceConfigSSLCertInfo, question, |answer| {
        let set: http::HTTP_SERVICE_CONFIG_SSL_SET = answer.read(0)?;
        let address = answer.address(set.KeyDesc.pIpPort.cast())?;
        Some(binding(answer, SslKey::IpPort(address), &set.ParamDesc))
    })
}

fn bindings_of_names() -> Result<Vec<Entry>, Code> {
    let question = |token| http::HTTP_SERVICE_CONFIG_SSL_SNI_QUERY {
        QueryDesc: http::HttpServiceConfigQueryNext,
        KeyDesc: http::HTTP_SERVICE_CONFIG_SSL_SNI_KEY { IpPort: any_address(0), Host: ptr::null_mut() },
        dwToken: token,
    };
    each(http::HttpServiceConfigSslSniCertInfo, question, |answer| {
        let set: http::HTTP_SERVICE_CONFIG_SSL_SNI_SET = answer.read(0)?;
        // The address is the first field of the structure.
        let key = SslKey::HostnamePort(answer.text(set.KeyDesc.Host)?, answer.address_at(0)?.port());
        Some(binding(answer, key, &set.ParamDesc))
    })
}

fn bindings_of_stores() -> Result<Vec<Entry>, Code> {
    let question = |token| http::HTTP_SERVICE_CONFIG_SSL_CCS_QUERY {
        QueryDesc: http::HttpServiceConfigQueryNext,
        KeyDesc: http::HTTP_SERVICE_CONFIG_SSL_CCS_KEY { LocalAddress: any_address(0) },
        dwToken: token,
    };
    each(http::HttpServiceConfigSslCcsCertInfo, question, |answer| {
        let set: http::HTTP_SERVICE_CONFIG_SSL_CCS_SET = answer.read(0)?;
        Some(binding(answer, SslKey::Ccs(answer.address_at(0)?.port()), &set.ParamDesc))
    })
}

fn binding(answer: &Answer, key: SslKey, parameters: &http::HTTP_SERVICE_CONFIG_SSL_PARAM) -> Entry {
    let GUID { data1, data2, data3, data4 } = parameters.AppId;
    let head = u128::from(data1) << 96 | u128::from(data2) << 80 | u128::from(data3) << 64;
    let mut binding = SslCert::new(key);
    binding.hash.0 = answer.bytes(parameters.pSslHash.cast(), parameters.SslHashLength as usize).unwrap_or_default();
    binding.app_id.0 = head | u128::from(u64::from_be_bytes(data4));
    binding.store = answer.text(parameters.pSslCertStoreName);
    binding.check_mode = parameters.DefaultCertCheckMode;
    binding.revocation_freshness = parameters.DefaultRevocationFreshnessTime;
    binding.retrieval_timeout = parameters.DefaultRevocationUrlRetrievalTimeout;
    binding.ctl_identifier = answer.text(parameters.pDefaultSslCtlIdentifier);
    binding.ctl_store = answer.text(parameters.pDefaultSslCtlStoreName);
    binding.set_flags(parameters.DefaultFlags);
    Entry::SslCert(binding)
}

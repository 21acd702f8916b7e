//! What a configuration says, once it has been found valid.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use narthex_http::{RequestIds, TrustedProxies};
use narthex_proto::cooked::Cooking;
use narthex_proto::prefix::UrlPrefix;
use narthex_proto::wire::{LogFormat, Logging, Rollover};
use serde::{Deserialize, Serialize};

use crate::admin::{BindingKey, BindingSpec, Grant};
use crate::trace::TraceSettings;

/// A configuration that has been found valid.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) reservations: Vec<Reserved>,
    pub(crate) bindings: Vec<Bound>,
    pub(crate) iplisten: Vec<IpAddr>,
    /// Seconds; 65535 disables.
    pub(crate) idle_connection: Option<u16>,
    pub(crate) header_wait: Option<u16>,
    pub(crate) settings: Settings,
}

/// A reservation (urlacl) of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) prefix: UrlPrefix,
    pub(crate) grants: Vec<Grant>,
}

/// A TLS binding (sslcert) of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) key: BindingKey,
    pub(crate) options: BindingSpec,
}

/// A machine-wide timer: those that run before it is known whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "narthex_http::Timeouts explains them")]
pub enum MachineTimer {
    IdleConnectionTimeout,
    HeaderWaitTimeout,
}

impl MachineTimer {
    /// Both, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::IdleConnectionTimeout, Self::HeaderWaitTimeout];
    /// What either is unless the configuration says otherwise, in seconds.
    pub const DEFAULT_SECONDS: u16 = 120;

    /// As it is typed, here and in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleConnectionTimeout => "idleconnectiontimeout",
            Self::HeaderWaitTimeout => "headerwaittimeout",
        }
    }
}

/// A parameter of the response cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheParam {
    /// The longest response that is cached, in bytes (`UriMaxUriBytes`).
    MaxCacheResponseSize,
    /// The longest part of a cached response that answers one range request, in bytes.
    CacheRangeChunkSize,
    /// What all cached responses may take, in bytes.
    MaxCacheSize,
    /// How often responses that nobody asked for are dropped, in seconds (`UriScavengerPeriod`).
    ScavengerPeriod,
}

impl CacheParam {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::MaxCacheResponseSize, Self::CacheRangeChunkSize, Self::MaxCacheSize, Self::ScavengerPeriod];

    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxCacheResponseSize => "maxcacheresponsesize",
            Self::CacheRangeChunkSize => "cacherangechunksize",
            Self::MaxCacheSize => "maxcachesize",
            Self::ScavengerPeriod => "scavengerperiod",
        }
    }

    /// The setting that it is another word for: that is how it stands in the file.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::MaxCacheResponseSize => "max_cache_response_size",
            Self::CacheRangeChunkSize => "cache_range_chunk_size",
            Self::MaxCacheSize => "max_cache_size",
            Self::ScavengerPeriod => "scavenger_period",
        }
    }
}

impl Config {
    /// Where a machine-wide timer is kept. `None` is its default.
    pub(crate) fn timer(&self, timer: MachineTimer) -> Option<u16> {
        match timer {
            MachineTimer::IdleConnectionTimeout => self.idle_connection,
            MachineTimer::HeaderWaitTimeout => self.header_wait,
        }
    }

    pub(crate) fn timer_mut(&mut self, timer: MachineTimer) -> &mut Option<u16> {
        match timer {
            MachineTimer::IdleConnectionTimeout => &mut self.idle_connection,
            MachineTimer::HeaderWaitTimeout => &mut self.header_wait,
        }
    }
}

/// Everything with one value. The names are those of [`SETTINGS`](super::SETTINGS).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Unprivileged users may register `localhost` and loopback addresses on ports above 1024 that nobody has reserved.
    pub(crate) loopback_rule: bool,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_field_length: usize,
    pub(crate) max_url_length: usize,
    pub(crate) max_header_count: usize,
    /// Bytes; `None` is no limit.
    pub(crate) max_request_body: Option<u64>,
    /// 0 is no limit, here and for the count.
    pub(crate) url_segment_max_length: usize,
    pub(crate) url_segment_max_count: usize,
    /// Client connections; `None` is what the file descriptor limit leaves.
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_client: Option<usize>,
    /// Bytes per second to all clients; `None` is no limit.
    pub(crate) max_bandwidth: Option<u64>,
    pub(crate) queue_length: u32,
    /// Seconds.
    pub(crate) restart_grace: u32,
    pub(crate) response_cache: bool,
    pub(crate) max_cache_response_size: u64,
    pub(crate) cache_range_chunk_size: u64,
    pub(crate) max_cache_size: u64,
    pub(crate) scavenger_period: u64,
    /// `None` is the platform's: `/var/log/narthex` for root, else `$XDG_STATE_HOME/narthex/log`.
    pub(crate) log_directory: Option<PathBuf>,
    pub(crate) error_log: bool,
    /// Bytes, for an error log that rolls over by size.
    pub(crate) error_log_max_size: u64,
    pub(crate) error_log_rollover: Rollover,
    /// See [`central_log`](Self::central_log): [`LogFormat::Off`] is none.
    pub(crate) access_log: Logging,
    /// Whether clients may speak HTTP/2, and HTTP/3; a TLS binding can only say no.
    pub(crate) http2: bool,
    pub(crate) http3: bool,
    /// Answers tell of HTTP/3.
    pub(crate) alt_svc: bool,
    pub(crate) http2_max_streams: u32,
    /// Bytes.
    pub(crate) http2_initial_window: u32,
    /// `HttpSys` takes `\` and `%2F` for separators, as HTTP.sys does.
    pub(crate) cooking: Cooking,
    /// Who is believed about the client that a request or a connection is from.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Where connections begin with a PROXY header.
    pub(crate) proxy_protocol: Vec<SocketAddr>,
    /// Whether requests have ids.
    pub(crate) request_ids: RequestIds,
    /// Which requests leave spans, and where those go.
    pub(crate) traces: TraceSettings,
    /// Whom certificates are asked of, and how.
    pub(crate) acme: AcmeSettings,
    /// Connections are accepted by one thread and dealt out, instead of by every worker.
    pub(crate) single_acceptor: bool,
}

/// How certificates are got from a CA by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcmeSettings {
    /// The URL that everything else is found by.
    pub(crate) directory: String,
    /// Mail addresses.
    pub(crate) contact: Vec<String>,
    pub(crate) terms_agreed: bool,
    /// Who has signed the certificate of the ACME server itself; `None` is whom this machine trusts.
    pub(crate) ca: Option<PathBuf>,
    /// `None` is any.
    pub(crate) challenge: Option<Challenge>,
    pub(crate) tls_port: u16,
    pub(crate) http_port: u16,
    /// External account binding: both or none.
    pub(crate) eab_key_id: Option<String>,
    pub(crate) eab_key_file: Option<PathBuf>,
}

/// How a CA is shown that a name is this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Challenge {
    /// By a handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a file on port 80 (RFC 8555 section 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

impl Challenge {
    /// Both, the one that is tried first before the other. It needs no second port, and no redirection is in its way.
    pub(crate) const ALL: [Self; 2] = [Self::TlsAlpn01, Self::Http01];
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn01 => "TLS-ALPN-01",
            Self::Http01 => "HTTP-01",
        })
    }
}

impl Default for AcmeSettings {
    fn default() -> Self {
        Self {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            contact: Vec::new(),
            terms_agreed: false,
            ca: None,
            challenge: None,
            tls_port: 443,
            http_port: 80,
            eab_key_id: None,
            eab_key_file: None,
        }
    }
}

impl Settings {
    /// Central access logging: every group that says nothing itself is logged so.
    pub(crate) fn central_log(&self) -> Option<Logging> {
        let mut logging = self.access_log.clone();
        match logging.format {
            LogFormat::Off => return None,
            // Its fields cannot be chosen: those that are set are for when the format is another one again.
            LogFormat::Ncsa => logging.fields.clear(),
            LogFormat::W3c | LogFormat::Json => {}
        }
        Some(logging)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            loopback_rule: true,
            max_request_bytes: 16_384,
            max_field_length: 16_384,
            max_url_length: 8_192,
            max_header_count: 100,
            max_request_body: Some(30_000_000),
            url_segment_max_length: 0,
            url_segment_max_count: 0,
            max_connections: None,
            max_connections_per_client: None,
            max_bandwidth: None,
            queue_length: 1000,
            restart_grace: 10,
            response_cache: true,
            max_cache_response_size: 262_144,
            cache_range_chunk_size: 262_144,
            max_cache_size: 64 << 20,
            scavenger_period: 120,
            log_directory: None,
            error_log: true,
            error_log_max_size: 1 << 20,
            error_log_rollover: Rollover::Size,
            access_log: Logging { format: LogFormat::Off, ..Logging::default() },
            http2: true,
            http3: true,
            alt_svc: true,
            http2_max_streams: 100,
            http2_initial_window: 65_535,
            cooking: Cooking::Strict,
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: Vec::new(),
            request_ids: RequestIds::On,
            traces: TraceSettings::default(),
            acme: AcmeSettings::default(),
            single_acceptor: false,
        }
    }
}

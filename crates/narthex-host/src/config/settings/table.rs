//! The table itself.

use std::path::{Path, PathBuf};

use narthex_http::{RequestIds, TrustedProxies};
use narthex_otlp::EndpointError;
use narthex_proto::cooked::Cooking;
use narthex_proto::wire::{LogFormat, LoggedResponses, Logging, Rollover};

use super::{ANY, EMPTY, Kind, Setting, acme};
use crate::config::model::Challenge;
use crate::log;
use crate::trace::Share;

/// HTTP.sys's upper bound for what it keeps in 32 bits.
const U32: u64 = u32::MAX as u64;

const ROLLOVERS: &[&str] = &["size", "hourly", "daily", "weekly", "monthly"];
const ROLLOVER: [Rollover; 5] = [Rollover::Size, Rollover::Hourly, Rollover::Daily, Rollover::Weekly, Rollover::Monthly];
const FORMAT: [LogFormat; 4] = [LogFormat::Off, LogFormat::W3c, LogFormat::Ncsa, LogFormat::Json];
const ONLY: [Option<LoggedResponses>; 3] = [None, Some(LoggedResponses::Errors), Some(LoggedResponses::Successes)];
const CHALLENGE: [Option<Challenge>; 3] = [None, Some(Challenge::TlsAlpn01), Some(Challenge::Http01)];
const REQUEST_IDS: [RequestIds; 3] = [RequestIds::Off, RequestIds::On, RequestIds::Answered];
const COOKING: [Cooking; 2] = [Cooking::Strict, Cooking::HttpSys];

fn place<T: PartialEq>(all: &[T], value: &T) -> usize {
    all.iter().position(|one| one == value).unwrap_or_default()
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

macro_rules! setting {
    ($name:literal, $help:literal, $aliases:expr, $kind:expr) => {
        Setting { name: $name, help: $help, aliases: &$aliases, kind: $kind }
    };
}

macro_rules! flag {
    ($($field:ident).+) => {
        Kind::Flag { get: |settings| settings.$($field).+, set: |settings, value| settings.$($field).+ = value }
    };
}

/// A `usize` that always has a value.
macro_rules! size {
    ($field:ident, $least:expr, $most:expr) => {
        Kind::Number {
            least: $least,
            most: $most,
            none: None,
            get: |settings| Some(settings.$field as u64),
            set: |settings, value| settings.$field = value.map_or(settings.$field, size),
        }
    };
}

/// A number of at most 32 bits that always has a value.
macro_rules! count {
    ($($field:ident).+, $least:expr, $most:expr) => {
        Kind::Number {
            least: $least,
            most: $most,
            none: None,
            get: |settings| Some(settings.$($field).+.into()),
            set: |settings, value| {
                settings.$($field).+ = value.and_then(|value| value.try_into().ok()).unwrap_or(settings.$($field).+);
            },
        }
    };
}

/// A `u64` that always has a value.
macro_rules! number {
    ($field:ident, $least:expr, $most:expr) => {
        Kind::Number {
            least: $least,
            most: $most,
            none: None,
            get: |settings| Some(settings.$field),
            set: |settings, value| settings.$field = value.unwrap_or(settings.$field),
        }
    };
}

/// Every setting, in the order in which they are listed. Ranges are those of HTTP.sys's registry values where it has them.
pub const SETTINGS: &[Setting] = &[
    setting!(
        "loopback_rule",
        "Whether users other than the operator may register localhost, 127.0.0.0/8 and [::1] on ports above 1024 on which nothing is reserved.",
        [],
        flag!(loopback_rule)
    ),
    setting!(
        "max_request_bytes",
        "The longest request line and headers together, in bytes; more is answered 431.",
        [],
        size!(max_request_bytes, 256, 16_777_216)
    ),
    setting!(
        "max_field_length",
        "The longest single header field, in bytes; more is answered 431.",
        [],
        size!(max_field_length, 64, 65_534)
    ),
    setting!(
        "max_url_length",
        "The longest request target, in bytes; more is answered 414.",
        [],
        size!(max_url_length, 64, 65_534)
    ),
    setting!(
        "max_header_count",
        "How many header fields a request may have; more are answered 431.",
        [],
        size!(max_header_count, 1, 256)
    ),
    setting!(
        "max_request_body",
        "The longest request body of groups that do not say, in bytes; more is answered 413.",
        ["MaxRequestBodySize"],
        Kind::Number {
            least: 0,
            most: ANY,
            none: Some("unlimited"),
            get: |settings| settings.max_request_body,
            set: |settings, value| settings.max_request_body = value,
        }
    ),
    setting!(
        "url_segment_max_length",
        "The longest segment of a URL's path, in characters; 0 is no limit.",
        [],
        size!(url_segment_max_length, 0, 32_766)
    ),
    setting!(
        "url_segment_max_count",
        "How many segments a URL's path may have; 0 is no limit.",
        [],
        size!(url_segment_max_count, 0, 16_383)
    ),
    setting!(
        "max_connections",
        "How many client connections may be open; automatic is what the limit for file descriptors leaves.",
        [],
        Kind::Number {
            least: 1024,
            most: 2_031_616,
            none: Some("automatic"),
            get: |settings| settings.max_connections.map(|number| number as u64),
            set: |settings, value| settings.max_connections = value.map(size),
        }
    ),
    setting!(
        "max_connections_per_client",
        "How many connections one client address may have open.",
        [],
        Kind::Number {
            least: 1,
            most: 2_031_616,
            none: Some("unlimited"),
            get: |settings| settings.max_connections_per_client.map(|number| number as u64),
            set: |settings, value| settings.max_connections_per_client = value.map(size),
        }
    ),
    setting!(
        "max_bandwidth",
        "What all clients together are sent, in bytes per second.",
        [],
        Kind::Number {
            least: 1024,
            most: ANY,
            none: Some("unlimited"),
            get: |settings| settings.max_bandwidth,
            set: |settings, value| settings.max_bandwidth = value,
        }
    ),
    setting!(
        "queue_length",
        "How many requests may wait in a request queue that does not say; one more is answered 503.",
        [],
        count!(queue_length, 1, 65_535)
    ),
    setting!(
        "restart_grace",
        "Seconds that a named request queue which does not say waits for its next process when the last has left; 0 is not at all.",
        [],
        count!(restart_grace, 0, 3_600)
    ),
    setting!(
        "response_cache",
        "Whether responses are cached that apps or their headers allow to be.",
        ["UriEnableCache"],
        flag!(response_cache)
    ),
    setting!(
        "max_cache_response_size",
        "The longest response that is cached, in bytes.",
        ["UriMaxUriBytes"],
        number!(max_cache_response_size, 4096, 16_777_216)
    ),
    setting!(
        "cache_range_chunk_size",
        "The longest part of a cached response that answers one range request, in bytes.",
        [],
        number!(cache_range_chunk_size, 4096, 16_777_216)
    ),
    setting!("max_cache_size", "What all cached responses may take together, in bytes.", [], number!(max_cache_size, 0, ANY)),
    setting!(
        "scavenger_period",
        "How often cached responses that nobody asked for meanwhile are dropped, in seconds.",
        ["UriScavengerPeriod"],
        number!(scavenger_period, 10, U32)
    ),
    setting!(
        "log_directory",
        "Where logs are written; default is /var/log/narthex for root, else narthex/log in the user's state directory.",
        ["ErrorLoggingDir"],
        Kind::Text {
            shape: "an absolute path, or default",
            get: |settings| settings.log_directory.as_deref().map_or("default".to_owned(), |path| path.display().to_string()),
            set: |settings, value| {
                settings.log_directory = match value {
                    "default" => None,
                    path if Path::new(path).is_absolute() => Some(PathBuf::from(path)),
                    _ => return Err("write an absolute path, as in /var/log/narthex, or default"),
                };
                Ok(())
            },
        }
    ),
    setting!(
        "error_log",
        "Whether what the host refuses and ends itself is written to the error log.",
        ["EnableErrorLogging"],
        flag!(error_log)
    ),
    setting!(
        "error_log_max_size",
        "How long a file of an error log that rolls over by size gets, in bytes.",
        ["ErrorLogFileTruncateSize"],
        number!(error_log_max_size, 1_048_576, U32)
    ),
    setting!(
        "error_log_rollover",
        "When the error log goes on in a new file.",
        [],
        Kind::Word {
            words: ROLLOVERS,
            get: |settings| place(&ROLLOVER, &settings.error_log_rollover),
            set: |settings, index| settings.error_log_rollover = ROLLOVER.get(index).copied().unwrap_or_default(),
        }
    ),
    setting!(
        "access_log",
        "How the requests of groups that do not say are logged; the other access_log settings say the rest.",
        [],
        Kind::Word {
            words: &["off", "w3c", "ncsa", "json"],
            get: |settings| place(&FORMAT, &settings.access_log.format),
            set: |settings, index| settings.access_log.format = FORMAT.get(index).copied().unwrap_or(LogFormat::Off),
        }
    ),
    setting!(
        "access_log_fields",
        "The fields of a line by their W3C names, with commas between them.",
        [],
        Kind::Text {
            shape: "as in date,time,cs-method,cs-uri-stem,sc-status, or default",
            get: |settings| match settings.access_log.fields.as_slice() {
                [] => "default".to_owned(),
                fields => fields.join(","),
            },
            set: |settings, value| {
                let fields = if value == "default" { Vec::new() } else { fields(value)? };
                settings.access_log.fields = fields;
                Ok(())
            },
        }
    ),
    setting!(
        "access_log_rollover",
        "When an access log goes on in a new file.",
        [],
        Kind::Word {
            words: ROLLOVERS,
            get: |settings| place(&ROLLOVER, &settings.access_log.rollover),
            set: |settings, index| settings.access_log.rollover = ROLLOVER.get(index).copied().unwrap_or_default(),
        }
    ),
    setting!(
        "access_log_max_size",
        "How long a file of an access log that rolls over by size gets, in bytes; default is 1 MiB.",
        [],
        Kind::Number {
            least: 1_048_576,
            most: U32,
            none: Some("default"),
            get: |settings| settings.access_log.max_size,
            set: |settings, value| settings.access_log.max_size = value,
        }
    ),
    setting!(
        "access_log_local_time",
        "Whether a period of an access log begins by local time, not UTC.",
        [],
        flag!(access_log.local_time)
    ),
    setting!(
        "access_log_only",
        "Which responses are logged: errors are those with status 400 and above.",
        [],
        Kind::Word {
            words: &["all", "errors", "successes"],
            get: |settings| place(&ONLY, &settings.access_log.only),
            set: |settings, index| settings.access_log.only = ONLY.get(index).copied().flatten(),
        }
    ),
    setting!(
        "access_log_site",
        "The one folder below the log directory for all these requests; default is one for each app.",
        [],
        Kind::Text {
            shape: "letters, digits, '-', '_' and '.', or default",
            get: |settings| settings.access_log.site.clone().unwrap_or_else(|| "default".to_owned()),
            set: |settings, value| {
                settings.access_log.site = if value == "default" { None } else { Some(folder(value)?) };
                Ok(())
            },
        }
    ),
    setting!("http2", "Whether clients may speak HTTP/2; a TLS binding can still say no.", ["EnableHttp2Tls"], flag!(http2)),
    setting!(
        "http3",
        "Whether clients may speak HTTP/3 where a TLS binding is; a binding can still say no.",
        ["EnableHttp3"],
        flag!(http3)
    ),
    setting!(
        "alt_svc",
        "Whether answers tell clients with an Alt-Svc header that they may come by HTTP/3.",
        ["EnableAltSvc"],
        flag!(alt_svc)
    ),
    setting!(
        "http2_max_streams",
        "How many requests of one HTTP/2 connection may be open at once; more are refused, and the client tries again.",
        [],
        count!(http2_max_streams, 1, 10_000)
    ),
    setting!(
        "http2_initial_window",
        "How many bytes of a request body an HTTP/2 client may send before the app reads.",
        ["Http2InitialWindowSize"],
        count!(http2_initial_window, 65_535, 16_777_216)
    ),
    setting!(
        "cooking",
        "How a URL's path is read: strict refuses what two readers could understand differently, httpsys takes \\ and %2F for separators as HTTP.sys does.",
        [],
        Kind::Word {
            words: &["strict", "httpsys"],
            get: |settings| place(&COOKING, &settings.cooking),
            set: |settings, index| settings.cooking = COOKING.get(index).copied().unwrap_or_default(),
        }
    ),
    setting!(
        "trusted_proxies",
        "The networks of the proxies that are believed about who a client is: by X-Forwarded-For and -Proto, by Forwarded, and by the PROXY protocol.",
        [],
        Kind::List {
            shape: "addresses and networks, as in 10.0.0.0/8,fd00::/8",
            get: |settings| settings.trusted_proxies.networks().collect(),
            set: |settings, list| {
                let wrong = "write addresses, as in 10.1.2.3, and networks by their first address and length, as in 10.0.0.0/8";
                settings.trusted_proxies = TrustedProxies::parse(list).map_err(|_| wrong)?;
                Ok(())
            },
        }
    ),
    setting!(
        "proxy_protocol",
        "The addresses of this machine where every connection begins with a PROXY header (version 1 or 2); others are closed there.",
        [],
        Kind::List {
            shape: "addresses with ports, as in 0.0.0.0:443,[::]:443 for all of them",
            get: |settings| settings.proxy_protocol.iter().map(ToString::to_string).collect(),
            set: |settings, list| {
                let wrong = "write addresses with ports, as in 127.0.0.1:8080, 0.0.0.0:443 or [::]:443";
                settings.proxy_protocol = list.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(|_| wrong)?;
                Ok(())
            },
        }
    ),
    setting!(
        "request_ids",
        "Whether each request has an id, which its app and the logs get: a trusted proxy's X-Request-Id, else a new one; answered tells clients, too.",
        [],
        Kind::Word {
            words: &["off", "on", "answered"],
            get: |settings| place(&REQUEST_IDS, &settings.request_ids),
            set: |settings, index| settings.request_ids = REQUEST_IDS.get(index).copied().unwrap_or_default(),
        }
    ),
    setting!(
        "trace",
        "Whether requests leave spans at an OpenTelemetry collector, and apps get their trace context; the other trace settings say which and where.",
        [],
        Kind::Word {
            words: &["off", "on"],
            get: |settings| settings.traces.on.into(),
            set: |settings, index| settings.traces.on = index == 1,
        }
    ),
    setting!(
        "trace_sample",
        "The share of traces that are recorded of those that begin here; a client's traceparent says it itself.",
        [],
        Kind::Text {
            shape: "a number from 0 to 1, as in 0.01",
            get: |settings| settings.traces.sample.to_string(),
            set: |settings, value| {
                settings.traces.sample = Share::parse(value).ok_or("write a number from 0 to 1, as in 0.01")?;
                Ok(())
            },
        }
    ),
    setting!(
        "trace_endpoint",
        "The collector that spans are sent to, by OTLP over HTTP.",
        [],
        Kind::Text {
            shape: "an http URL; without a path, /v1/traces",
            get: |settings| settings.traces.endpoint.to_string(),
            set: |settings, value| {
                settings.traces.endpoint = value.parse().map_err(|error| match error {
                    EndpointError::Tls => {
                        "spans are sent without TLS: name a collector on this machine, as in http://127.0.0.1:4318"
                    }
                    _ => "write the collector's http URL, as in http://127.0.0.1:4318",
                })?;
                Ok(())
            },
        }
    ),
    setting!(
        "acme_directory",
        "The ACME server that certificates are asked of; another one is asked for all of them anew.",
        [],
        Kind::Text {
            shape: "an https URL",
            get: |settings| settings.acme.directory.clone(),
            set: |settings, value| {
                let wrong = "write the https URL of the CA's directory, as in https://acme-v02.api.letsencrypt.org/directory";
                settings.acme.directory = acme::directory(value).ok_or(wrong)?;
                Ok(())
            },
        }
    ),
    setting!(
        "acme_contact",
        "Where that CA may write to about certificates and the account.",
        [],
        Kind::List {
            shape: "mail addresses, as in admin@example.com",
            get: |settings| settings.acme.contact.clone(),
            set: |settings, list| {
                let wrong = "write mail addresses with commas between them, as in admin@example.com";
                settings.acme.contact = list.iter().map(|text| acme::contact(text)).collect::<Option<_>>().ok_or(wrong)?;
                Ok(())
            },
        }
    ),
    setting!(
        "acme_terms_agreed",
        "Whether you agree to the terms of service of that CA; nothing is asked of it before.",
        [],
        flag!(acme.terms_agreed)
    ),
    setting!(
        "acme_ca",
        "A PEM file with the authority of the ACME server's own certificate, if that is a private one; default is those that this machine trusts.",
        [],
        Kind::Text {
            shape: "an absolute path, or default",
            get: |settings| acme::shown(settings.acme.ca.as_deref(), "default"),
            set: |settings, value| {
                settings.acme.ca =
                    acme::path(value, "default").ok_or("write an absolute path, as in /etc/ssl/ca.pem, or default")?;
                Ok(())
            },
        }
    ),
    setting!(
        "acme_challenge",
        "How a name is proved to be this machine's: any tries TLS-ALPN-01 first.",
        [],
        Kind::Word {
            words: &["any", "tls-alpn-01", "http-01"],
            get: |settings| place(&CHALLENGE, &settings.acme.challenge),
            set: |settings, index| settings.acme.challenge = CHALLENGE.get(index).copied().flatten(),
        }
    ),
    setting!(
        "acme_tls_port",
        "The port of this machine at which the CA's connections to port 443 arrive.",
        [],
        count!(acme.tls_port, 1, 65_535)
    ),
    setting!(
        "acme_http_port",
        "The port of this machine at which the CA's connections to port 80 arrive.",
        [],
        count!(acme.http_port, 1, 65_535)
    ),
    setting!(
        "acme_eab_key_id",
        "Which account at the CA a new ACME account belongs to (external account binding), for those that want that.",
        [],
        Kind::Text {
            shape: "the CA's name of it, or none",
            get: |settings| settings.acme.eab_key_id.clone().unwrap_or_else(|| EMPTY.to_owned()),
            set: |settings, value| {
                settings.acme.eab_key_id = if value == EMPTY {
                    None
                } else {
                    Some(acme::key_id(value).ok_or("write what the CA has given as key identifier, or none")?)
                };
                Ok(())
            },
        }
    ),
    setting!(
        "acme_eab_key_file",
        "The file with the key that the CA has given for that, in base64url.",
        [],
        Kind::Text {
            shape: "an absolute path, or none",
            get: |settings| acme::shown(settings.acme.eab_key_file.as_deref(), EMPTY),
            set: |settings, value| {
                settings.acme.eab_key_file =
                    acme::path(value, EMPTY).ok_or("write an absolute path, as in /etc/narthex/eab.key, or none")?;
                Ok(())
            },
        }
    ),
    setting!(
        "single_acceptor",
        "Whether one thread accepts connections and deals them out, instead of every worker for itself.",
        [],
        flag!(single_acceptor)
    ),
];

fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '_');
    let fields: Vec<String> = text.split(',').map(|field| field.trim().to_owned()).collect();
    if fields.iter().any(|field| field.is_empty() || !field.chars().all(known)) {
        return Err("write W3C field names with commas between them, as in date,time,cs-uri-stem,sc-status");
    }
    // Every app that says nothing itself gets this log: what it cannot have, none of them could register with.
    let logging = Logging { fields, ..Logging::default() };
    if log::check(&logging).is_err() {
        return Err("write each field once, by a name that docs/operators.md lists, as in date,time,cs-uri-stem,sc-status");
    }
    Ok(logging.fields)
}

fn folder(text: &str) -> Result<String, &'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // The folders of other users begin with their number, and then there must be room for the name.
    if text.is_empty() || text.len() > 48 || text.starts_with('.') || !text.chars().all(known) {
        return Err("write a folder's name of at most 48 letters, digits, '-', '_' and '.', which does not begin with a dot");
    }
    if text.eq_ignore_ascii_case("httperr") {
        return Err("choose another folder's name: httperr is the error log's");
    }
    Ok(text.to_owned())
}

//! What HTTP.sys refuses, each with what to do about it.

use crate::Code;

/// The result of setting a server up.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why HTTP.sys does not do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL prefix is reserved for others, or for administrators.
    #[error(
        "cannot register {url}: access is denied; have an administrator run: narthex add urlacl url={url} user={user} \
         (or: netsh http add urlacl url={url} user={user})"
    )]
    AccessDenied {
        /// The prefix.
        url: String,
        /// Who this program runs as.
        user: String,
    },
    /// Another program, or this one, has the URL prefix.
    #[error(
        "cannot register {url}: it is registered already; narthex show servicestate (or: netsh http show servicestate) says by whom"
    )]
    AlreadyRegistered {
        /// The prefix.
        url: String,
    },
    /// A program that does not use HTTP.sys has the port.
    #[error(
        "cannot register {url}: a program that does not use HTTP.sys has the port; stop that program, or choose another port"
    )]
    PortTaken {
        /// The prefix.
        url: String,
    },
    /// HTTP.sys does not take the URL prefix.
    #[error(
        "cannot register {url}: HTTP.sys does not take it; a prefix is scheme://host:port/path/, and a port has either http or https"
    )]
    InvalidUrl {
        /// The prefix.
        url: String,
    },
    /// The prefix was not registered.
    #[error("cannot give {url} back: it is not registered")]
    NotRegistered {
        /// The prefix.
        url: String,
    },
    /// Another user's queue.
    #[error("cannot open the request queue {name:?}: it belongs to another user; choose another name, or run as that user")]
    QueueDenied {
        /// Its name.
        name: String,
    },
    /// This HTTP.sys does not have what was asked for.
    #[error("this HTTP.sys does not have {feature} ({code}); leave the setting out, or use Provider::embedded()")]
    Lacking {
        /// What.
        feature: &'static str,
        /// What it said.
        code: Code,
    },
    /// Anything else.
    #[error("HTTP.sys cannot {what}: {code}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        code: Code,
    },
}

impl Error {
    pub(crate) fn failed(what: &'static str) -> impl FnOnce(Code) -> Self {
        move |code| Self::Failed { what, code }
    }

    /// Why a URL prefix cannot be registered.
    pub(crate) fn of_url(url: &str, code: Code) -> Self {
        let url = url.to_owned();
        match code {
            Code::ACCESS_DENIED => Self::AccessDenied { url, user: user() },
            Code::ALREADY_EXISTS => Self::AlreadyRegistered { url },
            Code::SHARING_VIOLATION => Self::PortTaken { url },
            Code::INVALID_PARAMETER => Self::InvalidUrl { url },
            Code::FILE_NOT_FOUND => Self::NotRegistered { url },
            code if code.is_lacking() && url.starts_with("https:") => Self::Lacking { feature: "https", code },
            code if code.is_lacking() => Self::Lacking { feature: "URL prefixes of this kind", code },
            code => Self::Failed { what: "register a URL prefix", code },
        }
    }

    /// Why a property cannot be set.
    pub(crate) fn of_property(feature: &'static str, code: Code) -> Self {
        if code.is_lacking() { Self::Lacking { feature, code } } else { Self::Failed { what: "set a property", code } }
    }
}

/// Whom `netsh` has to be told of: the account that runs this program.
fn user() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("USERDOMAIN"), variable("USERNAME")) {
        (Some(domain), Some(name)) => quoted(&format!("{domain}\\{name}")),
        (None, Some(name)) => quoted(&name),
        _ => "YOUR-ACCOUNT".to_owned(),
    }
}

/// As a shell takes it.
fn quoted(name: &str) -> String {
    if name.contains(' ') { format!("\"{name}\"") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_prefix_names_both_commands_in_one_line() {
        let text = Error::of_url("http://+:80/shop/", Code::ACCESS_DENIED).to_string();
        assert!(text.contains("narthex add urlacl url=http://+:80/shop/ user="), "{text}");
        assert!(text.contains("netsh http add urlacl url=http://+:80/shop/ user="), "{text}");
        assert!(!text.contains('\n'));
        assert_eq!(quoted("NT AUTHORITY\\LOCAL SERVICE"), "\"NT AUTHORITY\\LOCAL SERVICE\"");
        assert_eq!(quoted("PC\\me"), "PC\\me");
    }

    #[test]
    fn what_a_windows_lacks_is_told_by_name() {
        let text = Error::of_property("connection limits", Code::CALL_NOT_IMPLEMENTED).to_string();
        assert!(text.contains("connection limits") && text.contains("120"), "{text}");
        let text = Error::of_url("https://+:443/", Code::INVALID_FUNCTION).to_string();
        assert!(text.contains("https"), "{text}");
    }
}

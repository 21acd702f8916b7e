//! What an app asked of its log, judged: where, how, and when files change.

use narthex_proto::wire::{LogFormat, LoggedResponses, Logging, Rollover};

use super::fields::FieldSet;

/// The folder of the error log, which no site can have.
pub(super) const ERROR_LOG_FOLDER: &str = "httperr";
/// The longest name of a site, in bytes.
const LONGEST_SITE: usize = 64;
/// Names of fields; there are fewer to choose from.
const MOST_FIELDS: usize = 64;
/// What a numbered file holds by default and at least, in bytes.
pub(super) const LEAST_SIZE: u64 = 1 << 20;

/// Why a log is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// The site is a folder's name, and this one is not safe as one.
    #[error(
        "the log's site {0:?} cannot be a folder: use 1 to 64 letters, digits, \"-\", \"_\" and \".\", not beginning with \".\", \
         and not \"httperr\""
    )]
    Site(String),
    /// No such field.
    #[error("there is no log field {name:?}: the fields are {known}")]
    UnknownField {
        /// As given.
        name: String,
        /// All there are.
        known: String,
    },
    /// More than there are.
    #[error("a log has at most {MOST_FIELDS} fields, not {0}: name each one once")]
    TooManyFields(usize),
    /// NCSA lines are all alike.
    #[error("the fields of an NCSA log cannot be chosen: leave them out, or choose the format w3c or json")]
    FixedFields,
    /// Files would be too small.
    #[error("a log's max-size is at least {LEAST_SIZE} bytes, not {0}")]
    MaxSize(u64),
    /// So many are open already.
    #[error("{0} logs are open, and that is the limit: let groups share one by giving them the same site and settings")]
    TooMany(usize),
}

/// How a file's lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    W3c,
    Ncsa,
    Json,
    Error,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::W3c => "w3c",
            Self::Ncsa => "ncsa",
            Self::Json => "json",
            Self::Error => "error",
        }
    }
}

/// A log as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// Its folder below the log directory. Always a plain name.
    pub(super) site: String,
    pub(super) format: Format,
    pub(super) fields: FieldSet,
    pub(super) only: Option<LoggedResponses>,
    pub(super) rollover: Rollover,
    /// Bytes, for numbered files.
    pub(super) max_size: u64,
    pub(super) local_time: bool,
}

impl Spec {
    /// What `logging` asks for, in the folder `site` unless it names another. `None` if it asks for no log.
    ///
    /// # Errors
    /// If the site, a field or the size will not do.
    pub(super) fn parse(logging: &Logging, site: &str) -> Result<Option<Self>, LogError> {
        // Whoever asks for no log must not have that kept and shown either.
        if let Some(site) = logging.site.as_deref().filter(|site| !is_site(site)) {
            return Err(LogError::Site(site.chars().take(2 * LONGEST_SITE).collect()));
        }
        if logging.fields.len() > MOST_FIELDS {
            return Err(LogError::TooManyFields(logging.fields.len()));
        }
        let fields = FieldSet::parse(&logging.fields)?;
        let format = match logging.format {
            LogFormat::Off => return Ok(None),
            LogFormat::W3c => Format::W3c,
            LogFormat::Json => Format::Json,
            LogFormat::Ncsa if logging.fields.is_empty() => Format::Ncsa,
            LogFormat::Ncsa => return Err(LogError::FixedFields),
        };
        let site = logging.site.as_deref().unwrap_or(site);
        if !is_site(site) {
            return Err(LogError::Site(site.chars().take(2 * LONGEST_SITE).collect()));
        }
        Ok(Some(Self {
            site: site.to_owned(),
            format,
            fields,
            only: logging.only,
            rollover: logging.rollover,
            max_size: size(logging.max_size)?,
            local_time: logging.local_time,
        }))
    }

    /// Whether a response with this status is logged. One that broke off before its status is no success.
    pub(super) fn wants(&self, status: u16) -> bool {
        let success = (1..400).contains(&status);
        match self.only {
            None => true,
            Some(LoggedResponses::Errors) => !success,
            Some(LoggedResponses::Successes) => success,
        }
    }
}

/// Whether this can be a log, in the folder of an app if it names none.
///
/// # Errors
/// If the site, a field or the size will not do.
pub(crate) fn check(logging: &Logging) -> Result<(), LogError> {
    Spec::parse(logging, "app").map(drop)
}

/// # Errors
/// If it is too small.
pub(super) fn size(bytes: Option<u64>) -> Result<u64, LogError> {
    match bytes {
        None => Ok(LEAST_SIZE),
        Some(bytes) if bytes < LEAST_SIZE => Err(LogError::MaxSize(bytes)),
        Some(bytes) => Ok(bytes),
    }
}

fn is_site(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST_SITE).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && !name.eq_ignore_ascii_case(ERROR_LOG_FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(logging: Logging) -> Result<Option<Spec>, LogError> {
        Spec::parse(&logging, "shop")
    }

    #[test]
    fn a_site_is_a_plain_name_and_never_leads_elsewhere() {
        let longest = "x".repeat(64);
        for good in ["shop", "a", "my_shop-2.example", "x..y", &longest] {
            assert!(is_site(good), "{good}");
        }
        let too_long = "x".repeat(65);
        for bad in ["", ".", "..", ".ssh", "a/b", "../a", "a\\b", "a b", "a\0", "ä", "a\n", "HTTPERR", &too_long] {
            let logging = Logging { site: Some(bad.to_owned()), ..Logging::default() };
            assert!(matches!(parse(logging), Err(LogError::Site(_))), "{bad:?}");
        }
    }

    #[test]
    fn the_default_site_is_judged_too() {
        assert!(matches!(Spec::parse(&Logging::default(), "../etc"), Err(LogError::Site(_))));
    }

    #[test]
    fn off_is_no_log() {
        assert_eq!(parse(Logging { format: LogFormat::Off, ..Logging::default() }), Ok(None));
    }

    #[test]
    fn what_asks_for_no_log_is_judged_all_the_same() {
        let off = |site: Option<String>, fields| parse(Logging { format: LogFormat::Off, site, fields, ..Logging::default() });
        assert!(matches!(off(Some("x".repeat(1 << 20)), Vec::new()), Err(LogError::Site(_))));
        assert!(matches!(off(None, vec!["\x1b[2J".into()]), Err(LogError::UnknownField { .. })));
        assert_eq!(off(None, vec!["date".into(); 65]), Err(LogError::TooManyFields(65)));
    }

    #[test]
    fn ncsa_has_no_choice_of_fields() {
        let logging = Logging { format: LogFormat::Ncsa, fields: vec!["date".into()], ..Logging::default() };
        assert_eq!(parse(logging), Err(LogError::FixedFields));
    }

    #[test]
    fn a_file_holds_a_mebibyte_at_least() {
        let sized = |max_size| parse(Logging { max_size, ..Logging::default() }).map(|spec| spec.unwrap().max_size);
        assert_eq!(sized(None), Ok(1 << 20));
        assert_eq!(sized(Some(1 << 20)), Ok(1 << 20));
        assert_eq!(sized(Some((1 << 20) - 1)), Err(LogError::MaxSize((1 << 20) - 1)));
    }

    #[test]
    fn a_response_that_was_never_sent_is_no_success() {
        let only = |only| parse(Logging { only, ..Logging::default() }).unwrap().unwrap();
        let (errors, successes) = (only(Some(LoggedResponses::Errors)), only(Some(LoggedResponses::Successes)));
        for (status, error) in [(0, true), (101, false), (200, false), (399, false), (400, true), (503, true)] {
            assert_eq!((errors.wants(status), successes.wants(status)), (error, !error), "{status}");
            assert!(only(None).wants(status));
        }
    }
}

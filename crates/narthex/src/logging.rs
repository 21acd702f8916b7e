//! Where and how the host logs an app's requests.

use narthex_proto::wire::{self, LogFormat, LoggedResponses};

/// The access log of an app's requests, which the host writes; on an embedded listener there is none.
///
/// ```
/// use narthex::{Logging, Rollover};
///
/// let logging = Logging::w3c().site("shop").rollover(Rollover::Hourly);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging(wire::Logging);

/// When a log goes on in a new file. Also in one of its own: the size of [`Logging::max_size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rollover {
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
}

impl Logging {
    fn with(format: LogFormat) -> Self {
        Self(wire::Logging { format, ..wire::Logging::default() })
    }

    /// In the W3C extended format, with HTTP.sys's default fields.
    #[must_use]
    pub fn w3c() -> Self {
        Self::with(LogFormat::W3c)
    }

    /// In the NCSA combined format.
    #[must_use]
    pub fn ncsa() -> Self {
        Self::with(LogFormat::Ncsa)
    }

    /// One JSON object a line.
    #[must_use]
    pub fn json() -> Self {
        Self::with(LogFormat::Json)
    }

    /// Not at all, whatever the operator has set for all apps.
    #[must_use]
    pub fn off() -> Self {
        Self::with(LogFormat::Off)
    }

    /// The name of the folder below the host's log directory: letters, digits, `-`, `_` and `.`. Default: the
    /// [app's name](crate::Server::name).
    #[must_use]
    pub fn site(mut self, name: impl Into<String>) -> Self {
        self.0.site = Some(name.into());
        self
    }

    /// The fields of a line by their W3C names, such as `time` or `cs-uri-stem`. Ignored in the NCSA format, which has no choice.
    #[must_use]
    pub fn fields(mut self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        self.0.fields = names.into_iter().map(Into::into).collect();
        self
    }

    /// A new file begins with each period. Default: daily.
    #[must_use]
    pub fn rollover(mut self, rollover: Rollover) -> Self {
        self.0.rollover = match rollover {
            Rollover::Hourly => wire::Rollover::Hourly,
            Rollover::Daily => wire::Rollover::Daily,
            Rollover::Weekly => wire::Rollover::Weekly,
            Rollover::Monthly => wire::Rollover::Monthly,
        };
        self.0.max_size = None;
        self
    }

    /// A new file begins when one has this many bytes, and not with a period.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.0.rollover = wire::Rollover::Size;
        self.0.max_size = Some(bytes);
        self
    }

    /// Periods begin by local time. Default: by UTC.
    #[must_use]
    pub fn local_time(mut self, local: bool) -> Self {
        self.0.local_time = local;
        self
    }

    /// Only responses with status 400 and above. Default: all.
    #[must_use]
    pub fn only_errors(mut self) -> Self {
        self.0.only = Some(LoggedResponses::Errors);
        self
    }

    /// Only responses below status 400. Default: all.
    #[must_use]
    pub fn only_successes(mut self) -> Self {
        self.0.only = Some(LoggedResponses::Successes);
        self
    }

    /// As the host is told it.
    #[cfg(unix)]
    pub(crate) fn for_host(&self) -> wire::Logging {
        self.0.clone()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_in_a_new_file_by_size_or_by_period_whichever_was_said_last() {
        let by = |logging: Logging| (logging.for_host().rollover, logging.for_host().max_size);
        assert_eq!(by(Logging::w3c()), (wire::Rollover::Daily, None));
        assert_eq!(by(Logging::w3c().rollover(Rollover::Hourly).max_size(5)), (wire::Rollover::Size, Some(5)));
        assert_eq!(by(Logging::w3c().max_size(5).rollover(Rollover::Weekly)), (wire::Rollover::Weekly, None));
    }

    #[test]
    fn the_host_is_told_all_of_it() {
        let logging = Logging::json().site("shop").fields(["time", "sc-status"]).local_time(true).only_errors();
        let told = wire::Logging {
            site: Some("shop".to_owned()),
            format: LogFormat::Json,
            fields: vec!["time".to_owned(), "sc-status".to_owned()],
            local_time: true,
            only: Some(LoggedResponses::Errors),
            ..wire::Logging::default()
        };
        assert_eq!(logging.for_host(), told);
        assert_eq!(Logging::off().for_host().format, LogFormat::Off);
    }
}

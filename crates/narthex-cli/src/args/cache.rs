//! The response cache.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Asking, YesNo};

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteCache {
    /// The URL whose response is removed [default: everything is]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: Option<String>,
    /// Whether the responses below the URL are removed as well
    #[arg(
        long,
        value_name = "YES|NO",
        value_enum,
        ignore_case = true,
        hide_possible_values = true,
        default_value = "no",
        requires = "url"
    )]
    pub(crate) recursive: YesNo,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowCachestate {
    /// Only the responses to this URL and those below it
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, usage_error};
    use super::super::{Command, Delete, Show};
    use super::*;

    const URL: &str = "http://a:80/x?y=1&z=2";

    #[test]
    fn a_url_s_query_stays_whole() {
        let asking = Asking::default();
        let delete = DeleteCache { url: Some(URL.to_owned()), recursive: YesNo::Yes, asking: asking.clone() };
        all_mean(
            &[
                "narthex delete cache url=http://a:80/x?y=1&z=2 recursive=yes",
                "narthex delete cache --url http://a:80/x?y=1&z=2 --recursive Yes",
                "narthex delete cache --recursive=yes --url=http://a:80/x?y=1&z=2",
            ],
            Command::Delete(Delete::Cache(delete)),
        );
        let show = ShowCachestate { url: Some(URL.to_owned()), asking };
        all_mean(
            &["narthex show cachestate url=http://a:80/x?y=1&z=2", "narthex show cachestate --url http://a:80/x?y=1&z=2"],
            Command::Show(Show::Cachestate(show)),
        );
    }

    #[test]
    fn without_a_url_everything_is_meant() {
        let asking = Asking::default();
        let delete = DeleteCache { url: None, recursive: YesNo::No, asking: asking.clone() };
        all_mean(&["narthex delete cache"], Command::Delete(Delete::Cache(delete)));
        all_mean(&["narthex show cachestate"], Command::Show(Show::Cachestate(ShowCachestate { url: None, asking })));
        assert_eq!(usage_error("narthex delete cache recursive=yes"), ErrorKind::MissingRequiredArgument);
        // As a script's unset variable leaves it.
        assert_eq!(usage_error("narthex delete cache url="), ErrorKind::InvalidValue);
    }
}

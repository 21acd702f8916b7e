//! Parameters of the response cache.

use clap::{Args, ValueEnum};
use narthex_host::config::CacheParam;

use super::Asking;
use super::number::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheparamType {
    /// The longest response that is cached, in bytes
    #[value(name = "maxcacheresponsesize")]
    MaxCacheResponseSize,
    /// The longest part of a cached response that answers one range request, in bytes
    #[value(name = "cacherangechunksize")]
    CacheRangeChunkSize,
    /// What all cached responses may take, in bytes
    #[value(name = "maxcachesize")]
    MaxCacheSize,
    /// How often responses that nobody asked for are dropped, in seconds
    #[value(name = "scavengerperiod")]
    ScavengerPeriod,
}

impl From<CacheparamType> for CacheParam {
    fn from(typed: CacheparamType) -> Self {
        match typed {
            CacheparamType::MaxCacheResponseSize => Self::MaxCacheResponseSize,
            CacheparamType::CacheRangeChunkSize => Self::CacheRangeChunkSize,
            CacheparamType::MaxCacheSize => Self::MaxCacheSize,
            CacheparamType::ScavengerPeriod => Self::ScavengerPeriod,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct AddCacheparam {
    /// The parameter
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) kind: CacheparamType,
    /// Its value in the parameter's unit, decimal or 0x
    #[arg(long, value_name = "NUMBER", value_parser = number::<u64>)]
    pub(crate) value: u64,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteCacheparam {
    /// The parameter
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) kind: CacheparamType,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowCacheparam {
    /// Only this parameter
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) kind: Option<CacheparamType>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, usage_error};
    use super::super::{Add, Command, Delete, Show};
    use super::*;

    #[test]
    fn parameters_take_decimal_and_hexadecimal_numbers() {
        let asking = Asking::default();
        let add = AddCacheparam { kind: CacheparamType::MaxCacheResponseSize, value: 0x40000, asking: asking.clone() };
        all_mean(
            &[
                "narthex add cacheparam type=maxcacheresponsesize value=262144",
                "narthex add cacheparam Type=MaxCacheResponseSize value=0x40000",
                "narthex add cacheparam --type maxcacheresponsesize --value 0X40000",
            ],
            Command::Add(Add::Cacheparam(add)),
        );
        let kind = CacheparamType::ScavengerPeriod;
        let delete = DeleteCacheparam { kind, asking: asking.clone() };
        all_mean(
            &["narthex delete cacheparam type=scavengerperiod", "narthex delete cacheparam --type=scavengerperiod"],
            Command::Delete(Delete::Cacheparam(delete)),
        );
        let show = ShowCacheparam { kind: Some(kind), asking };
        all_mean(
            &["narthex show cacheparam type=scavengerperiod", "narthex show cacheparam --type scavengerperiod"],
            Command::Show(Show::Cacheparam(show)),
        );
        assert_eq!(usage_error("narthex add cacheparam type=maxcachesize value=10MB"), ErrorKind::ValueValidation);
        assert_eq!(usage_error("narthex add cacheparam type=maxcachesize"), ErrorKind::MissingRequiredArgument);
    }
}

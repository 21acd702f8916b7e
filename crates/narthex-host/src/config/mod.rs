//! What outlives the host's process: reservations, listen addresses, timers, cache parameters and settings, in one TOML file
//! that people read and edit.

pub(crate) mod accounts;
mod edit;
mod error;
mod file;
mod model;
mod parse;
mod settings;
mod spelling;
mod watch;

pub use error::ConfigError;
pub use file::{CONFIG_VARIABLE, default_logs, default_path};
pub use model::{CacheParam, Challenge, MachineTimer};
pub use settings::{SETTINGS, Setting};

pub(crate) use edit::{Edit, apply};
pub(crate) use file::{ConfigFile, HEADER};
pub(crate) use model::{AcmeSettings, Bound, Config, Reserved, Settings};
pub(crate) use parse::{Parsed, parse};
pub(crate) use watch::{PERIOD, Watch};

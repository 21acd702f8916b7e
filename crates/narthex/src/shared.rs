//! stub
use crate::bindings::Bindings;
use crate::call::App;
use crate::error::{Error, Result};
use crate::lifetime::Stop;
use crate::settings::Timeouts;
use narthex_proto::prefix::UrlPrefix;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub(crate) struct Host(PathBuf);
impl Host {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}
pub(crate) async fn find(_: Option<&Path>) -> Result<Host> {
    Err(Error::SharedUnavailable)
}
pub(crate) struct Shared {
    pub(crate) bindings: Bindings,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body: Option<Option<u64>>,
    pub(crate) workers: usize,
    pub(crate) shutdown_timeout: Duration,
}
impl Shared {
    pub(crate) async fn run<S: App>(self, _: S, _: Host, _: Stop, _: impl FnOnce(&[UrlPrefix])) -> Result<()> {
        Ok(())
    }
}

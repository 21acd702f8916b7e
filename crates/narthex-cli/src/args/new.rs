//! `narthex new`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use narthex_proto::prefix::UrlPrefix;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct NewArguments {
    /// The directory to make; its last part is the project's name
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// What the project serves at first
    #[arg(long, value_enum, default_value = "web")]
    pub(crate) template: Template,
    /// The UrlPrefix that it registers [default: http://+:8888/NAME/]
    #[arg(long, value_name = "URL")]
    pub(crate) prefix: Option<UrlPrefix>,
    /// Depend on the crate narthex in this directory, not on the published one of this release
    #[arg(long, value_name = "DIR")]
    pub(crate) narthex_path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// Pages with a form
    Web,
    /// A JSON API
    Api,
    /// A chat room over WebSockets
    Chat,
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn a_project_has_a_path_a_template_and_a_prefix() {
        let plain = NewArguments { path: "my-app".into(), template: Template::Web, prefix: None, narthex_path: None };
        all_mean(&["narthex new my-app", "narthex new --template web my-app"], Command::New(plain.clone()));
        let prefix = Some("http://+:80/shop/".parse().expect("it is a prefix"));
        let other = NewArguments { template: Template::Chat, prefix, narthex_path: Some("/n".into()), ..plain };
        all_mean(&["narthex new my-app --template chat --prefix http://+:80/shop/ --narthex-path /n"], Command::New(other));
        usage_error("narthex new");
        usage_error("narthex new my-app --template desktop");
        usage_error("narthex new my-app --prefix http://+/shop");
        usage_error("narthex new my-app --prefix ftp://+:80/shop/");
    }
}

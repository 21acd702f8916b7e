//! What is in a project. The templates are whole projects as they stand, called `my-app`, and only names are replaced.

use std::path::PathBuf;

use narthex_proto::prefix::UrlPrefix;

use super::name::ProjectName;
use crate::args::Template;

/// What makes a project of a template.
pub(super) struct Values {
    pub(super) name: ProjectName,
    pub(super) prefix: UrlPrefix,
    /// Where a browser on this machine finds it.
    pub(super) url: String,
    /// The crate's directory, if it is not the published one.
    pub(super) narthex: Option<PathBuf>,
}

type File = (&'static str, &'static str);

macro_rules! file {
    ($path:literal from $source:literal) => {
        ($path, include_str!(concat!("../../templates/", $source)))
    };
}

const SHARED: &[File] = &[file!(".gitignore" from "shared/gitignore"), file!("src/main.rs" from "shared/main.rs")];
const WEB: &[File] = &[
    file!("Cargo.toml" from "web/Cargo.toml.in"),
    file!("README.md" from "web/README.md"),
    file!("src/lib.rs" from "web/src/lib.rs"),
    file!("src/page.html" from "web/src/page.html"),
    file!("src/style.css" from "web/src/style.css"),
    file!("tests/app.rs" from "web/tests/app.rs"),
];
const API: &[File] = &[
    file!("Cargo.toml" from "api/Cargo.toml.in"),
    file!("README.md" from "api/README.md"),
    file!("src/lib.rs" from "api/src/lib.rs"),
    file!("tests/app.rs" from "api/tests/app.rs"),
];
const CHAT: &[File] = &[
    file!("Cargo.toml" from "chat/Cargo.toml.in"),
    file!("README.md" from "chat/README.md"),
    file!("src/lib.rs" from "chat/src/lib.rs"),
    file!("src/page.html" from "chat/src/page.html"),
    file!("tests/app.rs" from "chat/tests/app.rs"),
];

/// The files of a project: where, and what is in them.
pub(super) fn files(template: Template, values: &Values) -> Vec<(&'static str, String)> {
    let own = match template {
        Template::Web => WEB,
        Template::Api => API,
        Template::Chat => CHAT,
    };
    SHARED.iter().chain(own).map(|(path, text)| (*path, filled(text, values))).collect()
}

fn filled(text: &str, values: &Values) -> String {
    // The longer ones first: they have the shorter ones in them.
    text.replace("\"http://+:8888/my-app/\"", &format!("{:?}", values.prefix.as_str()))
        .replace("http://localhost:8888/my-app/", &values.url)
        .replace("narthex = \"0.0.0\"", &dependency(values.narthex.as_ref()))
        .replace("my_app", &values.name.of_crate())
        .replace("my-app", &values.name.to_string())
}

fn dependency(path: Option<&PathBuf>) -> String {
    match path {
        None => concat!("narthex = \"", env!("CARGO_PKG_VERSION"), "\"").to_owned(),
        // A literal string of TOML has no escapes, and a path seldom has a quote.
        Some(path) if !path.to_string_lossy().contains('\'') => format!("narthex = {{ path = '{}' }}", path.display()),
        Some(path) => format!("narthex = {{ path = {:?} }}", path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(template: Template, narthex: Option<PathBuf>) -> Vec<(&'static str, String)> {
        let prefix: UrlPrefix = "http://+:80/sh\u{f6}p/".parse().unwrap();
        let name = ProjectName::of("the-shop".as_ref()).unwrap();
        files(template, &Values { name, prefix, url: "http://localhost:80/sh\u{f6}p/".to_owned(), narthex })
    }

    #[test]
    fn nothing_of_the_templates_names_is_left() {
        for template in [Template::Web, Template::Api, Template::Chat] {
            let files = project(template, None);
            for (path, text) in &files {
                for left in ["my-app", "my_app", "0.0.0", ":8888", "the_shop/", "\r"] {
                    assert!(!text.contains(left), "{left:?} is in {path}");
                }
            }
            let of = |wanted: &str| &files.iter().find(|(path, _)| *path == wanted).expect(wanted).1;
            assert!(of("src/main.rs").contains("unwrap_or_else(|| \"http://+:80/sh\u{f6}p/\".to_owned())"));
            assert!(of("src/main.rs").contains("the_shop::app()"));
            assert!(of("README.md").contains("cargo run                                # http://localhost:80/sh\u{f6}p/"));
            assert!(of("Cargo.toml").contains(concat!("\nnarthex = \"", env!("CARGO_PKG_VERSION"), "\"\n")));
        }
    }

    #[test]
    fn a_path_is_what_cargo_reads_as_that_path() {
        for (path, line) in [
            ("/src/narthex", "narthex = { path = '/src/narthex' }"),
            (r"C:\src\narthex", r"narthex = { path = 'C:\src\narthex' }"),
            ("/it's/narthex", "narthex = { path = \"/it's/narthex\" }"),
        ] {
            let files = project(Template::Web, Some(path.into()));
            assert!(files.iter().any(|(_, text)| text.lines().any(|found| found == line)), "{line}");
        }
    }
}

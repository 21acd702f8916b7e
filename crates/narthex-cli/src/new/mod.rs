//! `narthex new`: a project that builds, runs and has tests that pass.

mod name;
mod template;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use narthex_proto::prefix::UrlPrefix;

use crate::args::NewArguments;
use crate::output::print;
use name::ProjectName;
use template::Values;

/// Makes the project, all of it or nothing, and says what comes next.
pub(crate) fn run(arguments: &NewArguments) -> anyhow::Result<()> {
    let NewArguments { path, template, prefix, narthex_path } = arguments;
    let name = ProjectName::of(path)?;
    let prefix = match prefix {
        Some(prefix) => prefix.clone(),
        None => format!("http://+:8888/{name}/").parse().context("the name makes no prefix")?,
    };
    let values = Values { narthex: narthex_path.as_deref().map(crate_directory).transpose()?, url: local(&prefix), name, prefix };
    create(path, &template::files(*template, &values))?;
    let Values { url, .. } = values;
    print(&format!("made {}. Next:\n\n  cd {}\n  cargo run\n\nand open {url}", path.display(), path.display()));
    Ok(())
}

/// Where the crate `narthex` is, for a `Cargo.toml` that is elsewhere.
fn crate_directory(path: &Path) -> anyhow::Result<PathBuf> {
    let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap_or_default();
    if !manifest.lines().any(|line| line.trim() == "name = \"narthex\"") {
        bail!("there is no crate narthex in {}: give the directory that has its Cargo.toml", path.display());
    }
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// What a browser on this machine would ask for.
fn local(prefix: &UrlPrefix) -> String {
    prefix.as_str().replacen("://+:", "://localhost:", 1).replacen("://*:", "://localhost:", 1)
}

fn create(path: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make the directory {}", parent.display()))?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("cannot make {}: it exists already; take another name, or remove it first", path.display())
        }
        made => made.with_context(|| format!("cannot make the directory {}", path.display()))?,
    }
    let written = files.iter().try_for_each(|(name, text)| write(&path.join(name), text));
    if written.is_err() {
        // It is this command's, and half of a project is none.
        let _ = fs::remove_dir_all(path);
    }
    written
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().map_or(Ok(()), fs::create_dir_all);
    directory.and_then(|()| fs::write(path, text)).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Template;

    fn asked(path: &Path) -> NewArguments {
        NewArguments { path: path.to_owned(), template: Template::Web, prefix: None, narthex_path: None }
    }

    #[test]
    fn what_is_there_already_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("my-app");
        fs::write(&path, "mine").unwrap();
        let error = run(&asked(&path)).unwrap_err().to_string();
        assert!(error.contains("my-app: it exists already; take another name"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn directories_on_the_way_are_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/shop");
        run(&asked(&path)).unwrap();
        for file in ["Cargo.toml", ".gitignore", "README.md", "src/main.rs", "src/lib.rs", "tests/app.rs"] {
            assert!(path.join(file).is_file(), "{file}");
        }
        assert!(fs::read_to_string(path.join("src/main.rs")).unwrap().contains("\"http://+:8888/shop/\""));
    }

    #[test]
    fn a_directory_without_the_crate_is_not_depended_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("my-app");
        let wrong = NewArguments { narthex_path: Some(directory.path().to_owned()), ..asked(&path) };
        let error = run(&wrong).unwrap_err().to_string();
        assert!(error.starts_with("there is no crate narthex in "), "{error}");
        assert!(!path.exists());
        let right = concat!(env!("CARGO_MANIFEST_DIR"), "/../narthex");
        run(&NewArguments { narthex_path: Some(right.into()), ..asked(&path) }).unwrap();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        let (_, named) = manifest.split_once("narthex = { path = '").unwrap();
        assert!(Path::new(named.split('\'').next().unwrap()).is_absolute(), "{named}");
    }

    #[test]
    fn a_page_is_opened_on_this_machine() {
        for (prefix, url) in [
            ("http://+:80/shop/", "http://localhost:80/shop/"),
            ("https://*:443/", "https://localhost:443/"),
            ("http://example.com:80/a+b/", "http://example.com:80/a+b/"),
        ] {
            assert_eq!(local(&prefix.parse().unwrap()), url);
        }
    }
}

//! The guest's kernel: that of Debian's package for virtual machines, kept below `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::succeed;
use crate::system;

/// Depends on the package of the newest kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

const FILE: &str = "vmlinuz-";

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) version: String,
}

impl Kernel {
    /// The one that is there, or a new one.
    pub(super) fn ensure() -> Result<Self> {
        if let Some(kernel) = Self::downloaded() {
            return Ok(kernel);
        }
        for program in ["apt-get", "apt-cache", "dpkg"] {
            if system::find(program).is_none() {
                bail!("--emulated takes its kernel from Debian's package {PACKAGE}, and here is no `{program}`");
            }
        }
        download().with_context(|| format!("cannot get the kernel of Debian's package {PACKAGE}"))?;
        Self::downloaded().with_context(|| format!("Debian's package {PACKAGE} led to no kernel"))
    }

    pub(super) fn downloaded() -> Option<Self> {
        image_in(&directory()).map(|(image, version)| Self { image, version })
    }
}

fn directory() -> PathBuf {
    system::target_directory().join("bench-kernel")
}

fn image_in(directory: &Path) -> Option<(PathBuf, String)> {
    let entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    entries.filter_map(|entry| Some((entry.path(), entry.file_name().to_str()?.strip_prefix(FILE)?.to_owned()))).max()
}

fn download() -> Result<()> {
    println!("downloading a kernel for the emulated machine");
    let directory = directory();
    fs::create_dir_all(&directory)?;
    let place = tempfile::tempdir_in(&directory)?;
    let package = match newest() {
        Ok(package) => package,
        // The package lists of a fresh image are empty.
        Err(_) => {
            succeed(Command::new("apt-get").arg("update"))?;
            newest()?
        }
    };
    succeed(Command::new("apt-get").args(["download", &package]).current_dir(&place))?;
    let archive = fs::read_dir(&place)?.next().context("apt-get downloaded nothing")??.path();
    succeed(Command::new("dpkg").arg("-x").arg(archive).arg(place.path()))?;
    let (image, version) = image_in(&place.path().join("boot")).with_context(|| format!("{package} has no /boot/{FILE}*"))?;
    fs::rename(image, directory.join(format!("{FILE}{version}")))?;
    Ok(())
}

fn newest() -> Result<String> {
    let list = succeed(Command::new("apt-cache").args(["depends", "--important", PACKAGE]))?;
    dependency(&list).with_context(|| format!("{PACKAGE} depends on no kernel"))
}

/// `  Depends: linux-image-6.1.0-9-cloud-amd64`.
fn dependency(list: &str) -> Option<String> {
    let dependencies = list.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    dependencies.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_the_kernel_is_what_the_other_depends_on() {
        let list = "linux-image-cloud-amd64\n  Depends: linux-base\n  Depends: linux-image-6.1.0-9-cloud-amd64\n";
        assert_eq!(dependency(list).as_deref(), Some("linux-image-6.1.0-9-cloud-amd64"));
        assert_eq!(dependency("linux-image-cloud-amd64\n"), None);
    }

    #[test]
    fn a_kernel_is_recognised_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        assert!(image_in(directory.path()).is_none());
        for name in ["System.map-6.1.0", "vmlinuz-6.1.0"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(image_in(directory.path()).unwrap(), (directory.path().join("vmlinuz-6.1.0"), "6.1.0".to_owned()));
    }
}

//! `cargo xtask package`: the Debian package, by `cargo deb`, and a look at what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::system::{cargo, ensure, find, root, target_directory};

const USAGE: &str = "\
usage: cargo xtask package [--profile PROFILE]

Builds `narthex`, its man pages and completions, and packs them with units and maintainer scripts into target/debian.
--profile: cargo's, `release` unless said. `dev` packs in a moment what was built for tests, and is not for shipping.
";

/// What a package without which would not do.
const CONTENTS: [&str; 11] = [
    "./usr/bin/narthex",
    "./usr/lib/systemd/system/narthex.service",
    "./usr/lib/systemd/system/narthex.socket",
    "./usr/lib/systemd/user/narthex.service",
    "./usr/lib/sysusers.d/narthex.conf",
    "./usr/lib/tmpfiles.d/narthex.conf",
    "./usr/share/narthex/narthex.toml",
    "./usr/share/man/man1/narthex.1.gz",
    "./usr/share/man/man1/narthex-host-install.1.gz",
    "./usr/share/bash-completion/completions/narthex",
    "./usr/share/doc/narthex/copyright",
];

/// Makes the package.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let profile = match arguments {
        [] => "release",
        [option, profile] if option == "--profile" => profile,
        [help] if help == "help" => {
            print!("{USAGE}");
            return Ok(());
        }
        _ => return Err(format!("cannot understand {arguments:?}\n{USAGE}")),
    };
    let dpkg = ensure("dpkg-deb", "dpkg")?;
    let deb = cargo_deb()?;
    done("build", cargo().args(["build", "--package", "narthex-cli", "--profile", profile]))?;
    let program = target_directory().join(if profile == "dev" { "debug" } else { profile }).join("narthex");
    write_documents(&program)?;
    let out = target_directory().join("debian");
    let mut packing = Command::new(deb);
    packing.current_dir(root()).args(["deb", "--package", "narthex-cli", "--no-build", "--profile", profile]);
    if profile == "dev" {
        // Separate symbols take longer than all else.
        packing.arg("--no-separate-debug-symbols");
    }
    done("pack", packing.arg("--output").arg(&out))?;
    let package = newest(&out)?;
    look(&dpkg, &package)?;
    println!("\nxtask: {} is made; sudo apt install {0} installs it", package.display());
    Ok(())
}

/// Man pages and completions, from the program itself.
fn write_documents(program: &Path) -> Result<(), String> {
    let package = target_directory().join("package");
    // Pages of verbs that are no more would be packed too.
    let _ = fs::remove_dir_all(&package);
    done("man pages", Command::new(program).args(["man", "--out"]).arg(package.join("man")))?;
    let completions = package.join("completions");
    fs::create_dir_all(&completions).map_err(|error| format!("{}: {error}", completions.display()))?;
    for (shell, name) in [("bash", "narthex.bash"), ("zsh", "_narthex"), ("fish", "narthex.fish")] {
        let said = Command::new(program).args(["completions", shell]).stdin(Stdio::null()).output();
        let said = said.map_err(|error| format!("{}: {error}", program.display()))?;
        fs::write(completions.join(name), said.stdout).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// cargo-deb, which is built on the first use.
fn cargo_deb() -> Result<PathBuf, String> {
    let tools = target_directory().join("tools");
    let program = tools.join("bin/cargo-deb");
    if let Some(installed) = find("cargo-deb") {
        return Ok(installed);
    }
    if !program.is_file() {
        let mut install = cargo();
        install.args(["install", "cargo-deb", "--locked", "--quiet", "--no-default-features", "--root"]).arg(&tools);
        done("cargo-deb", install.arg("--target-dir").arg(tools.join("build")))?;
    }
    Ok(program)
}

fn newest(directory: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let packages =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|suffix| suffix == "deb"));
    let made = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    packages.max_by_key(made).ok_or_else(|| format!("{} has no package", directory.display()))
}

/// Fails if something is missing, or belongs to somebody but root.
fn look(dpkg: &Path, package: &Path) -> Result<(), String> {
    let listed = Command::new(dpkg).arg("--contents").arg(package).stdin(Stdio::null()).output();
    let listed = listed.map_err(|error| format!("dpkg-deb: {error}"))?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    print!("{text}");
    for wanted in CONTENTS {
        if !text.lines().any(|line| line.ends_with(&format!(" {wanted}"))) {
            return Err(format!("{} has no {wanted}", package.display()));
        }
    }
    match text.lines().find(|line| !line.contains(" root/root ") && !line.contains(" 0/0 ")) {
        Some(line) => Err(format!("{}: {line} is not root's", package.display())),
        None => Ok(()),
    }
}

fn done(what: &str, command: &mut Command) -> Result<(), String> {
    println!("==> {what}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{what}: {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what}: {command:?} ended with {status}")) }
}

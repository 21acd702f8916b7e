//! The guest's files: those of the host that one subject takes, at the same paths, in an archive that the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{environment, succeed};
use crate::bench::subjects::VECTOR_LOOPS;
use crate::system;

/// What starting processes takes besides; `id` is for nginx.
const PROGRAMS: [&str; 3] = ["setpriv", "taskset", "id"];

/// Of these, whichever exist.
const SETTINGS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ssl/openssl.cnf"];

const DIRECTORIES: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var/tmp"];

/// This very program.
const XTASK: &str = "/xtask";

/// Writes an archive with `programs` and all that they need, which asks xtask for `request` and ends.
pub(super) fn write(archive: &Path, programs: &[PathBuf], request: &[&str]) -> Result<()> {
    let stage = archive.with_extension("root");
    for directory in DIRECTORIES {
        fs::create_dir_all(stage.join(directory))?;
    }
    let busybox = system::find("busybox").context("busybox is missing")?;
    // By its number, so that it is the same for `ldd`; and by no name, which a build may give to another file meanwhile.
    let xtask = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    let mut files: BTreeSet<PathBuf> = programs.iter().cloned().collect();
    for program in PROGRAMS {
        files.insert(system::find(program).with_context(|| format!("`{program}` is missing"))?);
    }
    let mut libraries = BTreeSet::new();
    for program in files.iter().chain([&busybox, &xtask]) {
        libraries.extend(libraries_of(program)?);
    }
    files.extend(libraries);
    files.extend(SETTINGS.map(PathBuf::from).into_iter().filter(|file| file.is_file()));
    for file in &files {
        copy(file, &stage, file)?;
    }
    copy(&busybox, &stage, Path::new("/bin/busybox"))?;
    copy(&xtask, &stage, Path::new(XTASK))?;
    let init = stage.join("init");
    fs::write(&init, script(&environment(), request))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    pack(&stage, archive)
}

/// Links are followed, so that the guest needs none of the host's.
fn copy(from: &Path, stage: &Path, path: &Path) -> Result<()> {
    let to = stage.join(path.strip_prefix("/")?);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, &to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    // It fails for programs that need none, and says so.
    let output = Command::new("ldd").arg(program).output().context("cannot start ldd")?;
    Ok(libraries(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines of `NAME => PATH (ADDRESS)`; for the loader `PATH (ADDRESS)`, and what the kernel provides has no path.
fn libraries(list: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (named, _) = line.rsplit_once(" (")?;
        let path = named.rsplit(" => ").next()?.trim();
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    list.lines().filter_map(path).collect()
}

/// What the kernel starts.
fn script(environment: &[(&str, impl AsRef<OsStr>)], request: &[&str]) -> String {
    let mut script = String::from(
        "#!/bin/busybox sh\n\
         busybox=/bin/busybox\n\
         $busybox mount -t proc proc /proc\n\
         $busybox mount -t sysfs sys /sys\n\
         $busybox mount -t devtmpfs dev /dev\n\
         $busybox mount -t debugfs debug /sys/kernel/debug\n\
         # A server that is woken waits until its client does: it has as much to do as on a core of its own.\n\
         echo NO_WAKEUP_PREEMPTION >/sys/kernel/debug/sched/features\n\
         $busybox ifconfig lo 127.0.0.1 up\n\
         ulimit -n 262144\n",
    );
    let tunables = [("GLIBC_TUNABLES", OsStr::new(VECTOR_LOOPS)), ("RUST_BACKTRACE", OsStr::new("0"))];
    let variables = environment.iter().map(|(name, value)| (*name, value.as_ref())).chain(tunables);
    for (name, value) in variables {
        script.push_str(&format!("export {name}={}\n", quoted(&value.to_string_lossy())));
    }
    let words: Vec<String> = request.iter().map(|word| quoted(word)).collect();
    script.push_str(&format!("{XTASK} {}\n$busybox poweroff -f\n", words.join(" ")));
    script
}

/// One word of a shell's command.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn pack(directory: &Path, archive: &Path) -> Result<()> {
    let command = "find . -print0 | LC_ALL=C sort -z | cpio --null --quiet --create --format=newc --reproducible --file=\"$0\"";
    succeed(Command::new("sh").args(["-c", command]).arg(archive).current_dir(directory)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_program_are_those_with_a_path() {
        let list = "\tlinux-vdso.so.1 (0x00007f42aac3d000)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f42aa61e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f42aac3f000)\n\tlibgone.so.1 => not found\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(list), expected.map(PathBuf::from));
        assert_eq!(libraries("\tnot a dynamic executable\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_script_passes_a_request_word_by_word() {
        let script = script(&[("PATH", "/bin:/it's here")], &["bench", "--only", "narthex embedded (hub)"]);
        assert!(script.contains("\nexport PATH='/bin:/it'\\''s here'\n"), "{script}");
        assert!(script.contains("\n/xtask 'bench' '--only' 'narthex embedded (hub)'\n"), "{script}");
        assert!(script.ends_with("\n$busybox poweroff -f\n"), "{script}");
    }

    #[test]
    fn a_file_is_at_the_same_path_below_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        let stage = directory.path().join("stage");
        copy(&file, &stage, &file).unwrap();
        assert_eq!(fs::read_to_string(stage.join(file.strip_prefix("/").unwrap())).unwrap(), "x");
    }
}

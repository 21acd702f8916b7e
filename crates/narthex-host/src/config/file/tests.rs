use std::process::{Command, Stdio};

use super::*;

/// Names the file to a child that edits it until it is killed.
const VICTIM: &str = "NARTHEX_TEST_VICTIM";

fn appended(file: &ConfigFile, line: &str) {
    file.edit(|old| Ok::<_, ConfigError>((old.unwrap_or_default() + line, ()))).unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_file_is_where_the_variables_or_the_user_say() {
    for (root, variables, path) in [
        (true, &[][..], "/etc/narthex/narthex.toml"),
        (true, &[("NARTHEX_CONFIG", "/x.toml")], "/x.toml"),
        (true, &[("NARTHEX_CONFIG", ""), ("HOME", "/root")], "/etc/narthex/narthex.toml"),
        (false, &[("HOME", "/home/ann")], "/home/ann/.config/narthex/narthex.toml"),
        (false, &[("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "/cfg")], "/cfg/narthex/narthex.toml"),
        (false, &[("HOME", "/home/ann"), ("XDG_CONFIG_HOME", "cfg")], "/home/ann/.config/narthex/narthex.toml"),
        (false, &[("HOME", "/home/ann"), ("NARTHEX_CONFIG", "/x.toml")], "/x.toml"),
        (false, &[("CONFIGURATION_DIRECTORY", "/etc/narthex:/etc/more")], "/etc/narthex/narthex.toml"),
        (false, &[("CONFIGURATION_DIRECTORY", "/etc/narthex"), ("NARTHEX_CONFIG", "/x.toml")], "/x.toml"),
    ] {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        assert_eq!(path_for(root, variable), Path::new(path), "{variables:?}");
    }
}

#[test]
fn a_missing_file_has_no_text_and_is_made_with_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(directory.path().join("etc/narthex/narthex.toml"));
    assert_eq!(file.read().unwrap(), None);
    appended(&file, "# one\n");
    assert_eq!(file.read().unwrap().as_deref(), Some("# one\n"));
    assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(names(file.path().parent().unwrap()), ["narthex.toml"]);
}

#[test]
fn an_edit_keeps_mode_owner_and_link() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real.toml");
    fs::write(&real, "").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&real, Some(12_345), Some(54_321)).unwrap();
    } else {
        eprintln!("not root: only the mode is checked, not the owner");
    }
    let before = fs::metadata(&real).unwrap();
    let link = directory.path().join("narthex.toml");
    std::os::unix::fs::symlink("real.toml", &link).unwrap();
    appended(&ConfigFile::new(link.clone()), "# new\n");
    let after = fs::metadata(&real).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("real.toml"));
    assert_eq!(fs::read_to_string(&real).unwrap(), "# new\n");
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
}

#[test]
fn a_refused_edit_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(directory.path().join("narthex.toml"));
    appended(&file, "# one\n");
    let before = file.stamp();
    let refused = file.edit(|_| Err::<(String, ()), _>(ConfigError::at("", None, "no")));
    assert!(refused.is_err());
    appended(&file, "");
    assert_eq!(file.stamp(), before);
}

#[test]
fn text_that_is_not_utf8_has_a_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(directory.path().join("narthex.toml"));
    fs::write(file.path(), b"# one\n# tw\xff\n").unwrap();
    let error = file.read().unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(2), Some(5)), "{error}");
    assert!(error.to_string().contains("narthex.toml:2:5"), "{error}");
}

#[test]
fn no_writer_loses_what_another_writes() {
    let directory = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(directory.path().join("narthex.toml"));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let file = file.clone();
            scope.spawn(move || (0..25).for_each(|line| appended(&file, &format!("# {writer} {line}\n"))));
        }
    });
    let text = file.read().unwrap().unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 100);
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 100);
}

/// What a child of the next test does, and nothing by itself.
#[test]
fn the_writer_that_is_killed() {
    let Some(path) = env::var_os(VICTIM) else { return };
    let file = ConfigFile::new(path.into());
    for number in u64::from(std::process::id()) * 1000.. {
        file.edit(|_| Ok::<_, ConfigError>((whole(number), ()))).unwrap();
    }
}

/// A text of its own length for each number; half of it is not one.
fn whole(number: u64) -> String {
    let filler = "# filler\n".repeat(usize::try_from(number % 97).unwrap() * 40);
    format!("{filler}[timeouts]\nheaderwaittimeout = {}\n# end\n", number % 60_000 + 1)
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_file_and_no_litter() {
    let directory = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(directory.path().join("narthex.toml"));
    file.edit(|_| Ok::<_, ConfigError>((whole(0), ()))).unwrap();
    let mut states = std::collections::HashSet::new();
    let mut seed = u64::from(std::process::id());
    for _ in 0..40 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "config::file::tests::the_writer_that_is_killed"])
            .env(VICTIM, file.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let before = file.stamp();
        while file.stamp() == before {
            assert!(child.try_wait().unwrap().is_none(), "the child has ended by itself");
            std::thread::yield_now();
        }
        // Anywhere in the microseconds that an edit takes.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((seed >> 33) % 5_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let text = file.read().unwrap().unwrap();
        super::super::parse(&text).unwrap();
        assert!(text.ends_with("# end\n"), "half a file: {text:?}");
        states.insert(text);
        assert!(names(directory.path()).len() <= 2, "temporary files pile up: {:?}", names(directory.path()));
    }
    assert!(states.len() > 10, "the children hardly wrote anything");
    let opened = ConfigFile::new(file.path().to_owned());
    assert_eq!(names(directory.path()), ["narthex.toml"]);
    appended(&opened, "# more\n");
}

#[test]
#[cfg(not(target_vendor = "apple"))]
fn a_pipe_is_neither_waited_for_nor_replaced() {
    use rustix::fs::{FileType, Mode, mknodat};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("narthex.toml");
    mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let file = ConfigFile::new(path.clone());
    assert!(file.read().unwrap_err().to_string().contains("this is no file"));
    assert!(file.edit(|_| Ok::<_, ConfigError>((String::new(), ()))).is_err());
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
}

#[test]
fn a_device_has_settings_like_a_file_but_is_not_replaced_by_one() {
    let file = ConfigFile::new("/dev/null".into());
    assert_eq!(file.read().unwrap().as_deref(), Some(""));
    let edited = file.edit(|_| -> Result<(String, ()), ConfigError> { panic!("/dev/null is about to be replaced") });
    assert!(edited.unwrap_err().to_string().contains("this is no file"));
}

#[test]
fn a_file_that_nobody_has_named_is_not_taken_from_a_stranger() {
    /// A number that is nobody's, and that containers have too.
    const STRANGER: u32 = 65_533;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("narthex.toml");
    fs::write(&path, "# theirs").unwrap();
    assert!(ConfigFile::own(path.clone()).read().is_ok());
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: the rest needs a file of another user");
        return;
    }
    std::os::unix::fs::chown(&path, Some(STRANGER), None).unwrap();
    let own = ConfigFile::own(path.clone());
    assert!(own.read().unwrap_err().to_string().contains("this belongs to"));
    assert!(own.edit(|_| Ok::<_, ConfigError>((String::new(), ()))).is_err());
    assert!(ConfigFile::new(path.clone()).read().is_ok(), "it was named");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(directory.path().join("made"), &path).unwrap();
    std::os::unix::fs::lchown(&path, Some(STRANGER), None).unwrap();
    assert!(own.edit(|_| Ok::<_, ConfigError>((String::new(), ()))).is_err());
    assert!(!directory.path().join("made").exists());
}

//! Completions and man pages.

use std::path::Path;

use crate::verbs::fake_host::{narthex, stderr, stdout};

/// Every verb of the command line. One that is added without being listed here fails the test below.
const VERBS: &[&str] = &[
    "add",
    "add cacheparam",
    "add iplisten",
    "add setting",
    "add sslcert",
    "add timeout",
    "add urlacl",
    "completions",
    "delete",
    "delete cache",
    "delete cacheparam",
    "delete iplisten",
    "delete session",
    "delete setting",
    "delete sslcert",
    "delete timeout",
    "delete urlacl",
    "demo",
    "doctor",
    "dump",
    "explain",
    "flush",
    "flush logbuffer",
    "forward",
    "host",
    "host install",
    "host start",
    "host status",
    "host stop",
    "host uninstall",
    "man",
    "new",
    "reload",
    "restart",
    "run",
    "show",
    "show cacheparam",
    "show cachestate",
    "show iplisten",
    "show servicestate",
    "show setting",
    "show sslcert",
    "show timeout",
    "show urlacl",
    "top",
    "update",
    "update queue",
    "update sslcert",
];

fn run(arguments: &[&str]) -> String {
    let output = narthex(Path::new("/nowhere"), arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn every_verb_has_a_man_page_and_there_are_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("share/man1");
    run(&["man", "--out", out.to_str().unwrap()]);
    let mut pages: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    let mut wanted: Vec<_> = VERBS.iter().map(|verb| format!("narthex-{}.1", verb.replace(' ', "-"))).collect();
    wanted.push("narthex.1".to_owned());
    wanted.sort();
    assert_eq!(pages, wanted);
    for page in pages {
        let text = std::fs::read_to_string(out.join(&page)).unwrap();
        let name = page.strip_suffix(".1").unwrap();
        assert!(text.contains(&format!(".TH {name} 1")) && text.contains(".SH SYNOPSIS"), "{text}");
    }
    let whole = std::fs::read_to_string(out.join("narthex.1")).unwrap();
    assert!(whole.contains("no host answers") && !whole.contains("demo\\-app"), "{whole}");
    assert_eq!(run(&["man"]), whole);
}

#[test]
fn every_shell_completes_every_verb_and_its_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        for word in VERBS.iter().flat_map(|verb| verb.split(' ')).chain(["timeouttype", "ipaddress", "delegate"]) {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        assert!(!script.contains("demo-app"), "{shell}");
    }
}

#[test]
fn bash_understands_its_completions() {
    let Ok(mut bash) = std::process::Command::new("bash").arg("-n").stdin(std::process::Stdio::piped()).spawn() else {
        return;
    };
    let script = run(&["completions", "bash"]);
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn man_pages_that_cannot_be_written_are_told_with_their_place() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = narthex(Path::new("/nowhere"), &["man", "--out", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(file.path().to_str().unwrap()), "{}", stderr(&output));
}

//! Exit codes, and what is told on standard error.

use std::path::Path;

use narthex_host::admin::Answer;

use crate::verbs::fake_host::{FakeHost, Says, narthex, stderr, stdout};

const REFUSAL: &str = "cannot reserve http://+:80/shop/: user \"web\" may not: ask root to run `narthex add urlacl`";

#[test]
fn what_the_host_refuses_is_1_and_its_sentence_is_told() {
    let host = FakeHost::that(Says::Refused(REFUSAL));
    for line in
        ["add urlacl url=http://+:80/shop/ everyone=yes", "show urlacl", "dump", "explain http://a/", "reload", "show sslcert"]
    {
        let output = host.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(stderr(&output), format!("narthex: {REFUSAL}\n"), "{line}");
        assert_eq!(stdout(&output), "", "{line}");
    }
}

#[test]
fn an_answer_to_another_question_is_1() {
    let host = FakeHost::that_answers(Answer::Addresses(Vec::new()));
    for line in ["add urlacl url=http://+:80/ everyone=yes", "show urlacl", "show timeout", "show cachestate", "dump", "reload"] {
        let output = host.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(stderr(&output).contains("another version"), "{line}: {}", stderr(&output));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_2_and_asks_nobody() {
    let host = FakeHost::that_answers(Answer::Done(String::new()));
    for line in ["add urlacl url=http://+:80/", "add urlacl ulr=x", "show nothing", "add timeout value=1", "nonsense", "show"] {
        let output = host.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(stderr(&output).contains("Usage: narthex"), "{line}: {}", stderr(&output));
    }
    assert_eq!(host.asked(), []);
}

#[test]
fn without_a_host_it_is_3_and_the_command_that_starts_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none.sock");
    for line in ["show urlacl", "show servicestate", "add iplisten ipaddress=::1", "dump", "explain http://a/", "flush logbuffer"]
    {
        let output = narthex(&socket, &line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(3), "{line}");
        let said = stderr(&output);
        assert!(said.contains("`narthex host`") && said.contains(&*socket.to_string_lossy()), "{line}: {said}");
        // --socket wins over the variable.
        let named = narthex(Path::new("/nowhere"), &[&line.split(' ').collect::<Vec<_>>()[..], &["--socket", "/s"]].concat());
        assert!(stderr(&named).contains("answers at /s:"), "{line}: {}", stderr(&named));
    }
}

#[test]
fn what_netsh_knows_of_tls_and_this_does_not_is_told_with_what_to_type_instead() {
    let nowhere = Path::new("/nowhere");
    let output = narthex(nowhere, &["add", "sslcert", "ipport=0.0.0.0:443", "certhash=00", "appid={0}"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("certhash") && stderr(&output).contains("certfile= and keyfile="), "{}", stderr(&output));
    let output = narthex(nowhere, &["update", "sslpropertyex", "ipport=0.0.0.0:443", "propertyid=0", "receivewindow=1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("settingtype=http2_initial_window"), "{}", stderr(&output));
}

#[test]
fn help_lists_the_exit_codes() {
    for flag in ["-h", "--help"] {
        let help = narthex(Path::new("/nowhere"), &[flag]);
        assert!(stdout(&help).contains("3  no host answers"), "{}", stdout(&help));
    }
}

#[test]
fn what_the_host_says_does_not_move_the_cursor() {
    let host = FakeHost::that(Says::Refused("no\u{1b}[2J\u{202e}way\r"));
    assert_eq!(stderr(&host.run(&["reload"])), "narthex: no\u{fffd}[2J\u{fffd}way\u{fffd}\n");
    let host = FakeHost::that_answers(Answer::Done("done\u{9b}2J\nand\r more\n".to_owned()));
    assert_eq!(stdout(&host.run(&["reload"])), "done\u{fffd}2J\nand\u{fffd} more\n");
    assert_eq!(stdout(&host.run(&["reload", "--json"])), "{\n  \"done\": \"done\\u009b2J\\nand\\r more\\n\"\n}\n");
}

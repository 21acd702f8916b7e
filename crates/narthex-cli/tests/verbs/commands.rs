//! Verbs that change something: what the host is asked, and what is said of it.

use std::process::Command;

use narthex_host::admin::{Answer, BindingKey, BindingOption as O, BindingSpec, Grant, Question};
use narthex_host::config::{CacheParam, MachineTimer};
use narthex_proto::wire::Principal;

use crate::verbs::fake_host::{FakeHost, stderr, stdout};

fn options(said: &[(O, &str)]) -> BindingSpec {
    let mut options = BindingSpec::default();
    said.iter().for_each(|(option, value)| options.set(*option, value).unwrap());
    options
}

/// Command lines of one meaning, and the question that they ask.
fn commands() -> Vec<([&'static str; 2], Question)> {
    let grant = |principal, listen, delegate| Grant { principal, listen, delegate };
    let url = || "http://+:80/shop/".to_owned();
    let root = grant(Principal::User(0), true, false);
    let cache_url = || Some("http://a:80/x?y=1".to_owned());
    let [v4, v6] = ["192.0.2.1", "::1"].map(|address| address.parse().unwrap());
    let setting = || "queue_length".to_owned();
    let name = || BindingKey::hostname_port("a.example:443").unwrap();
    vec![
        (
            ["add urlacl url=http://+:80/shop/ user=root", "add urlacl --url http://+:80/shop/ --user 0"],
            Question::AddUrlacl { url: url(), grants: vec![root] },
        ),
        (
            [
                "add urlacl url=http://+:80/shop/ group=4242 everyone=yes listen=no delegate=yes",
                "add urlacl --delegate=yes --listen=no --everyone yes --group=4242 --url=http://+:80/shop/",
            ],
            Question::AddUrlacl {
                url: url(),
                grants: vec![grant(Principal::Group(4242), false, true), grant(Principal::Everyone, false, true)],
            },
        ),
        (["delete urlacl url=http://+:80/shop/", "delete urlacl --url http://+:80/shop/"], Question::DeleteUrlacl { url: url() }),
        (["add iplisten ipaddress=192.0.2.1", "add iplisten --ipaddress 192.0.2.1"], Question::AddIplisten { address: v4 }),
        (["delete iplisten ipaddress=::1", "delete iplisten --ipaddress ::1"], Question::DeleteIplisten { address: v6 }),
        (
            [
                "add timeout timeouttype=idleconnectiontimeout value=65535",
                "add timeout --value 0xffff --timeouttype IdleConnectionTimeout",
            ],
            Question::AddTimeout { timer: MachineTimer::IdleConnectionTimeout, seconds: 65535 },
        ),
        (
            ["delete timeout timeouttype=headerwaittimeout", "delete timeout --timeouttype headerwaittimeout"],
            Question::DeleteTimeout { timer: MachineTimer::HeaderWaitTimeout },
        ),
        (
            ["add cacheparam type=maxcachesize value=0x100000", "add cacheparam --type maxcachesize --value 1048576"],
            Question::AddCacheparam { param: CacheParam::MaxCacheSize, value: 1 << 20 },
        ),
        (
            ["delete cacheparam type=cacherangechunksize", "delete cacheparam --type cacherangechunksize"],
            Question::DeleteCacheparam { param: CacheParam::CacheRangeChunkSize },
        ),
        (
            ["add setting settingtype=queue_length value=a=b", "add setting --settingtype queue_length --value a=b"],
            Question::AddSetting { name: setting(), value: "a=b".to_owned() },
        ),
        (
            ["delete setting settingtype=queue_length", "delete setting --settingtype queue_length"],
            Question::DeleteSetting { name: setting() },
        ),
        (
            [
                "add sslcert hostnameport=a.example:443 certfile=/c keyfile=/k disablehttp2=enable",
                "add sslcert --disablehttp2 Enable --keyfile=/k --certfile /c --hostnameport A.example:443",
            ],
            Question::AddSslcert {
                binding: name(),
                options: options(&[(O::Certificate, "/c"), (O::Key, "/k"), (O::Http2, "false")]),
            },
        ),
        (
            ["add sslcert ccs=443 directory=/d", "add sslcert --directory /d --ccs 443"],
            Question::AddSslcert { binding: BindingKey::Ccs(443), options: options(&[(O::Directory, "/d")]) },
        ),
        (
            [
                "update sslcert hostnameport=a.example:443 disabletls12=enable",
                "update sslcert --hostnameport a.example:443 --minversion 1.3",
            ],
            Question::UpdateSslcert { binding: name(), options: options(&[(O::MinVersion, "1.3")]) },
        ),
        (
            ["delete sslcert hostnameport=a.example:443", "delete sslcert --hostnameport=a.example:443"],
            Question::DeleteSslcert { binding: name() },
        ),
        (["delete cache", "delete cache"], Question::DeleteCache { url: None, recursive: false }),
        (
            ["delete cache url=http://a:80/x?y=1 recursive=yes", "delete cache --url http://a:80/x?y=1 --recursive yes"],
            Question::DeleteCache { url: cache_url(), recursive: true },
        ),
        (["flush logbuffer", "flush logbuffer"], Question::FlushLogbuffer),
        (["reload", "reload"], Question::Reload),
    ]
}

#[test]
fn both_spellings_ask_the_host_the_same_and_tell_what_it_says() {
    let host = FakeHost::that_answers(Answer::Done("URL reservation successfully added".to_owned()));
    for (lines, question) in commands() {
        for line in lines {
            let words: Vec<_> = line.split_whitespace().collect();
            let output = host.run(&words);
            assert_eq!(stdout(&output), "URL reservation successfully added\n", "{line}: {}", stderr(&output));
            assert_eq!(output.status.code(), Some(0), "{line}");
            assert_eq!(host.asked(), std::slice::from_ref(&question), "{line}");
            let json: serde_json::Value = serde_json::from_slice(&host.run(&[&words[..], &["--json"]].concat()).stdout).unwrap();
            assert_eq!(json, serde_json::json!({ "done": "URL reservation successfully added" }), "{line}");
            host.asked();
        }
    }
}

#[test]
fn a_name_that_the_machine_does_not_have_is_told_and_the_host_is_not_asked() {
    let host = FakeHost::that_answers(Answer::Done(String::new()));
    for (key, kind) in [("user", "user"), ("group", "group")] {
        let output = host.run(&["add", "urlacl", "url=http://+:80/", &format!("{key}=nosuchname")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("no {kind} \"nosuchname\"")), "{}", stderr(&output));
    }
    assert_eq!(host.asked(), []);
}

#[test]
fn a_dump_that_is_run_by_a_shell_asks_for_the_same_again() {
    let script = r#"narthex add urlacl 'url=http://+:80/it'\''s $HOME/' everyone=yes
narthex add iplisten ipaddress=::1
narthex add setting settingtype=log_directory 'value=/var/log/a=b  "c" `d` \e
f'
"#;
    let host = FakeHost::that_answers(Answer::Script(script.to_owned()));
    let dump = host.run(&["dump"]);
    assert_eq!(stdout(&dump), script);
    assert_eq!(host.asked(), [Question::Dump]);

    let another = FakeHost::that_answers(Answer::Done("done".to_owned()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &dump.stdout).unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_narthex")).parent().unwrap();
    let path = std::env::join_paths([binary, "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let replayed = Command::new("sh").arg(file.path()).env("PATH", path).env("NARTHEX_HOST", another.socket()).output().unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    let everyone = Grant { principal: Principal::Everyone, listen: true, delegate: false };
    assert_eq!(
        another.asked(),
        [
            Question::AddUrlacl { url: "http://+:80/it's $HOME/".to_owned(), grants: vec![everyone] },
            Question::AddIplisten { address: "::1".parse().unwrap() },
            Question::AddSetting { name: "log_directory".to_owned(), value: "/var/log/a=b  \"c\" `d` \\e\nf".to_owned() },
        ]
    );
}

use std::fs;
use std::path::PathBuf;

use narthex_proto::wire::Principal;

use super::dump::{Passphrases, script};
use super::*;

const ANN: u32 = 3_900_000_001;
const BOB: u32 = 3_900_000_002;

struct Setup {
    directory: tempfile::TempDir,
    configuration: Configuration,
    routes: Table<Reservation, ()>,
}

fn setup(text: &str) -> Setup {
    let directory = tempfile::tempdir().unwrap();
    if !text.is_empty() {
        fs::write(directory.path().join("narthex.toml"), text).unwrap();
    }
    let configuration = Configuration::open(ConfigFile::new(directory.path().join("narthex.toml"))).unwrap();
    let routes = reservations::replaced(&Table::new(), &configuration.current().reservations).unwrap();
    Setup { directory, configuration, routes }
}

impl Setup {
    fn path(&self) -> PathBuf {
        self.directory.path().join("narthex.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    /// As the control thread does it.
    fn ask(&mut self, uid: u32, question: &Question) -> Result<Answer, Refusal> {
        let caller = Caller { uid, groups: vec![uid] };
        let (answer, config) = self.configuration.answer(&caller, question, &self.routes)?;
        if let Some(config) = config {
            self.routes = reservations::replaced(&self.routes, &config.reservations).unwrap();
        }
        Ok(answer)
    }

    fn code(&mut self, uid: u32, question: &Question) -> Option<RefusalCode> {
        self.ask(uid, question).err().map(|refusal| refusal.code)
    }

    fn reserved(&self) -> Vec<String> {
        let mut reserved: Vec<_> = self.routes.reservations().map(|(prefix, _)| prefix.clone()).collect();
        reserved.sort();
        reserved.iter().map(ToString::to_string).collect()
    }
}

fn add(url: &str, uid: u32, listen: bool, delegate: bool) -> Question {
    Question::AddUrlacl { url: url.to_owned(), grants: vec![Grant { principal: Principal::User(uid), listen, delegate }] }
}

fn delete(url: &str) -> Question {
    Question::DeleteUrlacl { url: url.to_owned() }
}

fn set(name: &str, value: &str) -> Question {
    Question::AddSetting { name: name.to_owned(), value: value.to_owned() }
}

#[test]
fn a_change_is_in_the_file_and_in_force_and_survives() {
    let mut host = setup("");
    host.ask(0, &add("http://+:80/shop", ANN, true, false)).unwrap();
    host.ask(0, &Question::AddIplisten { address: "127.0.0.1".parse().unwrap() }).unwrap();
    host.ask(0, &Question::AddTimeout { timer: MachineTimer::HeaderWaitTimeout, seconds: 30 }).unwrap();
    host.ask(0, &Question::AddCacheparam { param: CacheParam::MaxCacheResponseSize, value: 5000 }).unwrap();
    host.ask(0, &set("MaxRequestBytes", "0x8000")).unwrap();
    let again = Configuration::open(ConfigFile::new(host.path())).unwrap();
    assert_eq!(again.current(), host.configuration.current());
    let config = again.current();
    assert_eq!(config.settings.max_request_bytes, 0x8000);
    assert_eq!((config.header_wait, config.settings.max_cache_response_size), (Some(30), 5000));
    assert_eq!(host.reserved(), ["http://+:80/shop/"]);

    host.ask(0, &delete("http://+:80/SHOP/")).unwrap();
    host.ask(0, &Question::DeleteIplisten { address: "127.0.0.1".parse().unwrap() }).unwrap();
    host.ask(0, &Question::DeleteTimeout { timer: MachineTimer::HeaderWaitTimeout }).unwrap();
    host.ask(0, &Question::DeleteCacheparam { param: CacheParam::MaxCacheResponseSize }).unwrap();
    host.ask(0, &Question::DeleteSetting { name: "max_request_bytes".to_owned() }).unwrap();
    assert_eq!(**host.configuration.current(), Config::default(), "{}", host.text());
    assert!(host.text().starts_with(config::HEADER.trim_end()));
}

#[test]
fn everybody_may_look_and_the_operator_alone_may_change() {
    let mut host = setup("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ user = 3900000001, delegate = true }]\n");
    let text = host.text();
    let address = "127.0.0.1".parse().unwrap();
    let timer = MachineTimer::IdleConnectionTimeout;
    let param = CacheParam::ScavengerPeriod;
    for question in [
        Question::AddIplisten { address },
        Question::DeleteIplisten { address },
        Question::AddTimeout { timer, seconds: 5 },
        Question::DeleteTimeout { timer },
        Question::AddCacheparam { param, value: 60 },
        Question::DeleteCacheparam { param },
        set("queue_length", "5"),
        Question::DeleteSetting { name: "queue_length".to_owned() },
        Question::Reload,
        add("http://+:81/", ANN, true, false),
        delete("http://+:80/"),
    ] {
        assert_eq!(host.code(ANN, &question), Some(RefusalCode::AccessDenied), "{question:?}");
    }
    for question in [
        Question::ShowUrlacl { url: None },
        Question::ShowIplisten,
        Question::ShowTimeout,
        Question::ShowCacheparam,
        Question::ShowSetting { name: None },
        Question::Dump,
    ] {
        assert_eq!(host.code(BOB, &question), None, "{question:?}");
    }
    assert_eq!(host.text(), text);
}

#[test]
fn who_may_delegate_reserves_below_and_takes_it_back() {
    let mut host = setup("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ user = 3900000001, delegate = true }]\n");
    host.ask(ANN, &add("http://+:80/bob/", BOB, true, false)).unwrap();
    assert_eq!(host.code(ANN, &add("http://+:80/BOB/", ANN, true, false)), Some(RefusalCode::AlreadyRegistered));
    assert_eq!(host.code(BOB, &delete("http://+:80/bob/")), Some(RefusalCode::AccessDenied));
    assert_eq!(host.reserved(), ["http://+:80/", "http://+:80/bob/"]);
    host.ask(ANN, &delete("http://+:80/bob/")).unwrap();
    assert_eq!(host.code(ANN, &delete("http://+:80/bob/")), Some(RefusalCode::NotFound));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut host = setup("iplisten = [\"::1\"]\n");
    host.routes.register("http://h:8080/".parse().unwrap(), ()).unwrap();
    let text = host.text();
    let everyone = Grant { principal: Principal::Everyone, listen: true, delegate: false };
    let grants = |grants: &[Grant]| Question::AddUrlacl { url: "http://+:80/".to_owned(), grants: grants.to_owned() };
    for (question, code) in [
        (add("https://h:8080/x/", ANN, true, false), RefusalCode::Invalid),
        (add("http://+:0/", ANN, true, false), RefusalCode::Invalid),
        (add("shop", ANN, true, false), RefusalCode::Invalid),
        (add("http://+:80/", ANN, false, false), RefusalCode::Invalid),
        (grants(&[]), RefusalCode::Invalid),
        (grants(&[everyone, everyone]), RefusalCode::Invalid),
        (delete("http://+:80/"), RefusalCode::NotFound),
        (Question::ShowUrlacl { url: Some("http://+:80/".to_owned()) }, RefusalCode::NotFound),
        (Question::AddIplisten { address: "::1".parse().unwrap() }, RefusalCode::AlreadyRegistered),
        (Question::DeleteIplisten { address: "::2".parse().unwrap() }, RefusalCode::NotFound),
        (Question::AddTimeout { timer: MachineTimer::HeaderWaitTimeout, seconds: 0 }, RefusalCode::Invalid),
        (Question::AddCacheparam { param: CacheParam::MaxCacheResponseSize, value: 1 }, RefusalCode::Invalid),
        (set("queue_length", "0"), RefusalCode::Invalid),
        (set("queue_lenght", "5"), RefusalCode::NotFound),
        (Question::FlushLogbuffer, RefusalCode::Unsupported),
    ] {
        assert_eq!(host.code(0, &question), Some(code), "{question:?}");
    }
    assert_eq!(host.text(), text);
    assert!(!Configuration::concerns(&Question::FlushLogbuffer) && Configuration::concerns(&Question::Dump));
}

#[test]
fn a_verb_keeps_what_a_hand_has_just_written_and_puts_it_in_force() {
    let mut host = setup("[settings]\nqueue_length = 5\n");
    fs::write(host.path(), "[settings]\nqueue_length = 7 # by hand\n").unwrap();
    host.ask(0, &set("error_log", "no")).unwrap();
    assert_eq!(host.text(), "[settings]\nqueue_length = 7 # by hand\nerror_log = false\n");
    assert_eq!(host.configuration.current().settings.queue_length, 7);
}

#[test]
fn a_verb_does_not_overwrite_a_mistake_but_names_it() {
    let mut host = setup("[settings]\nqueue_length = 5\n");
    fs::write(host.path(), "[settings]\nqueue_length = many\n").unwrap();
    let refusal = host.ask(0, &set("error_log", "no")).unwrap_err();
    assert!(refusal.message.contains("narthex.toml:2:16"), "{}", refusal.message);
    assert_eq!(host.text(), "[settings]\nqueue_length = many\n");
    assert_eq!(host.configuration.current().settings.queue_length, 5);
}

#[test]
fn a_reload_takes_the_file_or_leaves_everything_as_it_was() {
    let mut host = setup("[settings]\nqueue_length = 5\n");
    let reload = |host: &mut Setup| host.ask(0, &Question::Reload);
    assert_eq!(reload(&mut host).unwrap(), done("The configuration has not changed"));
    fs::write(host.path(), "[settings]\nqueue_length = 6\n").unwrap();
    assert_eq!(reload(&mut host).unwrap(), done("Configuration successfully reloaded"));
    assert_eq!(host.configuration.current().settings.queue_length, 6);

    host.routes.register("http://h:8080/".parse().unwrap(), ()).unwrap();
    for (text, place) in [
        ("[settings]\nqueue_length = 0\n", ":2:16: "),
        ("[[urlacl]]\nurl = \"https://+:8080/\"\nallow = [{ everyone = true }]\n", ":2:7: "),
    ] {
        fs::write(host.path(), text).unwrap();
        let refusal = reload(&mut host).unwrap_err();
        assert!(refusal.message.contains(place) && refusal.message.contains("stays in force"), "{}", refusal.message);
        assert!(host.configuration.follow(&host.routes).is_none());
        assert_eq!(host.configuration.current().settings.queue_length, 6);
    }
}

#[test]
fn a_file_that_disappears_takes_nothing_away_until_it_is_said_to() {
    let mut host = setup("[settings]\nqueue_length = 5\n");
    fs::remove_file(host.path()).unwrap();
    assert!(host.configuration.follow(&host.routes).is_none());
    assert_eq!(host.configuration.current().settings.queue_length, 5);
    host.ask(0, &Question::Reload).unwrap();
    assert_eq!(**host.configuration.current(), Config::default());
    fs::write(host.path(), "[settings]\nqueue_length = 9\n").unwrap();
    assert_eq!(host.configuration.follow(&host.routes).unwrap().settings.queue_length, 9);
    assert!(host.configuration.follow(&host.routes).is_none());
}

#[test]
fn what_is_shown_says_what_is_default() {
    let mut host = setup("[settings]\nscavenger_period = 60\n[timeouts]\nheaderwaittimeout = 65535\n");
    let timer = |timer, seconds, default| TimerState { timer, seconds, default };
    let timers =
        vec![timer(MachineTimer::IdleConnectionTimeout, 120, true), timer(MachineTimer::HeaderWaitTimeout, 65535, false)];
    assert_eq!(host.ask(BOB, &Question::ShowTimeout).unwrap(), Answer::Timeouts(timers));
    let Answer::Cacheparams(params) = host.ask(BOB, &Question::ShowCacheparam).unwrap() else { panic!() };
    assert_eq!(params.last().map(|state| (state.value, state.default)), Some((60, false)));
    assert!(params[..3].iter().all(|state| state.default));
    let Answer::Settings(settings) = host.ask(BOB, &Question::ShowSetting { name: None }).unwrap() else { panic!() };
    assert_eq!(settings.len(), SETTINGS.len());
    let one = Question::ShowSetting { name: Some("UriScavengerPeriod".to_owned()) };
    let Answer::Settings(one) = host.ask(BOB, &one).unwrap() else { panic!() };
    assert_eq!((one[0].name.as_str(), one[0].value.as_str(), one[0].default), ("scavenger_period", "60", false));
    assert!(one[0].help.contains("10 to 4294967295; default 120"), "{}", one[0].help);
}

#[test]
fn a_dump_has_what_differs_from_the_defaults_as_commands() {
    let mut host = setup("");
    let directory = std::path::Path::new("/etc/narthex");
    assert_eq!(
        host.ask(BOB, &Question::Dump).unwrap(),
        Answer::Script(script(&Config::default(), directory, Passphrases::Written))
    );
    assert_eq!(
        script(&Config::default(), directory, Passphrases::Written).lines().filter(|line| !line.starts_with('#')).count(),
        0
    );
    let text = r#"
        iplisten = ["::1"]
        [timeouts]
        idleconnectiontimeout = 60
        [settings]
        max_cache_size = 0
        log_directory = "/var/log/it's here"
        queue_length = 1000
        [[urlacl]]
        url = "http://+:80/b/"
        allow = [{ user = "root", delegate = true }, { group = 3900000100 }]
        [[urlacl]]
        url = "http://+:80/a b/"
        allow = [{ user = 3900000001 }]
        [[binding]]
        hostnameport = "*.example:443"
        certificate = "a b.pem"
        key = "/k"
        client_certificates = "required"
        ca = "ca"
        http2 = false
        session_tickets = false
        [[binding]]
        ipport = "[::]:443"
        self_signed = true
        min_version = "1.3"
    "#;
    let expected = r#"narthex add iplisten ipaddress=::1
narthex add timeout timeouttype=idleconnectiontimeout value=60
narthex add cacheparam type=maxcachesize value=0
narthex add setting settingtype=log_directory value='/var/log/it'\''s here'
narthex add urlacl url='http://+:80/a b/' user=3900000001 listen=yes delegate=no
narthex add urlacl url=http://+:80/b/ sddl='D:(A;;GA;;;S-1-22-1-0)(A;;GX;;;S-1-22-2-3900000100)'
narthex add sslcert ipport='[::]:443' self-signed minversion=1.3
narthex add sslcert hostnameport='*.example:443' certfile='/etc/narthex/a b.pem' keyfile=/k clientcertnegotiation=require cafile=/etc/narthex/ca disablehttp2=enable enablesessionticket=disable
"#;
    let script = script(setup(text).configuration.current(), directory, Passphrases::Written);
    assert_eq!(script.split_once('\n').unwrap().1, expected);
}

#[test]
fn a_dump_has_a_passphrase_for_an_operator_only() {
    let mut host = setup("[[binding]]\nipport = \"[::]:443\"\npkcs12 = \"/s.p12\"\npassphrase = \"it's secret\"\n");
    let mut dump = |uid| match host.ask(uid, &Question::Dump) {
        Ok(Answer::Script(script)) => script,
        other => panic!("{other:?}"),
    };
    assert!(dump(0).contains(r"pkcs12file=/s.p12 passphrase='it'\''s secret'"), "{}", dump(0));
    let script = dump(BOB);
    assert!(script.lines().all(|line| line.starts_with('#')) && !script.contains("secret"), "{script}");
    assert!(script.contains("ipport=[::]:443 has a passphrase"), "{script}");
}

#[test]
fn a_configuration_that_is_wrong_at_the_start_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("narthex.toml");
    fs::write(&path, "[settings]\nqueue = 5\n").unwrap();
    let error = Configuration::open(ConfigFile::new(path)).unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(2), Some(1)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_change_by_hand_is_noticed_and_a_change_by_a_verb_is_not_made_twice() {
    let mut host = setup("");
    let mut watch = host.configuration.watch();
    fs::write(host.path(), "[settings]\nqueue_length = 5\n").unwrap();
    watch.changed().await;
    assert_eq!(host.configuration.follow(&host.routes).unwrap().settings.queue_length, 5);
    host.ask(0, &set("queue_length", "6")).unwrap();
    watch.changed().await;
    assert!(host.configuration.follow(&host.routes).is_none());
    assert_eq!(host.configuration.current().settings.queue_length, 6);
}

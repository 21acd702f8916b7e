use std::fs;

use narthex_http::tls::development::Authority;
use tempfile::TempDir;

use super::*;

/// A directory with certificates in it, as a configuration would have it.
struct Files {
    directory: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::in_directory(&directory.path().join("ca")).unwrap();
        Self { directory, authority }
    }

    /// Puts a new certificate and its key where older ones may be.
    fn issue(&self, name: &str) {
        let issued = self.authority.issue(&["shop.example"]).unwrap();
        self.put(&format!("{name}.pem"), &issued.certificate);
        self.put(&format!("{name}.key"), &issued.key);
    }

    /// By a new file: its stamp differs whatever the clock's grain is.
    fn put(&self, name: &str, text: &str) {
        let (path, new) = (self.directory.path().join(name), self.directory.path().join("new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn certificates(&self, config: &Config) -> Certificates {
        let mut certificates = Certificates::new(self.directory.path().to_owned());
        certificates.follow(config);
        certificates
    }
}

fn bound(key: &BindingKey, options: &[(BindingOption, &str)]) -> Bound {
    let mut spec = BindingSpec::default();
    options.iter().for_each(|(option, value)| spec.set(*option, value).unwrap());
    Bound { key: key.clone(), options: spec }
}

fn pem(key: &BindingKey, name: &str) -> Bound {
    let (certificate, private) = (format!("{name}.pem"), format!("{name}.key"));
    bound(key, &[(BindingOption::Certificate, &certificate), (BindingOption::Key, &private)])
}

fn config(bindings: &[Bound]) -> Config {
    Config { bindings: bindings.to_vec(), ..Config::default() }
}

fn shop() -> BindingKey {
    BindingKey::hostname_port("shop.example:443").unwrap()
}

fn spec(prefix: &str) -> PrefixSpec {
    prefix.parse().unwrap()
}

/// The fingerprint of its certificate, and its problem.
#[track_caller]
fn state(certificates: &Certificates, key: &BindingKey) -> (Option<String>, Option<String>) {
    let mut states = certificates.states(Some(key));
    assert_eq!(states.len(), 1);
    let state = states.remove(0);
    (state.certificate.map(|certificate| certificate.sha256), state.problem)
}

#[test]
fn a_binding_that_has_not_changed_is_not_made_again() {
    let files = Files::new();
    files.issue("a");
    let one = config(&[pem(&shop(), "a")]);
    let mut certificates = files.certificates(&one);
    let before = state(&certificates, &shop());
    files.issue("a");
    certificates.follow(&one);
    assert_eq!(state(&certificates, &shop()), before, "its files are another matter");
    files.issue("b");
    certificates.follow(&config(&[pem(&shop(), "b")]));
    assert_ne!(state(&certificates, &shop()).0, before.0);
}

#[test]
fn a_binding_that_is_gone_answers_no_more() {
    let files = Files::new();
    files.issue("a");
    let mut certificates = files.certificates(&config(&[pem(&shop(), "a")]));
    let prefix = "https://shop.example:443/".parse().unwrap();
    assert!(certificates.check(&spec("https://shop.example:443/")).is_ok());
    assert_eq!(certificates.uncovered([&prefix].into_iter()), []);
    certificates.follow(&Config::default());
    assert!(certificates.states(None).is_empty());
    assert_eq!(certificates.uncovered([&prefix].into_iter()), [prefix]);
}

#[test]
fn a_change_that_cannot_be_used_leaves_what_there_was() {
    let files = Files::new();
    files.issue("a");
    let mut certificates = files.certificates(&config(&[pem(&shop(), "a")]));
    let (before, _) = state(&certificates, &shop());
    certificates.follow(&config(&[pem(&shop(), "nothing")]));
    let (after, problem) = state(&certificates, &shop());
    assert_eq!(after, before);
    assert!(problem.is_some_and(|problem| problem.contains("nothing.pem")));
    assert!(certificates.check(&spec("https://shop.example:443/")).is_ok());
}

#[test]
fn files_are_taken_when_they_have_come_to_rest() {
    let files = Files::new();
    files.issue("a");
    let mut certificates = files.certificates(&config(&[pem(&shop(), "a")]));
    let (before, _) = state(&certificates, &shop());
    assert!(!certificates.follow_files(), "nothing has changed");
    files.issue("a");
    assert!(!certificates.follow_files(), "they may be written to still");
    assert_eq!(state(&certificates, &shop()).0, before);
    assert!(certificates.follow_files());
    assert_ne!(state(&certificates, &shop()).0, before);
    assert!(!certificates.follow_files(), "once is enough");
}

#[test]
fn a_bad_renewal_is_a_problem_until_a_good_one_comes() {
    let files = Files::new();
    files.issue("a");
    files.issue("other");
    let mut certificates = files.certificates(&config(&[pem(&shop(), "a")]));
    let look_twice = |certificates: &mut Certificates| [certificates.follow_files(), certificates.follow_files()];
    let (before, _) = state(&certificates, &shop());
    let other = fs::read_to_string(files.directory.path().join("other.key")).unwrap();
    files.put("a.key", &other);
    assert_eq!(look_twice(&mut certificates), [false, true]);
    let (after, problem) = state(&certificates, &shop());
    assert_eq!(after, before, "it goes on with what it had");
    assert!(problem.is_some());
    assert_eq!(look_twice(&mut certificates), [false, false], "the same problem is told once");
    fs::remove_file(files.directory.path().join("a.pem")).unwrap();
    assert_eq!(look_twice(&mut certificates), [false, true], "a file that is gone is a change too");
    files.issue("a");
    assert_eq!(look_twice(&mut certificates), [false, true]);
    let (after, problem) = state(&certificates, &shop());
    assert_ne!(after, before);
    assert_eq!(problem, None);
}

#[test]
fn a_binding_without_files_begins_to_answer_when_they_come() {
    let files = Files::new();
    let mut certificates = files.certificates(&config(&[pem(&shop(), "late")]));
    let refused = certificates.check(&spec("https://shop.example:443/")).unwrap_err();
    assert!(refused.contains("hostnameport=shop.example:443 cannot be used"), "{refused}");
    assert!(refused.contains("narthex show sslcert hostnameport=shop.example:443"), "{refused}");
    files.issue("late");
    assert!(!certificates.follow_files());
    assert!(certificates.follow_files());
    assert!(certificates.check(&spec("https://shop.example:443/")).is_ok());
}

#[test]
fn what_is_missing_is_told_with_the_command_that_adds_it() {
    let certificates = Files::new().certificates(&Config::default());
    let with_files = "certfile=/path/to/certificate.pem keyfile=/path/to/key.pem";
    for (prefix, binding) in [
        ("https://localhost:8443/", "hostnameport=localhost:8443 self-signed".to_owned()),
        ("https://app.localhost:8443/a/", "hostnameport=app.localhost:8443 self-signed".to_owned()),
        ("https://shop.example:443/", format!("hostnameport=shop.example:443 {with_files}")),
        ("https://straße.example:443/", format!("hostnameport=xn--strae-oqa.example:443 {with_files}")),
        ("https://127.0.0.1:443/", format!("ipport=127.0.0.1:443 {with_files}")),
        ("https://[::1]:443/", format!("ipport='[::1]:443' {with_files}")),
        ("https://+:443/", format!("ipport=0.0.0.0:443 {with_files}")),
        ("https://*:443/", format!("ipport=0.0.0.0:443 {with_files}")),
    ] {
        let command = format!("narthex add sslcert {binding}");
        let refused = certificates.check(&spec(prefix)).unwrap_err();
        assert!(refused.ends_with(&command), "{prefix}: {refused}");
    }
    assert!(certificates.check(&spec("http://shop.example:80/")).is_ok(), "that needs none");
    let any = remedy(&PrefixHost::Strong, 0);
    assert!(any.contains("ipport=0.0.0.0:PORT"), "{any}");
}

#[test]
fn a_broken_binding_is_named_only_where_it_would_have_answered() {
    let wildcard = BindingKey::hostname_port("*.example:443").unwrap();
    let address = BindingKey::ip_port("127.0.0.1:444").unwrap();
    let certificates = Files::new().certificates(&config(&[pem(&wildcard, "none"), pem(&address, "none")]));
    for (prefix, named) in [
        ("https://shop.example:443/", true),
        ("https://a.shop.example:443/", false),
        ("https://shop.example:445/", false),
        ("https://127.0.0.1:444/", true),
        ("https://127.0.0.2:444/", false),
        ("https://+:444/", true),
    ] {
        let refused = certificates.check(&spec(prefix)).unwrap_err();
        assert_eq!(refused.contains("cannot be used"), named, "{prefix}: {refused}");
        assert_ne!(refused.contains("narthex add sslcert"), named, "{prefix}: {refused}");
    }
}

#[test]
fn a_passphrase_is_not_shown() {
    let options = [(BindingOption::Pkcs12, "none.p12"), (BindingOption::Passphrase, "secret")];
    let certificates = Files::new().certificates(&config(&[bound(&shop(), &options)]));
    let shown = serde_json::to_string(&certificates.states(None)).unwrap();
    assert!(shown.contains("none.p12") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_binding_that_refuses_connections_is_told_to_admit_them() {
    let files = Files::new();
    files.issue("a");
    let mut refusing = pem(&shop(), "a");
    refusing.options.set(BindingOption::Reject, "true").unwrap();
    let certificates = files.certificates(&config(&[refusing]));
    let command = "narthex update sslcert hostnameport=shop.example:443 reject=disable";
    let shop = spec("https://shop.example:443/");
    let refused = certificates.check(&shop).unwrap_err();
    assert!(refused.contains("refuses connections") && refused.contains(command), "{refused}");
    assert_eq!(certificates.remedy(shop.host(), 443), command);
    assert!(certificates.remedy(spec("https://other.example:443/").host(), 443).contains("narthex add sslcert"));
}

//! When a name's certificate is asked for, and how the CA is answered.

use jiff::{SignedDuration, Timestamp};
use narthex_http::tls::development::Authority;
use narthex_http::tls::{PeerCertificate, Source};

use super::keeper::{Next, in_order, next};
use super::*;
use crate::acme::Progress;
use crate::control::ports::Ports;

fn agreed() -> AcmeSettings {
    AcmeSettings { terms_agreed: true, ..AcmeSettings::default() }
}

/// One for 90 days, yesterday included.
fn certificate() -> PeerCertificate {
    let directory = tempfile::tempdir().unwrap();
    let issued = Authority::in_directory(directory.path()).unwrap().issue_for(&["a.test"], 90).unwrap();
    let source = Source::PemText { certificate: issued.certificate.into_bytes().into(), key: issued.key.into_bytes().into() };
    source.certificate().unwrap()
}

fn in_days(days: i64) -> Timestamp {
    Timestamp::now().checked_add(SignedDuration::from_hours(24 * days)).unwrap()
}

fn issued_by(directory: &str) -> Progress {
    Progress { issued_by: Some(directory.to_owned()), ..Progress::default() }
}

#[test]
fn a_certificate_is_asked_for_when_it_is_due_and_not_before() {
    let (settings, certificate) = (agreed(), certificate());
    let own = issued_by(&settings.directory);
    let at = |progress: &Progress, days| next(&settings, progress, Some(&certificate), in_days(days), 0.5);
    assert!(matches!(at(&own, 0), Next::Wait(OrderState::Valid, _)));
    assert!(matches!(at(&own, 58), Next::Wait(OrderState::Valid, _)));
    assert_eq!(at(&own, 65), Next::Order);
    assert_eq!(at(&own, 200), Next::Order, "one that is over too");
    assert_eq!(at(&issued_by("https://other.example/dir"), 0), Next::Order, "another CA is to issue it");
    assert_eq!(next(&settings, &own, None, in_days(0), 0.5), Next::Order, "it is gone");
}

#[test]
fn a_failure_is_waited_for_but_a_certificate_that_is_not_due_is_not_doubted() {
    let (settings, certificate) = (agreed(), certificate());
    let failed = Progress { failures: 2, next_try: Some(in_days(1)), ..issued_by(&settings.directory) };
    let at = |now| next(&settings, &failed, None, now, 0.5);
    assert!(matches!(at(in_days(0)), Next::Wait(OrderState::Waiting, _)));
    assert_eq!(at(in_days(2)), Next::Order);
    assert!(matches!(next(&settings, &failed, Some(&certificate), in_days(0), 0.5), Next::Wait(OrderState::Valid, _)));
}

#[test]
fn without_the_terms_nothing_is_asked_and_what_is_there_is_kept() {
    let (settings, certificate) = (AcmeSettings::default(), certificate());
    let own = issued_by(&settings.directory);
    assert!(matches!(next(&settings, &own, Some(&certificate), in_days(0), 0.5), Next::Wait(OrderState::Valid, _)));
    assert!(matches!(next(&settings, &own, Some(&certificate), in_days(65), 0.5), Next::Stop(_)));
}

#[test]
fn a_door_is_closed_behind_the_last_question_and_keeps_apps_of_the_other_scheme_out_meanwhile() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let spec = |scheme: &str| format!("{scheme}://a.test:{port}/").parse::<PrefixSpec>().unwrap();
    let mut ports = Ports::new(1, vec![[127, 0, 0, 1].into()]);
    let mut change = PortChange::default();
    let one = ports.open_door(&spec("https"), &mut change).unwrap();
    let other = ports.open_door(&spec("https"), &mut PortChange::default()).unwrap();
    assert_eq!(change.opened.len(), 1);
    let refused = ports.open_for(&spec("http"), &mut PortChange::default()).unwrap_err();
    assert!(refused.message.contains("register again"), "{}", refused.message);
    assert!(ports.open_for(&spec("https"), &mut PortChange::default()).is_ok());
    assert!(ports.close_door(&one).closed.is_empty());
    let closed = ports.close_door(&other).closed;
    assert_eq!(closed, [std::net::SocketAddr::from(([127, 0, 0, 1], port))]);
    drop(change);
    assert!(ports.open_for(&spec("http"), &mut PortChange::default()).is_ok());
}

#[test]
fn the_way_that_worked_comes_first_and_after_a_failure_the_other() {
    let question = |challenge| Question { challenge, token: String::new(), key_authorization: String::new() };
    let both = Challenge::ALL.map(question);
    let ways = |settings: &AcmeSettings, progress: &Progress| -> Vec<Challenge> {
        in_order(&both, settings, progress).into_iter().map(|question| question.challenge).collect()
    };
    let [tls, http] = Challenge::ALL;
    let progress = |challenge, failures| Progress { challenge, failures, ..Progress::default() };
    assert_eq!(ways(&agreed(), &progress(None, 0)), [tls, http]);
    assert_eq!(ways(&agreed(), &progress(None, 1)), [http, tls]);
    assert_eq!(ways(&agreed(), &progress(None, 2)), [tls, http]);
    assert_eq!(ways(&agreed(), &progress(Some(http), 0)), [http, tls]);
    assert_eq!(ways(&AcmeSettings { challenge: Some(http), ..agreed() }, &progress(None, 3)), [http]);
    assert!(in_order(&[], &agreed(), &progress(None, 3)).is_empty());
}

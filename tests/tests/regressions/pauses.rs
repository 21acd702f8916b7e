//! An app that did not run for a while is late, not dead.

use std::time::Duration;

use narthex_tests::{Client, Provider, Subject};

use crate::regressions::stage::{ask, get};

/// Longer than either end of a session waits for the other's pong.
const PAUSE: Duration = Duration::from_secs(31);

/// Takes 38 seconds: the pause has to be longer than the limits, which are constants.
#[test]
fn an_app_that_was_paused_for_longer_than_the_ping_limit_answers_all_its_requests_in_38_seconds() {
    let subject = Subject::start(Provider::Shared);
    // Until what was said at the start is no sign of life any more: the limits count from a beat every 5 seconds.
    std::thread::sleep(Duration::from_millis(5500));
    let mut begun: Vec<Client> = (0..4).map(|_| subject.connect()).collect();
    for client in &mut begun {
        get(client, "/slow?ms=1500");
    }
    std::thread::sleep(Duration::from_millis(500));
    subject.app.process.pause();
    // On their way to a process that does not read.
    let mut waiting: Vec<Client> = (0..8).map(|_| subject.connect()).collect();
    for client in &mut waiting {
        get(client, "/whoami");
    }
    std::thread::sleep(PAUSE);
    subject.app.process.resume();
    let answers = |clients: Vec<Client>| -> Vec<String> {
        let outcome = |mut client: Client| match client.response_within(false, Duration::from_secs(3)) {
            Ok(answer) => format!("{} {}", answer.status, answer.text()),
            Err(error) => error.to_string(),
        };
        clients.into_iter().map(outcome).collect()
    };
    assert_eq!(answers(waiting), vec!["200 app"; 8], "requests that came during the pause");
    assert_eq!(answers(begun), vec!["200 slow"; 4], "requests that came before the pause");
    for _ in 0..20 {
        assert_eq!(ask(subject.app.address, "/whoami").text(), "app");
    }
}

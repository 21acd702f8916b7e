//! Under load every answered request is in the log, once.

use std::collections::HashSet;

use crate::logging::stage::{SOON, Stage, lines, send};

const CLIENTS: usize = 8;
const EACH: usize = 2500;
const AT_A_TIME: usize = 50;

#[test]
fn every_answered_request_is_logged_exactly_once() {
    let fields = "access_log_fields = \"cs-uri-query,sc-status\"";
    let mut stage = Stage::new(&format!("access_log = \"w3c\"\n{fields}\naccess_log_rollover = \"size\""));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let stage = &stage;
            scope.spawn(move || {
                let mut connection = stage.connect();
                for first in (0..EACH).step_by(AT_A_TIME) {
                    for number in first..first + AT_A_TIME {
                        send(&mut connection, "GET", &format!("/?{client}-{number}"), "");
                    }
                    for _ in 0..AT_A_TIME {
                        assert_eq!(connection.response_within(false, SOON).expect("it is answered").status, 200);
                    }
                }
            });
        }
    });
    stage.host.process.terminate();
    assert!(stage.host.process.wait(SOON).success());
    let logged = lines(&stage.logs());
    let unique: HashSet<&str> = logged.iter().map(String::as_str).collect();
    assert_eq!((logged.len(), unique.len()), (CLIENTS * EACH, CLIENTS * EACH));
    for client in 0..CLIENTS {
        assert!((0..EACH).all(|number| unique.contains(format!("{client}-{number} 200").as_str())));
    }
}

//! What was given back can be had again at once.

use std::time::Duration;

use narthex_proto::wire::GroupSettings;

use crate::regressions::stage::Stage;
use crate::regressions::wire_app::WireApp;

#[test]
fn a_prefix_that_was_given_back_can_be_registered_again_at_once() {
    let stage = Stage::with_workers(2);
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let prefix = format!("http://{address}/");
    for turn in 1..=100 {
        app.unregister(&prefix);
        app.register(&prefix, GroupSettings::default()).unwrap_or_else(|refusal| panic!("turn {turn}: {refusal}"));
    }
}

#[test]
fn a_new_app_gets_the_port_of_one_that_has_just_ended() {
    let stage = Stage::with_workers(2);
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let prefix = format!("http://{address}/");
    // Now and then the old app's listener needs a moment to close.
    for turn in 0..100 {
        drop(app);
        std::thread::sleep(Duration::from_micros(500 * (turn % 10)));
        app = WireApp::new(&stage.host);
        app.register(&prefix, GroupSettings::default()).unwrap_or_else(|refusal| panic!("turn {turn}: {refusal}"));
    }
}

//! Request ids: who may choose them, and where they come.

use narthex_tests::Provider;
use serde_json::Value;

use crate::telemetry::stage::Stage;

const ID: &str = "x-request-id";

fn is_new(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An app to which clients' ids are those of a trusted proxy.
fn trusting(provider: Provider) -> Stage {
    Stage::new(provider, "trusted_proxies = [\"127.0.0.1\"]", &["--trusted-proxy=127.0.0.1".to_owned()])
}

fn both(test: impl Fn(Provider)) {
    [Provider::Embedded, Provider::Shared].into_iter().for_each(test);
}

#[test]
fn each_request_has_an_id_of_its_own_whatever_strangers_say() {
    both(|provider| {
        let stage = Stage::new(provider, "", &[]);
        let ids = [
            stage.seen_once(ID, ""),
            stage.seen_once(ID, ""),
            stage.seen_once(ID, "X-Request-Id: chosen\r\n"),
            stage.seen_once(ID, "X-Request-Id: one\r\nOther: x\r\nX-REQUEST-ID: two\r\n"),
        ];
        assert!(ids.iter().all(|id| is_new(id)), "{ids:?}");
        assert_ne!(ids[0], ids[1]);
        assert_eq!(stage.seen_once("other", "X-Request-Id: a\r\nOther: x\r\nX-Request-Id: b\r\n"), "x");
        assert_eq!(stage.get("/shop/headers", "").header(ID), None, "it is answered only if asked for");
    });
}

#[test]
fn a_trusted_proxy_gives_ids_if_they_are_sane() {
    both(|provider| {
        let stage = trusting(provider);
        let longest = "x".repeat(128);
        for good in ["chosen", "1-67891233-abcdef01", &longest] {
            assert_eq!(stage.seen_once(ID, &format!("X-Request-ID: {good}\r\n")), good);
        }
        for bad in ["", "a b", "<script>", "a,b", &format!("{longest}x")] {
            let id = stage.seen_once(ID, &format!("X-Request-ID: {bad}\r\n"));
            assert!(is_new(&id), "{bad:?}: {id}");
        }
        assert!(is_new(&stage.seen_once(ID, "X-Request-Id: one\r\nX-Request-Id: two\r\n")));
    });
}

#[test]
fn the_logs_have_the_id_that_the_app_has() {
    let log = "access_log = \"json\"\naccess_log_fields = \"cs-uri-stem,sc-status\"\naccess_log_site = \"site\"";
    let stage = Stage::new(Provider::Shared, &format!("trusted_proxies = [\"127.0.0.1\"]\n{log}"), &[]);
    assert_eq!(stage.seen_once(ID, "X-Request-Id: for-the-log\r\n"), "for-the-log");
    let line: Value = serde_json::from_str(&stage.logged("site", "for-the-log")).expect("a line is JSON");
    assert_eq!((&line["request_id"], &line["path"]), (&"for-the-log".into(), &"/shop/headers".into()));

    assert_eq!(stage.get("/nowhere", "X-Request-Id: for-the-error-log\r\n").status, 404);
    let line = stage.logged("httperr", "for-the-error-log");
    assert!(line.contains(" GET /nowhere 404 ") && line.ends_with(" for-the-error-log"), "{line}");
}

#[test]
fn a_w3c_log_has_the_id_where_it_is_asked_for() {
    let settings = "access_log = \"w3c\"\naccess_log_fields = \"cs-uri-stem,x-request-id\"\naccess_log_site = \"site\"";
    let stage = Stage::new(Provider::Shared, settings, &[]);
    let id = stage.seen_once(ID, "");
    assert_eq!(stage.logged("site", &id), format!("/shop/headers {id}"));
}

#[test]
fn a_client_is_told_the_id_if_the_operator_wants_it() {
    let stage = Stage::new(Provider::Shared, "request_ids = \"answered\"", &[]);
    let response = stage.get("/shop/headers", "");
    let id = response.header(ID).expect("it is answered").to_owned();
    assert!(is_new(&id) && response.text().contains(&id), "{id}: {}", response.text());
    assert!(is_new(stage.get("/nowhere", "").header(ID).expect("the host's own pages have it too")));

    stage.set("request_ids", "off");
    assert_eq!(stage.seen(ID, ""), Vec::<String>::new());
    assert_eq!(stage.seen_once(ID, "X-Request-Id: a field like any other\r\n"), "a field like any other");
    stage.set("request_ids", "on");
    assert!(is_new(&stage.seen_once(ID, "")));
}

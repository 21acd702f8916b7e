//! Many apps behind one connection.

use narthex_tests::h3::{End, Stream};
use narthex_tests::{Provider, Secure, Setup};

use crate::http3::stage::{eventually, run, run_on_one_thread};

fn two_apps() -> (Secure, narthex_tests::App) {
    let secure = Secure::start(Provider::Shared, Setup { path: "a/", ..Setup::default() });
    let b = secure.neighbour("b", "b/");
    (secure, b)
}

#[test]
fn the_streams_of_one_connection_go_to_the_apps_that_they_name() {
    run(async {
        let (secure, _b) = two_apps();
        let connection = secure.http3().await;
        let mut streams = Vec::new();
        for nth in 0..90 {
            let app = if nth % 3 == 0 { "b" } else { "a" };
            let mut stream = connection.open("POST", &format!("/{app}/echo"), &[]).await.expect("the connection is there");
            stream.request.data(format!("for {app} {nth}").as_bytes()).await.expect("the server reads");
            streams.push((app, nth, stream));
        }
        for (app, nth, stream) in streams.iter_mut().rev() {
            let answer = stream.answer().await.expect("an answer");
            let expected = if *app == "a" { "app" } else { "b" };
            assert_eq!((answer.header("x-app"), answer.text()), (Some(expected), format!("for {app} {nth}")));
        }
        assert_eq!(connection.get("/c/whoami").await.status, 404);
    });
}

#[test]
fn an_app_that_does_not_read_holds_nobody_elses_stream_up() {
    run(async {
        let (secure, b) = two_apps();
        let connection = secure.http3().await;
        b.process.pause();
        let mut uploads = Vec::new();
        for _ in 0..10 {
            let mut upload = connection.open("POST", "/b/len", &[]).await.expect("the connection is there");
            uploads.push(tokio::spawn(async move {
                for _ in 0..10 {
                    upload.request.data(&[b'u'; 100_000]).await.expect("the server reads");
                }
                upload.answer().await.expect("an answer").text()
            }));
        }
        for _ in 0..20 {
            assert_eq!(connection.get("/a/bytes?n=200000").await.body.len(), 200_000);
        }
        b.process.resume();
        for upload in uploads {
            assert_eq!(upload.await.expect("it is sent"), "1000000");
        }
    });
}

#[test]
fn an_app_that_stops_finishes_its_requests_and_the_connection_stays() {
    run(async {
        let (secure, mut b) = two_apps();
        let connection = secure.http3().await;
        let mut stream = connection.open("POST", "/b/len", &[]).await.expect("the connection is there");
        stream.request.data(b"before ").await.expect("the server reads");
        let mut slow = connection.open("GET", "/b/slow?ms=500", &[]).await.expect("the connection is there");
        slow.request.finish();
        // What the app has answered on the same session, it has read after the others.
        assert_eq!(connection.get("/b/whoami").await.text(), "b");
        b.process.terminate();
        eventually("the prefix is given back", async || connection.get("/b/whoami").await.status == 404).await;
        stream.request.data(b"after").await.expect("the server reads");
        assert_eq!(stream.answer().await.expect("an answer").text(), "12");
        assert_eq!(slow.answer().await.expect("an answer").text(), "slow");
        assert!(b.process.wait(std::time::Duration::from_secs(20)).success());
        assert_eq!(connection.get("/a/whoami").await.text(), "app");
    });
}

#[test]
fn an_app_that_is_killed_ends_its_streams_and_the_connection_stays() {
    run(async {
        let (secure, mut b) = two_apps();
        let connection = secure.http3().await;
        let open = async |method: &str, path: &str| connection.open(method, path, &[]).await.expect("the connection is there");
        let mut awaiting: Vec<Stream> = Vec::new();
        for _ in 0..20 {
            let mut stream = open("GET", "/b/hold").await;
            stream.request.finish();
            awaiting.push(stream);
        }
        awaiting.push(open("POST", "/b/len").await);
        awaiting.last_mut().expect("it is there").request.data(&[b'u'; 30_000]).await.expect("the server reads");
        let mut begun = open("GET", "/b/drip?chunks=100000&size=10&ms=5").await;
        begun.request.finish();
        begun.response.body(10).await.expect("a beginning");
        eventually("the requests are there", async || connection.get("/b/held").await.text() == "20").await;
        let mut own = open("POST", "/a/echo").await;
        own.request.data(b"one ").await.expect("the server reads");

        b.process.crash();
        for stream in &mut awaiting {
            let status = stream.response.whole().await.expect("an answer of the host's own").status;
            assert!(matches!(status, 502 | 503), "{status}");
        }
        let end = begun.response.whole().await;
        assert!(matches!(end, Err(End::Reset(_))), "what is cut off has no end: {end:?}");
        own.request.data(b"two").await.expect("the server reads");
        assert_eq!(own.answer().await.expect("an answer").text(), "one two", "who has another app notices nothing");

        let _successor = secure.neighbour("c", "b/");
        assert_eq!(connection.get("/b/whoami").await.text(), "c");
    });
}

#[test]
fn what_the_host_keeps_and_writes_down_is_the_same_for_every_version() {
    // A request whose end has not come may have a body, and those are not answered from the cache.
    run_on_one_thread(async {
        let settings = "access_log = \"json\"\naccess_log_fields = \"c-ip,cs-uri-stem,cs-version,sc-status\"";
        // One worker: what one has stored, the others hear of a moment later.
        let secure = Secure::start(Provider::Shared, Setup { settings, workers: Some(1), ..Setup::default() });
        let path = "/answer?policy=flush&header=cache-control:max-age=60";
        let mut http1 = secure.http1();
        http1.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", secure.address()).as_bytes()).expect("the server reads");
        assert_eq!(http1.response(false).expect("an answer").header("x-count"), Some("1"));
        let connection = secure.http3().await;
        let kept = connection.get(path).await;
        assert_eq!((kept.header("x-count"), kept.text().as_str()), (Some("1"), "0000001\n"), "the app is not asked again");
        assert!(kept.header("age").is_some());
        assert_eq!(connection.ask("HEAD", path, &[]).await.header("x-count"), Some("1"));

        let host = secure.host.as_ref().expect("there is a host");
        let log = secure.directory.path().join("log");
        eventually("three requests are logged", async || {
            host.operate(&["flush", "logbuffer"]);
            let files = std::fs::read_dir(&log).into_iter().flatten().flatten();
            let files = files.flat_map(|site| std::fs::read_dir(site.path()).into_iter().flatten().flatten());
            let text: String = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
            let count = |version: &str| text.lines().filter(|line| line.contains("/answer") && line.contains(version)).count();
            (count("HTTP/1.1"), count("HTTP/3")) == (1, 2)
        })
        .await;
    });
}

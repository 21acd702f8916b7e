//! Requests and their answers.

use narthex_tests::Provider;
use narthex_tests::h3::NO_ERROR;

use crate::http3::stage::{both, start};

both! {
    a_get_a_head_and_a_post_are_answered;
    an_upload_larger_than_all_windows_arrives_whole;
    a_body_comes_back_while_it_is_sent;
    a_large_download_arrives_whole;
    trailers_go_both_ways;
    many_requests_are_answered_at_a_time_each_with_its_own_answer;
    what_the_server_refuses_it_answers_as_in_http1;
    a_response_that_breaks_off_is_reset_and_not_ended;
    the_app_is_asked_for_the_body_when_it_reads_it;
    an_app_that_answers_before_the_body_came_wants_no_more_of_it;
    what_an_app_says_of_its_body_wrongly_confuses_nobody;
}

async fn a_get_a_head_and_a_post_are_answered(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let answer = connection.get("/whoami").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-app")), (200, "app", Some("app")));
    assert_eq!(answer.header("content-length"), Some("3"));
    assert!(answer.header("date").is_some());
    let answer = connection.ask("HEAD", "/whoami", &[]).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (200, 0, Some("3")));
    // With and without a length, and without a body.
    for (length, body) in [(Some("9"), "hello-h3!"), (None, "hello-h3!"), (Some("0"), ""), (None, "")] {
        let fields: Vec<_> = length.map(|length| ("content-length", length)).into_iter().collect();
        let mut stream = connection.open("POST", "/echo", &fields).await.expect("the connection is there");
        if !body.is_empty() {
            stream.request.data(body.as_bytes()).await.expect("the server reads");
        }
        let answer = stream.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{length:?}");
    }
    assert_eq!(connection.ask("OPTIONS", "/whoami", &[]).await.status, 200);
    assert_eq!(connection.get("/status/204").await.status, 204);
}

async fn an_upload_larger_than_all_windows_arrives_whole(provider: Provider) {
    const PIECES: usize = 130;
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut stream = connection.open("POST", "/len", &[]).await.expect("the connection is there");
    for _ in 0..PIECES {
        stream.request.data(&[b'u'; 100_000]).await.expect("the server reads");
    }
    let answer = stream.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, (PIECES * 100_000).to_string()));
}

async fn a_body_comes_back_while_it_is_sent(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let body: Vec<u8> = (0..2_000_000_u32).map(|at| u8::try_from(at / 7 % 251).expect("it is small")).collect();
    let mut stream = connection.open("POST", "/echo", &[]).await.expect("the connection is there");
    stream.request.data(&body[..10]).await.expect("the server reads");
    assert_eq!(stream.response.body(10).await.expect("a beginning"), &body[..10], "it does not wait for the end");
    let narthex_tests::h3::Stream { mut request, mut response } = stream;
    let rest = body.clone();
    let sending = tokio::spawn(async move {
        for piece in rest[10..].chunks(50_000) {
            request.data(piece).await.expect("the server reads");
        }
        request.finish();
        request
    });
    let answer = response.whole().await.expect("an answer");
    assert!(answer.body == body, "{} of {} bytes", answer.body.len(), body.len());
    sending.await.expect("all is sent");
}

async fn a_large_download_arrives_whole(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let answer = connection.get("/bytes?n=8000000").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("8000000")));
    assert!(answer.body.len() == 8_000_000 && answer.body.iter().all(|byte| *byte == b'x'));
    let answer = connection.get("/stream?chunks=3000&size=1000").await;
    assert_eq!((answer.body.len(), answer.header("content-length")), (3_000_000, None));
    let answer = connection.get("/drip?chunks=5&size=3&ms=5").await;
    assert_eq!(answer.text(), "x".repeat(15));
}

async fn trailers_go_both_ways(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut stream = connection.open("POST", "/len", &[]).await.expect("the connection is there");
    stream.request.data(b"abc").await.expect("the server reads");
    stream.request.trailers(&[("x-checksum", "9"), ("x-more", "yes")]).await.expect("the server reads");
    let answer = stream.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "3;x-checksum=9;x-more=yes"));
    let answer = connection.get("/trailers").await;
    assert_eq!((answer.body.len(), answer.trailers), (5, vec![("x-checksum".to_owned(), "abc123".to_owned())]));
}

async fn many_requests_are_answered_at_a_time_each_with_its_own_answer(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    for round in 0..3 {
        let mut streams = Vec::new();
        // quinn gives room for new streams back in steps of an eighth: a hundred of them at a time are not promised.
        for nth in 0..80 {
            let mut stream = connection.open("POST", "/echo", &[]).await.expect("the connection is there");
            stream.request.data(format!("{round}-{nth}-").as_bytes()).await.expect("the server reads");
            streams.push(stream);
        }
        // The last ones end first.
        for (nth, stream) in streams.iter_mut().enumerate().rev() {
            stream.request.data(b"end").await.expect("the server reads");
            let answer = stream.answer().await.expect("an answer");
            assert_eq!((answer.status, answer.text()), (200, format!("{round}-{nth}-end")));
        }
    }
}

async fn what_the_server_refuses_it_answers_as_in_http1(provider: Provider) {
    let secure = narthex_tests::Secure::start(provider, narthex_tests::Setup { path: "app/", ..Default::default() });
    let connection = secure.http3().await;
    let large = "x".repeat(20_000);
    for (method, path, fields, status) in [
        ("GET", "/elsewhere", &[][..], 404),
        ("GET", "/app/%zz", &[], 400),
        ("GET", "/app/whoami", &[("x-large", large.as_str())], 431),
        ("GET", "/app/whoami", &[("connection", "close")], 400),
        ("CONNECT", "/app/whoami", &[("host", "somebody.else")], 0),
    ] {
        let answer = connection.open(method, path, fields).await.expect("the connection is there").answer().await;
        match (&answer, status) {
            // A head that is malformed for HTTP/3 has no answer.
            (Err(narthex_tests::h3::End::Reset(0x10e)), 0) => {}
            (Ok(answer), _) => {
                assert_eq!(answer.status, status, "{method} {path}");
                assert!(answer.header("x-app").is_none(), "the app has seen it: {answer:?}");
            }
            other => panic!("{method} {path}: {other:?}"),
        }
    }
    // The body is too large, by what is announced.
    let mut stream =
        connection.open("POST", "/app/len", &[("content-length", "40000000")]).await.expect("the connection is there");
    assert_eq!(stream.response.whole().await.expect("an answer").status, 413);
    assert_eq!(stream.request.stopped().await, Some(NO_ERROR), "nobody wants the body any more");
    // By what comes.
    let mut stream = connection.open("POST", "/app/len", &[]).await.expect("the connection is there");
    let piece = vec![b'u'; 1_000_000];
    while stream.request.data(&piece).await.is_ok() {}
    assert_eq!(stream.response.whole().await.expect("an answer").status, 413);
    assert_eq!(connection.get("/app/whoami").await.text(), "app", "others go on");
}

async fn a_response_that_breaks_off_is_reset_and_not_ended(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut stream = connection.open("GET", "/break-off?chunks=3&size=7&ms=1", &[]).await.expect("the connection is there");
    let end = stream.answer().await;
    assert!(matches!(end, Err(narthex_tests::h3::End::Reset(_))), "{end:?}");
    assert_eq!(connection.get("/panic").await.status, 500);
    assert_eq!(connection.get("/whoami").await.status, 200);
}

async fn the_app_is_asked_for_the_body_when_it_reads_it(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let fields = [("expect", "100-continue"), ("content-length", "5")];
    let mut stream = connection.open("POST", "/len", &fields).await.expect("the connection is there");
    stream.response.interim().await.expect("the app is interested");
    stream.request.data(b"hello").await.expect("the server reads");
    let answer = stream.answer().await.expect("an answer");
    assert_eq!((answer.interim.as_slice(), answer.status, answer.text().as_str()), (&[100][..], 200, "5"));
    let mut stream = connection.open("POST", "/ignore-body", &fields).await.expect("the connection is there");
    let answer = stream.response.whole().await.expect("an answer");
    assert_eq!((answer.interim.len(), answer.text().as_str()), (0, "ignored"));
}

async fn an_app_that_answers_before_the_body_came_wants_no_more_of_it(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    for length in [&[][..], &[("content-length", "5000000")]] {
        let mut stream = connection.open("POST", "/early", length).await.expect("the connection is there");
        stream.request.data(b"some").await.expect("there is room");
        let answer = stream.response.whole().await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
        assert_eq!(stream.request.stopped().await, Some(NO_ERROR));
    }
}

async fn what_an_app_says_of_its_body_wrongly_confuses_nobody(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    for kind in narthex_tests::app::EVIL {
        let mut stream = connection.open("GET", &format!("/evil/{kind}"), &[]).await.expect("the connection is there");
        match stream.answer().await {
            Err(narthex_tests::h3::End::Reset(_)) => {}
            Err(end) => panic!("{kind}: {end:?}"),
            Ok(answer) => {
                assert!(answer.header("transfer-encoding").is_none() && answer.status >= 200, "{kind}: {answer:?}");
                let lengths: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "content-length").collect();
                assert!(lengths.len() <= 1, "{kind}: {answer:?}");
                let is_right = |length: &str| length.parse() == Ok(answer.body.len()) || answer.status == 304;
                assert!(lengths.iter().all(|(_, length)| is_right(length)), "{kind}: {answer:?}");
                assert!(answer.body.is_empty() || !matches!(answer.status, 204 | 304), "{kind}: {answer:?}");
            }
        }
    }
    assert_eq!(connection.get("/whoami").await.text(), "app", "the connection goes on");
}

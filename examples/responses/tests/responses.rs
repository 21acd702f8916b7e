//! The example answers curl in every way that it shows.

use std::process::Command;

use narthex_tests::process::Process;

#[test]
fn curl_gets_every_kind_of_response() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_responses"));
    // A socket that nobody listens at: the example opens a port of its own.
    let command = command.arg("http://127.0.0.1:0/responses/").env("NARTHEX_HOST", "/nowhere/host.sock");
    let mut app = Process::start("responses", command);
    let url = app.line("responses are at ");
    let curl = |target: &str, more: &[&str]| {
        let output = Command::new("curl").args(["-sS", "-i", "-m", "10"]).args(more).arg(format!("{url}{target}")).output();
        String::from_utf8_lossy(&output.expect("curl is installed").stdout).replace("\r\n", "\n")
    };
    for (target, more, texts) in [
        ("", &[][..], &["HTTP/1.1 103 Early Hints\nlink: <style.css>", "HTTP/1.1 200 OK", "<h1>Responses"][..]),
        ("text", &["-H", "Accept-Encoding: gzip"], &["content-encoding: gzip", "vary: accept-encoding"]),
        ("json", &["-H", "Origin: https://shop.example"], &["access-control-allow-credentials: true", "{\"answer\":42}"]),
        ("bytes", &[], &["application/octet-stream", "\u{1}\u{2}\u{3}"]),
        ("stream", &[], &["tick 1\ntick 2\n", "tick 5\n"]),
        ("events", &[], &["text/event-stream", "id: 1\ndata: tick 1\n"]),
        ("trailers", &[], &["what is summed up", "x-sum: 1632"]),
        ("visits", &[], &["set-cookie: visits=", "HttpOnly", "visit 1"]),
    ] {
        let answer = curl(target, more);
        for text in texts.iter().chain(&["x-content-type-options: nosniff"]) {
            assert!(answer.contains(text), "{target}: {text:?} is not in {answer}");
        }
    }
}

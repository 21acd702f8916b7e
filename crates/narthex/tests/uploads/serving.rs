//! Real clients, and curl, by either provider.

use std::path::Path;
use std::process::Stdio;

use axum::extract::State;
use axum::{Json, Router, routing::post};
use narthex::uploads::{Form, UploadError, Uploads};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::client::{Place, Running};

on_both! {
    curl_sends_files_and_fields
    files_of_any_length_come_to_the_byte
    names_come_as_they_are_and_are_made_safe
    a_form_without_files_may_be_urlencoded
    a_form_that_is_too_large_is_413
    a_body_that_is_too_large_for_the_server_is_413
    other_types_are_415_and_what_breaks_off_400
    hooks_know_the_request
}

/// Says what it gets.
pub(crate) async fn tell(form: Form) -> Result<Json<Value>, UploadError> {
    let fields: Vec<_> = form.fields().map(|(name, value)| json!([name, value])).collect();
    let mut files = Vec::new();
    for file in form.files() {
        let mut content = Vec::new();
        file.open().await?.read_to_end(&mut content).await.map_err(|source| UploadError::Disk {
            doing: "read",
            path: file.path().unwrap_or(Path::new("")).to_owned(),
            source,
        })?;
        files.push(json!({
            "field": file.field(), "name": file.file_name(), "sent": file.sent_file_name(), "type": file.content_type(),
            "len": file.len(), "read": content.len(), "sha256": file.sha256_hex(), "disk": file.path().is_some(),
            "start": String::from_utf8_lossy(&content[..content.len().min(64)]),
        }));
    }
    Ok(Json(json!({ "fields": fields, "files": files })))
}

pub(crate) fn app(uploads: Uploads) -> Router {
    let by_hand =
        async |State(uploads): State<Uploads>, request: axum::extract::Request| uploads.receive(request).await.map(drop);
    Router::new().route("/upload", post(tell)).route("/by-hand", post(by_hand)).with_state(uploads)
}

pub(crate) async fn start(place: &Place, uploads: Uploads) -> Running {
    Running::start(place.serving(app(uploads), "http://127.0.0.1:0/app/").max_body(None)).await
}

/// The status and body that curl gets.
pub(crate) async fn curl(running: &Running, directory: &Path, arguments: &[&str]) -> (u16, String) {
    let url = format!("http://{}/app/upload", running.address());
    let mut command = Command::new("curl");
    command.args(["-sS", "-m", "30", "-w", "\n%{http_code}"]).args(arguments).arg(url).current_dir(directory).kill_on_drop(true);
    let output = command.stdin(Stdio::null()).output().await.expect("curl is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

async fn ok(running: &Running, directory: &Path, arguments: &[&str]) -> Value {
    let (status, body) = curl(running, directory, arguments).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn curl_sends_files_and_fields(place: &Place) {
    let (running, directory) = (start(place, Uploads::new()).await, tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("note.txt"), "FILE-CONTENT-0123456789-abcdef").unwrap();
    let told = ok(
        &running,
        directory.path(),
        &["-F", "field1=multipart-field-one", "-F", "field2=multipart-field-two-ABC", "-F", "upload=@note.txt"],
    );
    let told = told.await;
    assert_eq!(told["fields"], json!([["field1", "multipart-field-one"], ["field2", "multipart-field-two-ABC"]]));
    let file = &told["files"][0];
    assert_eq!((&file["field"], &file["name"], &file["type"]), (&json!("upload"), &json!("note.txt"), &json!("text/plain")));
    assert_eq!((&file["len"], &file["start"]), (&json!(30), &json!("FILE-CONTENT-0123456789-abcdef")));
    running.stop().await;
}

async fn files_of_any_length_come_to_the_byte(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let uploads = Uploads::new().directory(kept.path()).hash_sha256(true);
    let running = start(place, uploads).await;
    for len in [0, 1, 2, 65_534, 65_535, 65_536, 65_537, 262_144, 1_000_003] {
        let content: Vec<u8> = (0..len).map(|at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        std::fs::write(directory.path().join("f"), &content).unwrap();
        let told = ok(&running, directory.path(), &["-F", "f=@f"]).await;
        let file = &told["files"][0];
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&file["len"], &file["read"], &file["sha256"]), (&json!(len), &json!(len), &json!(hash)));
        assert_eq!(file["disk"], json!(len > 65_536));
    }
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0, "files go with the form");
    running.stop().await;
}

async fn names_come_as_they_are_and_are_made_safe(place: &Place) {
    let (running, directory) = (start(place, Uploads::new()).await, tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("f"), "x").unwrap();
    for (sent, safe) in [
        ("my holiday.jpg", "my holiday.jpg"),
        ("Grüße 文件.txt", "Grüße 文件.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("say \"hi\".txt", "say _hi_.txt"),
        ("semi;colon.txt", "semi;colon.txt"),
        ("nul", "_nul"),
    ] {
        // curl wants quotes and backslashes escaped where a name has them.
        let argument = format!("f=@f;filename=\"{}\"", sent.replace('\\', "\\\\").replace('"', "\\\""));
        let told = ok(&running, directory.path(), &["-F", &argument]).await;
        let file = &told["files"][0];
        assert_eq!((&file["sent"], &file["name"]), (&json!(sent), &json!(safe)));
    }
    running.stop().await;
}

async fn a_form_without_files_may_be_urlencoded(place: &Place) {
    let (running, directory) = (start(place, Uploads::new()).await, tempfile::tempdir().unwrap());
    let told = ok(&running, directory.path(), &["--data-urlencode", "a=1 & 2 = ü", "-d", "b=x+y&&c&=d"]).await;
    assert_eq!(told["fields"], json!([["a", "1 & 2 = ü"], ["b", "x y"], ["c", ""], ["", "d"]]));
    assert_eq!(told["files"], json!([]));
    running.stop().await;
}

async fn a_form_that_is_too_large_is_413(place: &Place) {
    let (kept, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let uploads = Uploads::new().directory(kept.path()).max_file(1_000_000).max_total(1_500_000);
    let running = start(place, uploads).await;
    for len in [1_000_001, 3_000_000] {
        std::fs::write(directory.path().join("f"), vec![b'x'; len]).unwrap();
        for more in [&[][..], &["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]] {
            let answer = curl(&running, directory.path(), &[&["-F", "f=@f"], more].concat()).await;
            assert_eq!(answer, (413, "{\"error\":\"Payload Too Large\"}".to_owned()));
        }
    }
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
    running.stop().await;
}

async fn a_body_that_is_too_large_for_the_server_is_413(place: &Place) {
    let server = place.serving(app(Uploads::new()), "http://127.0.0.1:0/app/").max_body(1000);
    let (running, directory) = (Running::start(server).await, tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("f"), vec![b'x'; 1001]).unwrap();
    let arguments = ["-F", "f=@f", "-H", "Transfer-Encoding: chunked"];
    assert_eq!(curl(&running, directory.path(), &arguments).await.0, 413);
    running.stop().await;
}

async fn other_types_are_415_and_what_breaks_off_400(place: &Place) {
    let running = start(place, Uploads::new()).await;
    for target in ["/app/upload", "/app/by-hand"] {
        let mut client = running.connect().await;
        let answer = client.post(target, b"{}").await;
        assert_eq!((answer.status, answer.text()), (415, "{\"error\":\"Unsupported Media Type\"}"));
        let body = "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\ncontent\r\n--x";
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(format!("{head}{body}").as_bytes()).await;
        let answer = client.reply().await;
        assert_eq!((answer.status, answer.text()), (400, "{\"error\":\"Bad Request\"}"));
        assert!(answer.head.contains("content-type: application/json\r\n"), "{}", answer.head);
    }
    running.stop().await;
}

async fn hooks_know_the_request(place: &Place) {
    use narthex::uploads::{Decision, Refusal};
    let uploads = Uploads::new().before_accept(async |file| {
        let known = file.request().extensions.get::<narthex::ConnectionInfo>().is_some_and(|known| known.peer.ip().is_loopback());
        let user = file.request().headers.get("x-user").is_some_and(|user| user == "ann");
        if known && user { Ok(Decision::Accept) } else { Err(Refusal::new("who are you?").status(http::StatusCode::FORBIDDEN)) }
    });
    let (running, directory) = (start(place, uploads).await, tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("f"), "x").unwrap();
    assert_eq!(curl(&running, directory.path(), &["-F", "f=@f", "-H", "X-User: ann"]).await.0, 200);
    let refused = curl(&running, directory.path(), &["-F", "f=@f"]).await;
    assert_eq!(refused, (403, "{\"error\":\"who are you?\"}".to_owned()));
    running.stop().await;
}

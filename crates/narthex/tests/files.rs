//! Files as an app's answers: what is sent, what is not, and what is said of it.

#![cfg(feature = "files")]
#![allow(clippy::disallowed_methods, reason = "files are as old as the system's clock says")]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
#[cfg(unix)]
use narthex::files::Symlinks;
use narthex::files::{EntityTag, FileError, NoFallback, SendFile, StaticDir};
use tempfile::TempDir;
use tower::ServiceExt;

/// An hour old, so that tags are strong.
fn write(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    for (name, content) in [
        ("index.html", "home"),
        ("digits", "0123456789"),
        ("page.html", "plain page"),
        ("page.html.gz", "gzipped"),
        ("page.html.br", "brotli"),
        ("docs/index.html", "docs"),
        ("docs/ü b.txt", "umlaut"),
        ("empty/x/y", ""),
        (".hidden", "secret"),
        (".well-known/security.txt", "mail"),
        ("%2e%2e", "odd name"),
    ] {
        write(&root, name, content);
    }
    write(directory.path(), "outside", "outside");
    directory
}

fn request(method: &Method, target: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

struct Answer {
    status: u16,
    head: Response<()>,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

async fn answer<B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>>(response: Response<B>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: head.status.as_u16(), head: Response::from_parts(head, ()), body }
}

async fn ask(service: &StaticDir, method: Method, target: &str, fields: &[(&str, &str)]) -> Answer {
    answer(service.clone().oneshot(request(&method, target, fields)).await.unwrap()).await
}

async fn get(service: &StaticDir, target: &str) -> Answer {
    ask(service, Method::GET, target, &[]).await
}

#[tokio::test]
async fn files_are_found_by_plain_names_only() {
    let directory = site();
    let service = StaticDir::new(directory.path().join("root"));
    for (target, body) in [
        ("/digits", "0123456789"),
        ("/", "home"),
        ("/docs/", "docs"),
        ("/docs/%C3%BC%20b.txt", "umlaut"),
        ("/.well-known/security.txt", "mail"),
        ("/%252e%252e", "odd name"),
        ("/digits?v=..%2f", "0123456789"),
    ] {
        let answer = get(&service, target).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{target}");
    }
    for target in [
        "/nothing",
        "/digits/",
        "/digits/x",
        "/empty/",
        "/.hidden",
        "/../outside",
        "/%2e%2e/outside",
        "/..%2foutside",
        "/..%5coutside",
        "/docs/../digits",
        "/docs/%2e%2e/digits",
        "//digits",
        "/docs//index.html",
        "/digits%00",
        "/digits%00.html",
        "/./digits",
        "/%2fetc%2fpasswd",
        "//etc/passwd",
        "/docs%2findex.html",
        "/%ff",
        "/root/digits",
    ] {
        let answer = get(&service, target).await;
        assert_eq!((answer.status, answer.body.contains("outside")), (404, false), "{target}");
    }
    let long = format!("/{}", "a".repeat(5000));
    assert_eq!(get(&service, &long).await.status, 404);
}

#[tokio::test]
async fn a_directory_is_redirected_to_its_slash_wherever_it_is_mounted() {
    let directory = site();
    let service = StaticDir::new(directory.path().join("root"));
    for (target, location) in [("/docs", "./docs/"), ("/docs?a=b", "./docs/?a=b"), ("/empty/x", "./x/")] {
        let answer = get(&service, target).await;
        assert_eq!((answer.status, answer.field("location")), (301, Some(location)), "{target}");
    }
    assert_eq!(get(&service.clone().index(None), "/docs").await.status, 404);
    assert_eq!(get(&service.index("digits"), "/").await.body, "0123456789");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_router_that_hides_the_missing_slash_does_not_keep_it_from_being_added() {
    let directory = site();
    let app: axum::Router = axum::Router::new().nest_service("/static", StaticDir::new(directory.path().join("root")));
    let ask = |target: &str| {
        let request = Request::builder().uri(target).body(axum::body::Body::empty()).unwrap();
        let response = app.clone().oneshot(request);
        async { answer(response.await.unwrap()).await }
    };
    assert_eq!(ask("/static").await.field("location"), Some("./static/"));
    assert_eq!(ask("/static/").await.body, "home");
    assert_eq!(ask("/static/docs").await.field("location"), Some("./docs/"));
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_leave_the_root_are_not_there_unless_they_are_wanted() {
    use std::os::unix::fs::symlink;

    let directory = site();
    let root = directory.path().join("root");
    symlink("../outside", root.join("out")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("digits", root.join("in")).unwrap();
    symlink("../digits", root.join("docs/in")).unwrap();
    let service = StaticDir::new(&root);
    for target in ["/out", "/up/outside", "/up/root/digits", "/absolute", "/loop"] {
        assert_eq!(get(&service, target).await.status, 404, "{target}");
    }
    for target in ["/in", "/docs/in"] {
        assert_eq!(get(&service, target).await.body, "0123456789", "{target}");
    }
    let service = service.symlinks(Symlinks::Follow);
    assert_eq!(get(&service, "/out").await.body, "outside");
    assert_eq!(get(&service, "/loop").await.status, 404);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_no_file_and_keeps_nobody_waiting() {
    let directory = site();
    let pipe = directory.path().join("root/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let service = StaticDir::new(directory.path().join("root"));
    assert_eq!(get(&service, "/pipe").await.status, 404);
    assert_eq!(get(&service.symlinks(Symlinks::Follow), "/pipe").await.status, 404);
    assert!(matches!(SendFile::open(pipe).await, Err(FileError::NotFound { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn neither_a_socket_nor_a_name_that_cannot_be_is_the_servers_fault() {
    let directory = site();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [socket, directory.path().join("x".repeat(300))] {
        assert!(matches!(SendFile::open(&path).await, Err(FileError::NotFound { .. })), "{}", path.display());
    }
}

#[tokio::test]
async fn the_clients_favourite_sibling_is_sent_with_the_originals_type() {
    let directory = site();
    let service = StaticDir::new(directory.path().join("root")).precompressed();
    let ask_for = |codings: &'static str| {
        let service = service.clone();
        async move { ask(&service, Method::GET, "/page.html", &[("accept-encoding", codings), ("range", "bytes=0-2")]).await }
    };
    let mut tags = Vec::new();
    for (codings, coding, body) in
        [("gzip, br", Some("br"), "bro"), ("gzip;q=1, br;q=0.5", Some("gzip"), "gzi"), ("zstd", None, "pla"), ("", None, "pla")]
    {
        let answer = ask_for(codings).await;
        assert_eq!((answer.status, answer.field("content-encoding"), answer.body.as_str()), (206, coding, body), "{codings}");
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.field("vary"), Some("accept-encoding"));
        tags.push(answer.field("etag").unwrap().to_owned());
    }
    assert_ne!(tags[0], tags[1]);
    assert_ne!(tags[1], tags[2]);
    let plain = StaticDir::new(directory.path().join("root"));
    let answer = ask(&plain, Method::GET, "/page.html", &[("accept-encoding", "br")]).await;
    assert_eq!((answer.body.as_str(), answer.field("vary")), ("plain page", None));
}

#[tokio::test]
async fn only_get_and_head_are_for_files() {
    let directory = site();
    let service = StaticDir::new(directory.path().join("root"));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = ask(&service, method, "/digits", &[]).await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, HEAD")));
    }
    let answer = ask(&service, Method::HEAD, "/digits", &[("range", "bytes=0-1")]).await;
    assert_eq!((answer.status, answer.field("accept-ranges")), (200, Some("bytes")), "ranges are for GET");
}

#[tokio::test]
async fn what_is_not_there_is_the_fallbacks() {
    let directory = site();
    let fallback = tower::service_fn(|request: Request<Empty<Bytes>>| async move {
        Ok(Response::new(http_body_util::Full::new(Bytes::from(format!("no {}", request.uri())))))
    });
    let service = StaticDir::new(directory.path().join("root")).fallback(fallback);
    for (target, body) in [("/nothing", "no /nothing"), ("/digits", "0123456789"), ("/a/../b", "no /a/../b")] {
        let response = service.clone().oneshot(request(&Method::GET, target, &[])).await.unwrap();
        assert_eq!(answer(response).await.body, body);
    }
    let _: StaticDir<NoFallback> = StaticDir::new("/");
}

async fn digits(directory: &TempDir) -> SendFile {
    SendFile::open(directory.path().join("root/digits")).await.unwrap()
}

async fn sent(file: SendFile, fields: &[(&str, &str)]) -> Answer {
    answer(file.respond_to(&request(&Method::GET, "/", fields))).await
}

#[tokio::test]
async fn a_file_says_what_it_is() {
    let directory = site();
    let file = SendFile::open(directory.path().join("root/docs/ü b.txt")).await.unwrap();
    let answer = sent(file.download_as("ü b.txt").cache_control(HeaderValue::from_static("no-cache")), &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "umlaut"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.field("content-disposition"), Some("attachment; filename=\"_ b.txt\"; filename*=UTF-8''%C3%BC%20b.txt"));
    assert_eq!((answer.field("cache-control"), answer.field("accept-ranges")), (Some("no-cache"), Some("bytes")));
    assert!(answer.field("etag").unwrap().starts_with('"') && answer.field("last-modified").unwrap().ends_with(" GMT"));
    let answer = sent(digits(&directory).await.download_as("x").inline(), &[]).await;
    assert_eq!(answer.field("content-disposition"), Some("inline; filename=\"x\""));
    assert_eq!(answer.field("content-type"), Some("application/octet-stream"));
}

#[tokio::test]
async fn ranges_are_parts_of_the_file() {
    let directory = site();
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=-2", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=8-", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=0-4,3-5", 206, Some("bytes 0-5/10"), "012345"),
        ("bytes=4-2", 200, None, "0123456789"),
    ] {
        let answer = sent(digits(&directory).await, &[("range", range)]).await;
        assert_eq!(
            (answer.status, answer.field("content-range"), answer.body.as_str()),
            (status, content_range, body),
            "{range}"
        );
    }
    let answer = sent(digits(&directory).await, &[("range", "bytes=10-")]).await;
    assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */10")));
}

#[tokio::test]
async fn several_ranges_are_parts_of_one_message() {
    let directory = site();
    let answer = sent(digits(&directory).await.content_type(HeaderValue::from_static("x/y")), &[("range", "bytes=8-,0-1")]).await;
    let boundary = answer.field("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    let part = |range: &str, bytes: &str| {
        format!("\r\n--{boundary}\r\nContent-Range: bytes {range}/10\r\nContent-Type: x/y\r\n\r\n{bytes}")
    };
    assert_eq!(answer.body, format!("{}{}\r\n--{boundary}--\r\n", part("8-9", "89"), part("0-1", "01")));
    assert_eq!((answer.status, answer.field("content-range")), (206, None));
}

#[tokio::test]
async fn conditions_decide_whether_anything_is_sent() {
    let directory = site();
    let first = sent(digits(&directory).await, &[]).await;
    let (tag, date) = (first.field("etag").unwrap(), first.field("last-modified").unwrap());
    for (fields, status) in [
        (&[("if-none-match", tag)][..], 304),
        (&[("if-modified-since", date)], 304),
        (&[("if-none-match", "\"other\""), ("if-modified-since", date)], 200),
        (&[("if-match", "\"other\"")], 412),
        (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 412),
        (&[("range", "bytes=0-1"), ("if-range", tag)], 206),
        (&[("range", "bytes=0-1"), ("if-range", date)], 206),
        (&[("range", "bytes=0-1"), ("if-range", "\"other\"")], 200),
        (&[("range", "bytes=0-1"), ("if-none-match", tag)], 304),
        (&[("range", "bytes=99-"), ("if-match", "\"other\"")], 412),
    ] {
        let answer = sent(digits(&directory).await.cache_control(HeaderValue::from_static("no-cache")), fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
        if status == 304 {
            assert!(answer.body.is_empty() && answer.field("content-type").is_none());
            assert_eq!((answer.field("etag"), answer.field("cache-control")), (Some(tag), Some("no-cache")));
        }
    }
    let posted =
        digits(&directory).await.respond_to(&request(&Method::POST, "/", &[("if-none-match", tag), ("range", "bytes=0-1")]));
    assert_eq!(posted.status(), StatusCode::OK, "what was posted has happened");
}

#[tokio::test]
async fn a_changed_or_replaced_file_has_another_tag() {
    let directory = site();
    let path = directory.path().join("root/digits");
    let tag = |response: &Response<_>| response.headers()[ETAG].clone();
    let ask = async || SendFile::open(&path).await.unwrap().respond_to(&request(&Method::GET, "/", &[]));
    let first = ask().await;
    // Of the same age and length.
    write(directory.path(), "other", "9876543210");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::File::options().write(true).open(directory.path().join("other")).unwrap().set_modified(modified).unwrap();
    fs::rename(directory.path().join("other"), &path).unwrap();
    let replaced = ask().await;
    assert_eq!(first.headers()[LAST_MODIFIED], replaced.headers()[LAST_MODIFIED]);
    assert_ne!(tag(&first), tag(&replaced));
    fs::write(&path, "0123456789").unwrap();
    let written = ask().await;
    assert!(tag(&written).as_bytes().starts_with(b"W/"), "it may change again within the same time");
    let own = SendFile::open(&path).await.unwrap().etag(EntityTag::strong("v1"));
    assert_eq!(tag(&own.respond_to(&request(&Method::GET, "/", &[]))), "\"v1\"");
}

#[tokio::test]
async fn what_is_no_file_cannot_be_opened() {
    let directory = site();
    let error = SendFile::open(directory.path().join("root/none")).await.unwrap_err();
    assert!(error.to_string().contains("root/none"), "{error}");
    assert!(matches!(SendFile::open(directory.path()).await, Err(FileError::NotFound { .. })));
}

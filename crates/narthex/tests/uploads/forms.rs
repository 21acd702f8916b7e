//! What is made of the bytes of a form, without a server.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use narthex::uploads::{Decision, Form, Limited, Refusal, UploadError, Uploads};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

/// The multipart form that the parts make.
pub(crate) fn form(parts: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(b"--XX\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

/// Receives the body in pieces that end where `cuts` says.
async fn receive_cut(uploads: &Uploads, kind: &str, body: &[u8], cuts: &[usize]) -> Result<Form, UploadError> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([0, body.len()]).collect();
    ends.sort_unstable();
    let pieces: Vec<_> = ends.windows(2).map(|ends| Bytes::copy_from_slice(&body[ends[0]..ends[1]])).collect();
    let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let body = StreamBody::new(stream::iter(frames));
    uploads.receive(Request::post("/").header("content-type", kind).body(body).unwrap()).await
}

async fn receive(uploads: &Uploads, body: &[u8]) -> Result<Form, UploadError> {
    receive_cut(uploads, "multipart/form-data; boundary=XX", body, &[]).await
}

/// Everything of a form that a handler can see.
async fn seen(form: &Form) -> Vec<String> {
    let mut seen: Vec<String> = form.fields().map(|(name, value)| format!("{name}={value}")).collect();
    for file in form.files() {
        let mut content = Vec::new();
        file.open().await.unwrap().read_to_end(&mut content).await.unwrap();
        assert_eq!(file.len(), content.len() as u64);
        let (disk, hash) = (file.path().is_some(), file.sha256_hex());
        seen.push(format!(
            "{} {} {:?} {disk} {hash:?} {}",
            file.field(),
            file.file_name(),
            file.content_type(),
            content.escape_ascii()
        ));
    }
    seen
}

#[tokio::test]
async fn fields_and_files_come_as_they_were_sent() {
    let body = form(&[
        b"name=\"field1\"\r\n\r\nmultipart-field-one",
        b"name=\"upload\"; filename=\"note.txt\"\r\nContent-Type: text/plain\r\n\r\nFILE-CONTENT-0123456789-abcdef",
        "name=\"fïeld\"\r\n\r\n".as_bytes(),
        b"name=\"upload\"; filename=\"../a b.bin\"\r\n\r\n\r\n--X\0\xff\r",
    ]);
    let received = receive(&Uploads::new(), &body).await.unwrap();
    let fields: Vec<_> = received.fields().collect();
    assert_eq!(fields, [("field1", "multipart-field-one"), ("fïeld", "")]);
    let first = received.file("upload").unwrap();
    assert_eq!((first.file_name(), first.len(), first.content_type()), ("note.txt", 30, Some("text/plain")));
    assert_eq!(first.bytes().unwrap(), "FILE-CONTENT-0123456789-abcdef");
    let second = &received.files()[1];
    assert_eq!((second.file_name(), second.sent_file_name()), ("a b.bin", "../a b.bin"));
    assert_eq!(second.bytes().unwrap().as_ref(), b"\r\n--X\0\xff\r");
}

#[tokio::test]
async fn an_empty_file_is_a_file_and_an_input_without_one_is_not() {
    let body = form(&[
        b"name=\"a\"; filename=\"empty.txt\"\r\n\r\n",
        b"name=\"b\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        b"name=\"c\"; filename=\"\"\r\n\r\nx",
    ]);
    let received = receive(&Uploads::new().memory_up_to(0).hash_sha256(true), &body).await.unwrap();
    let empty = received.file("a").unwrap();
    assert_eq!((empty.len(), empty.bytes().map(Bytes::len)), (0, Some(0)));
    assert_eq!(empty.sha256_hex().unwrap(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert!(received.file("b").is_none());
    assert!(received.file("c").unwrap().file_name().starts_with("upload-"));
}

#[tokio::test]
async fn files_stay_in_memory_while_all_of_them_fit() {
    let content = vec![b'x'; 60];
    let part = |name: &str| [format!("name=\"f\"; filename=\"{name}\"\r\n\r\n").as_bytes(), &content].concat();
    let body = form(&[&part("1"), &part("2"), &part("3")]);
    let received = receive(&Uploads::new().memory_up_to(120), &body).await.unwrap();
    let on_disk: Vec<bool> = received.files().iter().map(|file| file.path().is_some()).collect();
    assert_eq!(on_disk, [false, false, true]);
    let received = receive(&Uploads::new().memory_up_to(59), &body).await.unwrap();
    assert!(received.files().iter().all(|file| file.path().is_some()));
}

#[tokio::test]
async fn what_a_body_of_one_large_piece_says_is_what_is_received() {
    let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    let body = form(&[&[b"name=\"f\"; filename=\"f\"\r\n\r\n".as_slice(), &content].concat()]);
    let request =
        Request::post("/").header("content-type", "multipart/form-data; boundary=XX").body(Full::new(Bytes::from(body)));
    let received = Uploads::new().receive(request.unwrap()).await.unwrap();
    assert!(std::fs::read(received.file("f").unwrap().path().unwrap()).unwrap() == content);
}

#[tokio::test]
async fn every_limit_holds_to_the_byte() {
    let file = |len: usize| form(&[&[b"name=\"f\"; filename=\"f\"\r\n\r\n".as_slice(), &vec![b'x'; len]].concat()]);
    let field = |len: usize| form(&[&[b"name=\"f\"\r\n\r\n".as_slice(), &vec![b'x'; len]].concat()]);
    let total = file(10).len() as u64;
    for (uploads, fits, too_large, what) in [
        (Uploads::new().max_file(10), file(10), file(11), Limited::File),
        (Uploads::new().max_field(10), field(10), field(11), Limited::Field),
        (Uploads::new().max_fields(11), field(10), field(11), Limited::Fields),
        (Uploads::new().max_total(total), file(10), file(11), Limited::Total),
    ] {
        assert!(receive(&uploads, &fits).await.is_ok(), "{what:?}");
        let error = receive(&uploads, &too_large).await.unwrap_err();
        assert!(matches!(error, UploadError::TooLarge { what: found, .. } if found == what), "{error}");
        assert_eq!(error.status(), 413);
    }
    let error = receive(&Uploads::new().max_parts(1), &form(&[b"name=a\r\n\r\n1", b"name=b\r\n\r\n2"])).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.to_response().body().as_str()), (413, "{\"error\":\"Payload Too Large\"}"));
}

#[tokio::test]
async fn a_header_or_preamble_without_an_end_is_not_kept_in_memory() {
    for start in [&b""[..], b"--XX\r\nContent-Disposition: "] {
        let endless = stream::iter((0..).map(|piece| {
            Ok::<_, Infallible>(Frame::data(match piece {
                0 => Bytes::copy_from_slice(start),
                _ => Bytes::from_static(&[b'x'; 1000]),
            }))
        }));
        let request = Request::post("/").header("content-type", "multipart/form-data; boundary=XX");
        let error = Uploads::new().receive(request.body(StreamBody::new(endless)).unwrap()).await.unwrap_err();
        assert!(matches!(error, UploadError::TooLarge { what: Limited::Header, .. }), "{error}");
    }
}

#[tokio::test]
async fn what_breaks_off_or_is_malformed_is_400() {
    let whole = form(&[b"name=\"f\"; filename=\"f\"\r\n\r\ncontent"]);
    for end in 0..whole.len() - 2 {
        let error = receive(&Uploads::new().memory_up_to(0), &whole[..end]).await.unwrap_err();
        assert_eq!(error.status(), 400, "cut at {end}: {error}");
    }
    for part in
        [&b"x=y\r\n\r\n1"[..], b"name=a\r\nContent-Transfer-Encoding: base64\r\n\r\neHh4", b"name=a\r\nno header\r\n\r\n1"]
    {
        let error = receive(&Uploads::new(), &form(&[part])).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.to_response().body().as_str()), (400, "{\"error\":\"Bad Request\"}"));
    }
    let broken = stream::iter([Ok(Frame::data(Bytes::from(whole))), Err(io::Error::other("reset"))]);
    let request = Request::post("/").header("content-type", "multipart/form-data; boundary=XX");
    let error = Uploads::new().receive(request.body(StreamBody::new(broken)).unwrap()).await.unwrap_err();
    assert!(matches!(error, UploadError::Truncated), "a body that breaks behind the form: {error}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_500_and_says_what_to_do() {
    let body = form(&[b"name=\"f\"; filename=\"f\"\r\n\r\ncontent"]);
    let error = receive(&Uploads::new().memory_up_to(0).directory("/nowhere/at/all"), &body).await.unwrap_err();
    assert!(error.to_string().ends_with("create the directory, or choose another"), "{error}");
    assert_eq!((error.status().as_u16(), error.to_response().body().as_str()), (500, "{\"error\":\"Internal Server Error\"}"));
    let full = UploadError::Disk { doing: "keep", path: "/".into(), source: io::ErrorKind::StorageFull.into() };
    assert_eq!(full.status(), 507);
}

#[tokio::test]
async fn hooks_skip_and_refuse_fields_and_files() {
    let uploads = Uploads::new()
        .on_field(async |field| match field.value() {
            "bad" => Err(Refusal::new("say something nice")),
            "odd" => Ok(Decision::Skip),
            _ => Ok(Decision::Accept),
        })
        .before_accept(async |file| match file.sent_file_name() {
            "x.exe" => Err(Refusal::new("no programs").status(http::StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            "skipped" => Ok(Decision::Skip),
            _ => Ok(Decision::Accept),
        });
    let body = form(&[
        b"name=a\r\n\r\nodd",
        b"name=b\r\n\r\ngood",
        b"name=c; filename=skipped\r\n\r\n1",
        b"name=d; filename=kept\r\n\r\n2",
    ]);
    let received = receive(&uploads, &body).await.unwrap();
    assert_eq!((received.fields().count(), received.field("b")), (1, Some("good")));
    assert_eq!((received.files().len(), received.file("d").is_some()), (1, true));

    let error = receive(&uploads, &form(&[b"name=a\r\n\r\nbad"])).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.to_response().body().as_str()), (422, "{\"error\":\"say something nice\"}"));
    let error = receive(&uploads, &form(&[b"name=a; filename=x.exe\r\n\r\nMZ"])).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.to_response().body().as_str()), (415, "{\"error\":\"no programs\"}"));
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let content = proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'X'), any::<u8>()], 0..200);
    const HEADS: [&str; 3] = [
        "name=\"a\"\r\n\r\n",
        "name=\"b\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\n",
        "name=\"ü ü\"; filename=\"\"\r\nX-Y: z\r\n\r\n",
    ];
    let head = proptest::sample::select(&HEADS[..]).prop_map(str::as_bytes);
    (head, content).prop_map(|(head, content)| [head, &content].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_split_of_a_multipart_form_gives_the_same(
        parts in proptest::collection::vec(part(), 0..5),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let uploads = Uploads::new().memory_up_to(100).hash_sha256(true);
        let body = form(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let outcome = |cuts: Vec<usize>| runtime.block_on(async {
            match receive_cut(&uploads, "multipart/form-data; boundary=XX", &body, &cuts).await {
                Ok(form) => seen(&form).await.into_iter().map(without_generated_name).collect(),
                Err(error) => vec![error.to_string()],
            }
        });
        let whole = outcome(Vec::new());
        prop_assert_eq!(outcome(cuts), whole.clone());
        prop_assert_eq!(outcome((0..body.len()).collect()), whole);
    }

    #[test]
    fn any_split_of_a_urlencoded_form_gives_the_same(
        body in "[a-c&=%+0-9éA-F]{0,80}",
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let kind = "application/x-www-form-urlencoded";
        let received = |cuts: Vec<usize>| runtime.block_on(async {
            seen(&receive_cut(&Uploads::new(), kind, body.as_bytes(), &cuts).await.unwrap()).await
        });
        let expected: Vec<String> = form_urlencoded::parse(body.as_bytes()).map(|(name, value)| format!("{name}={value}")).collect();
        prop_assert_eq!(received(cuts), expected.clone());
        prop_assert_eq!(received((0..body.len()).collect()), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(receive(&Uploads::new(), &[b"--XX\r\n".as_slice(), &body].concat()));
    }
}

fn without_generated_name(seen: String) -> String {
    match seen.split_once("upload-") {
        Some((before, after)) => format!("{before}{}", after.get(16..).unwrap_or_default()),
        None => seen,
    }
}

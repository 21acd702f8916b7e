//! Rows of ranges and conditions (RFC 9110 sections 13 and 14), of a file that is sent with its head and of one that is sent after it:
//! as a descriptor through the host, without copying where there is no TLS.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use narthex_tests::matrix::{Ask, Reply, Rows, Scene, Variant, Wire, same, that};
use tempfile::TempDir;

/// What rows say of a field that is not there.
const NONE: Option<&str> = None;

pub(crate) fn rows(variant: Variant) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let files = directory.path().to_str().expect("it is text");
    let scene = Scene::start(variant, &["--routes", "raw", "--files", files]);
    let mut rows = Rows::default();
    for length in [10, 1_000_000] {
        let content: Vec<u8> = (0..length).map(|at: usize| (at ^ (at >> 8)) as u8).collect();
        write(&directory.path().join(length.to_string()), &content);
        let mut stage = Stage { wire: scene.wire(), target: format!("/files/{length}"), content };
        of_one_part(&mut rows, &mut stage);
        of_several_parts(&mut rows, &mut stage);
        of_no_part(&mut rows, &mut stage);
        under_conditions(&mut rows, &mut stage);
    }
    rows.done();
}

/// An hour old, so that its tag is a strong one.
fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("a file can be written");
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).and_then(|file| file.set_modified(old)).expect("a file can be dated");
}

struct Stage {
    wire: Wire,
    target: String,
    content: Vec<u8>,
}

impl Stage {
    fn ask(&mut self, method: &str, fields: &[(&str, &str)]) -> Result<Reply, String> {
        let ask = fields.iter().fold(Ask::new(method, self.target.as_str()), |ask, (name, value)| ask.field(name, *value));
        self.wire.ask(&ask)
    }

    fn range(&mut self, range: &str) -> Result<Reply, String> {
        self.ask("GET", &[("range", range)])
    }

    fn length(&self) -> usize {
        self.content.len()
    }

    /// It is this part of the file.
    fn is_part(&self, reply: &Reply, first: usize, last: usize) -> Result<(), String> {
        let told = format!("bytes {first}-{last}/{}", self.length());
        same((reply.status, reply.header("content-range")), (206, Some(told.as_str())))?;
        same(reply.header("content-length"), Some((last + 1 - first).to_string().as_str()))?;
        that(reply.body == self.content[first..=last], || format!("{first}-{last} are other bytes"))
    }

    fn is_whole(&self, reply: &Reply) -> Result<(), String> {
        same((reply.status, reply.header("content-range")), (200, NONE))?;
        that(reply.body == self.content, || format!("{} other bytes", reply.body.len()))
    }
}

fn of_one_part(rows: &mut Rows, stage: &mut Stage) {
    let last = stage.length() - 1;
    let past = last + 90;
    for (row, range, begin, end) in [
        ("range-first", "bytes=0-0".to_owned(), 0, 0),
        ("range-middle", "bytes=2-5".to_owned(), 2, 5),
        ("range-open", "bytes=3-".to_owned(), 3, last),
        ("range-all", "bytes=0-".to_owned(), 0, last),
        ("range-last", format!("bytes={last}-{last}"), last, last),
        ("range-suffix", "bytes=-4".to_owned(), last - 3, last),
        ("range-past", format!("bytes=5-{past}"), 5, last),
        ("range-long-suffix", format!("bytes=-{past}"), 0, last),
        ("range-huge", "bytes=1-99999999999999999999999".to_owned(), 1, last),
        ("range-unit", "BYTES=1-2".to_owned(), 1, 2),
        ("range-empty-elements", "bytes= ,\t1-2, ,".to_owned(), 1, 2),
        ("range-one-of-two", format!("bytes={past}-, 1-2"), 1, 2),
        ("range-overlap", "bytes=1-3,2-5".to_owned(), 1, 5),
    ] {
        rows.row(row, || {
            let reply = stage.range(&range)?;
            stage.is_part(&reply, begin, end)
        });
    }
}

fn of_several_parts(rows: &mut Rows, stage: &mut Stage) {
    rows.row("range-parts", || {
        let last = stage.length() - 1;
        let reply = stage.range("bytes=5-6,0-1,-1")?;
        let kind = reply.header("content-type").and_then(|kind| kind.strip_prefix("multipart/byteranges; boundary="));
        let boundary = kind.ok_or_else(|| format!("{:?}", reply.fields))?;
        let mut wanted = Vec::new();
        for (first, last) in [(5, 6), (0, 1), (last, last)] {
            let told = format!("Content-Range: bytes {first}-{last}/{}", stage.length());
            wanted.extend(format!("\r\n--{boundary}\r\n{told}\r\nContent-Type: application/octet-stream\r\n\r\n").into_bytes());
            wanted.extend(&stage.content[first..=last]);
        }
        wanted.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        same((reply.status, reply.header("content-range")), (206, NONE))?;
        that(reply.body == wanted, || format!("{:?}", reply.text()))
    });
    rows.row("range-too-many", || {
        let many = format!("bytes={}", vec!["0-0"; 200].join(","));
        let reply = stage.range(&many)?;
        stage.is_whole(&reply)
    });
}

fn of_no_part(rows: &mut Rows, stage: &mut Stage) {
    let length = stage.length();
    rows.row("range-416", || {
        for range in [format!("bytes={length}-"), format!("bytes={}-{}", length + 5, length + 9), "bytes=-0".to_owned()] {
            let reply = stage.range(&range)?;
            let told = format!("bytes */{length}");
            same((reply.status, reply.header("content-range")), (416, Some(told.as_str())))?;
        }
        Ok(())
    });
    rows.row("range-malformed", || {
        for range in
            ["bytes=", "bytes=x", "bytes=5-2", "bytes=1-2x", "bytes=-", "bytes 1-2", "bytes=1", "bytes=+1-2", "bytes=1-2;3-4"]
        {
            let reply = stage.range(range)?;
            stage.is_whole(&reply).map_err(|problem| format!("{range}: {problem}"))?;
        }
        Ok(())
    });
    rows.row("range-other-unit", || {
        let reply = stage.range("lines=1-2")?;
        stage.is_whole(&reply)
    });
    rows.row("range-twice", || {
        let reply = stage.ask("GET", &[("range", "bytes=0-1"), ("range", "bytes=2-3")])?;
        stage.is_whole(&reply)
    });
    rows.row("range-head", || {
        let reply = stage.ask("HEAD", &[("range", "bytes=0-1")])?;
        let wanted = (200, Some(length.to_string()), Some("bytes".to_owned()), 0);
        let owned = |name| reply.header(name).map(str::to_owned);
        same((reply.status, owned("content-length"), owned("accept-ranges"), reply.body.len()), wanted)
    });
}

fn under_conditions(rows: &mut Rows, stage: &mut Stage) {
    let Ok(whole) = stage.ask("GET", &[]) else { return rows.row("range-all", || Err("the file does not come".to_owned())) };
    let of = |name| whole.header(name).unwrap_or_default().to_owned();
    let (tag, date) = (of("etag"), of("last-modified"));
    let weak = format!("W/{tag}");
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    let part = ("range", "bytes=1-2");
    for (row, value, is_part) in [
        ("if-range-tag", tag.as_str(), true),
        ("if-range-other-tag", "\"other\"", false),
        ("if-range-weak-tag", weak.as_str(), false),
        ("if-range-date", date.as_str(), true),
        ("if-range-other-date", long_ago, false),
    ] {
        rows.row(row, || {
            let reply = stage.ask("GET", &[part, ("if-range", value)])?;
            if is_part { stage.is_part(&reply, 1, 2) } else { stage.is_whole(&reply) }
        });
    }
    for (row, field, value, status) in [
        ("range-if-match", "if-match", tag.as_str(), 206),
        ("range-if-match-other", "if-match", "\"other\"", 412),
        ("range-if-match-weak", "if-match", weak.as_str(), 412),
        ("range-if-none-match", "if-none-match", tag.as_str(), 304),
        ("range-if-none-match-other", "if-none-match", "\"other\"", 206),
        ("range-if-modified", "if-modified-since", date.as_str(), 304),
        ("range-if-modified-other", "if-modified-since", long_ago, 206),
        ("range-if-unmodified", "if-unmodified-since", date.as_str(), 206),
        ("range-if-unmodified-other", "if-unmodified-since", long_ago, 412),
    ] {
        rows.row(row, || same(stage.ask("GET", &[part, (field, value)])?.status, status));
    }
    rows.row("range-joined", || {
        let mut joined = Vec::new();
        let (half, end) = (stage.length() / 2, stage.length());
        for range in [format!("bytes=0-{}", half - 1), format!("bytes={half}-{}", end - 1)] {
            joined.extend(stage.ask("GET", &[("range", &range), ("if-range", &tag)])?.body);
        }
        that(joined == stage.content, || "two halves are no whole".to_owned())
    });
}

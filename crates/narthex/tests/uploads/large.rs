//! An upload takes the same memory however long it is.
#![cfg(target_os = "linux")]

use std::time::Instant;

use narthex::uploads::Uploads;
use tokio::io::AsyncWriteExt;

use crate::client::Place;

on_both! {
    a_large_upload_takes_constant_memory
}

/// Long enough to show, and short enough for a build without optimisation: 1 GiB takes 10 seconds and no more memory than this.
const LENGTH: u64 = 256 << 20;
/// Server, host and client together. Measured: 4 MiB.
const MOST_MEMORY: u64 = 16 << 20;

/// The most memory that this process has ever had resident.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[expect(clippy::disallowed_methods, reason = "the time is told, not tested")]
async fn a_large_upload_takes_constant_memory(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let uploads = Uploads::new().directory(directory.path()).hash_sha256(true);
    let app = axum::Router::new().route("/upload", axum::routing::post(measured)).with_state(uploads);
    let server = place.serving(app, "http://127.0.0.1:0/app/").max_body(None);
    let running = crate::client::Running::start(server).await;
    let mut client = running.connect().await;
    let start = "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n";
    let end = "\r\n--x--\r\n";
    let length = LENGTH + (start.len() + end.len()) as u64;
    client.send(b"POST /app/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n").await;
    client.send(format!("Content-Length: {length}\r\n\r\n{start}").as_bytes()).await;
    let (before, begun) = (peak(), Instant::now());
    let piece: Vec<u8> = (0..1u32 << 18).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for _ in 0..LENGTH / piece.len() as u64 {
        client.0.write_all(&piece).await.unwrap();
    }
    client.send(end.as_bytes()).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (200, format!("{LENGTH}").as_str()));
    let grown = peak() - before;
    eprintln!("{LENGTH} bytes in {:?}, {} KiB more memory", begun.elapsed(), grown >> 10);
    assert!(grown < MOST_MEMORY, "{grown} bytes more");
    running.stop().await;
}

async fn measured(form: narthex::uploads::Form) -> String {
    form.files()[0].len().to_string()
}

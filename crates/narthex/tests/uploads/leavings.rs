//! Whatever ends an upload early leaves nothing behind.

use std::path::Path;
use std::time::Duration;

use narthex::uploads::Uploads;
use tokio::sync::mpsc;

use super::serving;
use crate::client::{Place, Running};

on_both! {
    a_client_that_leaves_leaves_nothing
    a_hook_that_panics_leaves_nothing
    a_server_that_stops_leaves_nothing
}

const HEAD: &str = "POST /app/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 90000000\r\n\r\n\
    --x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n";

/// What is in the directory, once that is as many files as expected.
async fn until_files(directory: &Path, expected: usize) {
    let counted = async {
        while std::fs::read_dir(directory).unwrap().count() != expected {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let found = || std::fs::read_dir(directory).unwrap().count();
    assert!(tokio::time::timeout(Duration::from_secs(10), counted).await.is_ok(), "{} files instead of {expected}", found());
}

async fn begun(place: &Place, directory: &Path) -> (Running, crate::client::Client) {
    let running = serving::start(place, Uploads::new().directory(directory)).await;
    let mut client = running.connect().await;
    client.send(HEAD.as_bytes()).await;
    client.send(&vec![b'x'; 1_000_000]).await;
    until_files(directory, 1).await;
    (running, client)
}

async fn a_client_that_leaves_leaves_nothing(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let (running, client) = begun(place, directory.path()).await;
    drop(client);
    until_files(directory.path(), 0).await;
    assert_eq!(running.get("/app/upload").await.status, 405, "the server goes on");
    running.stop().await;
}

async fn a_hook_that_panics_leaves_nothing(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let (asked, mut is_asked) = mpsc::channel(1);
    let uploads = Uploads::new().memory_up_to(0).directory(directory.path()).on_field(move |_| {
        let asked = asked.clone();
        async move {
            asked.send(()).await.unwrap();
            panic!("a hook panics, as the test wants")
        }
    });
    let running = serving::start(place, uploads).await;
    let mut client = running.connect().await;
    client.send(HEAD.as_bytes()).await;
    client.send(b"content\r\n--x\r\nContent-Disposition: form-data; name=c\r\n\r\nd\r\n--x--").await;
    is_asked.recv().await.unwrap();
    assert_eq!(client.reply().await.status, 500);
    until_files(directory.path(), 0).await;
    running.stop().await;
}

async fn a_server_that_stops_leaves_nothing(place: &Place) {
    let directory = tempfile::tempdir().unwrap();
    let server = place.serving(serving::app(Uploads::new().directory(directory.path())), "http://127.0.0.1:0/app/");
    let running = Running::start(server.max_body(None).shutdown_timeout(Duration::from_millis(10))).await;
    let mut client = running.connect().await;
    client.send(HEAD.as_bytes()).await;
    client.send(&vec![b'x'; 1_000_000]).await;
    until_files(directory.path(), 1).await;
    running.stop().await;
    until_files(directory.path(), 0).await;
}

//! Files that are given a place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use narthex::uploads::{Form, Refusal, UploadError, Uploads};
use tempfile::tempdir;

use super::forms::form;

async fn receive(uploads: &Uploads, files: &[(&str, &str)]) -> Result<Form, UploadError> {
    let parts = files.iter().map(|(name, content)| format!("name=f; filename=\"{name}\"\r\n\r\n{content}").into_bytes());
    let parts: Vec<_> = parts.collect();
    let body = form(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let request = Request::post("/").header("content-type", "multipart/form-data; boundary=XX");
    uploads.receive(request.body(Full::new(Bytes::from(body))).unwrap()).await
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn in_memory_and_on_disk() -> [Uploads; 2] {
    [Uploads::new(), Uploads::new().memory_up_to(0)]
}

#[tokio::test]
async fn a_persisted_file_stays_and_others_go_with_the_form() {
    for uploads in in_memory_and_on_disk() {
        let directory = tempdir().unwrap();
        let place = directory.path().join("a place.txt");
        let mut received = receive(&uploads.directory(directory.path()), &[("a", "1"), ("b", "2")]).await.unwrap();
        received.files_mut()[0].persist(&place).await.unwrap();
        assert_eq!(received.files()[0].path(), Some(place.as_path()));
        drop(received);
        assert_eq!(names(directory.path()), ["a place.txt"]);
        assert_eq!(std::fs::read_to_string(place).unwrap(), "1");
    }
}

#[tokio::test]
async fn a_file_never_takes_the_place_of_another_unless_told_to() {
    for uploads in in_memory_and_on_disk() {
        let directory = tempdir().unwrap();
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        std::fs::write(&first, "old").unwrap();
        let mut received = receive(&uploads.directory(directory.path()), &[("a", "new")]).await.unwrap();
        let file = received.file_mut("f").unwrap();
        let error = file.persist(&first).await.unwrap_err();
        assert!(
            matches!(&error, UploadError::Disk { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "old");
        // It is not lost by that, nor by being moved once more.
        file.persist(&second).await.unwrap();
        assert!(file.persist(&first).await.is_err());
        assert_eq!(std::fs::read_to_string(&second).unwrap(), "new");
        file.replace(&first).await.unwrap();
        drop(received);
        assert_eq!(names(directory.path()), ["first"]);
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "new");
    }
}

#[tokio::test]
async fn a_file_moves_to_another_file_system() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    let directory = tempdir().unwrap();
    let uploads = Uploads::new().memory_up_to(0).directory(elsewhere.path());
    let mut received = receive(&uploads, &[("a", "moved")]).await.unwrap();
    let place = directory.path().join("place");
    received.file_mut("f").unwrap().persist(&place).await.unwrap();
    assert_eq!((names(elsewhere.path()).len(), std::fs::read_to_string(&place).unwrap().as_str()), (0, "moved"));
    let error = receive(&uploads, &[("a", "x")]).await.unwrap().file_mut("f").unwrap().persist(&place).await.unwrap_err();
    assert!(error.to_string().contains("choose another name"), "{error}");
}

#[tokio::test]
async fn files_are_saved_under_their_names_and_numbered_where_these_are_taken() {
    for uploads in in_memory_and_on_disk() {
        let directory = tempdir().unwrap();
        let saved: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let told = Arc::clone(&saved);
        let uploads = uploads.save_in(directory.path()).after_save(move |file| {
            told.lock().unwrap().push(file.path().to_owned());
            async {}
        });
        let received = receive(&uploads, &[("r.pdf", "1"), ("../r.pdf", "2"), ("ü ü", "")]).await.unwrap();
        assert_eq!(received.files()[1].path(), Some(directory.path().join("r (2).pdf").as_path()));
        assert_eq!(saved.lock().unwrap().len(), 3);
        drop(received);
        assert_eq!(names(directory.path()), ["r (2).pdf", "r.pdf", "ü ü"]);
        drop(receive(&uploads.overwrite(true), &[("r.pdf", "3")]).await.unwrap());
        assert_eq!(std::fs::read_to_string(directory.path().join("r.pdf")).unwrap(), "3");
        assert_eq!(names(directory.path()).len(), 3);
    }
}

#[tokio::test]
async fn a_hook_chooses_name_and_directory_or_refuses_them_all() {
    let (directory, other) = (tempdir().unwrap(), tempdir().unwrap());
    let elsewhere = other.path().to_owned();
    let uploads = Uploads::new().memory_up_to(0).hash_sha256(true).save_in(directory.path()).before_save(move |mut saving| {
        let elsewhere = elsewhere.clone();
        async move {
            match saving.file_name() {
                "named" => saving.set_file_name(format!("../{}", saving.file().sha256_hex().unwrap_or_default())),
                "moved" => saving.set_directory(elsewhere),
                "bad" => return Err(Refusal::new("not that one")),
                _ => {}
            }
            Ok(saving)
        }
    });
    drop(receive(&uploads, &[("named", "abc"), ("moved", "1")]).await.unwrap());
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((names(directory.path()), names(other.path())), (vec![hash.to_owned()], vec!["moved".to_owned()]));
    let error = receive(&uploads, &[("good", "1"), ("moved", "2"), ("bad", "3"), ("last", "4")]).await.unwrap_err();
    assert_eq!(error.status(), 422);
    assert_eq!((names(directory.path()).len(), names(other.path()).len()), (1, 1), "what was saved before goes");
}

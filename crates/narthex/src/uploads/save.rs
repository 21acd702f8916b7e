//! Saving the files of a form that has arrived: all of them, or none.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempPath;
use tokio::task::spawn_blocking;

use super::Settings;
use super::error::UploadError;
use super::file::{Existing, Storage, UploadedFile, keep};
use super::file_name::numbered;
use super::form::Form;
use super::hooks::{SavedFile, Saving};

/// How many files of one name a directory may have.
const MOST_OF_A_NAME: u32 = 10_000;

pub(super) async fn save(settings: &Settings, form: &mut Form) -> Result<(), UploadError> {
    let Some(directory) = &settings.save_in else { return Ok(()) };
    let mut files = Vec::with_capacity(form.files.len());
    for file in std::mem::take(&mut form.files) {
        let file_name = file.file_name().to_owned();
        let mut saving = Saving { request: Arc::clone(&form.request), file, directory: directory.clone(), file_name };
        if let Some(hook) = &settings.hooks.before_save {
            saving = hook(saving).await.map_err(UploadError::Refused)?;
        }
        let Saving { file: UploadedFile { about, storage }, directory, file_name, .. } = saving;
        let existing = if settings.overwrite { Existing::Goes } else { Existing::Stays };
        let place = directory.clone();
        let put = spawn_blocking(move || put(storage, &place, &file_name, existing));
        let put = put.await.map_err(io::Error::other).and_then(|put| put);
        let path = put.map_err(UploadError::disk("save a file in", &directory))?;
        // Until all are saved, each of them goes with the form.
        files.push(UploadedFile { about, storage: Storage::Temporary(path) });
    }
    for file in files {
        let UploadedFile { about, storage } = file;
        let storage = match storage {
            Storage::Temporary(path) => Storage::Kept(keep(path)),
            other => other,
        };
        form.files.push(UploadedFile { about, storage });
    }
    if let Some(hook) = &settings.hooks.after_save {
        for file in &form.files {
            let path = file.path().unwrap_or(Path::new("")).to_owned();
            hook(SavedFile { request: Arc::clone(&form.request), about: Arc::clone(&file.about), path }).await;
        }
    }
    Ok(())
}

/// Puts a file where no other is, under the name or one with a number.
fn put(mut storage: Storage, directory: &Path, file_name: &str, existing: Existing) -> io::Result<TempPath> {
    let mut number = 1;
    loop {
        let name = if number == 1 { file_name.to_owned() } else { numbered(file_name, number) };
        let place = directory.join(name);
        // Looked at first: to find out by putting it there can mean to copy all of it for each name that is taken.
        if existing == Existing::Stays && number < MOST_OF_A_NAME && place.symlink_metadata().is_ok() {
            number += 1;
            continue;
        }
        match storage.put(&place, existing) {
            Ok(path) => return Ok(path),
            Err((back, error)) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST_OF_A_NAME => {
                storage = back;
                number += 1;
            }
            Err((_, error)) => return Err(error),
        }
    }
}

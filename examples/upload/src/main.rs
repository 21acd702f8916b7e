//! A page with a form: `cargo run -p upload`, then open `http://localhost:8888/upload/` and choose some files.
//!
//! They are saved in `./uploads`, and the page that comes back has their SHA-256. With curl:
//! `curl -F comment=hello -F files=@Cargo.toml http://localhost:8888/upload/`.

use std::path::PathBuf;

use axum::response::Html;
use axum::{Router, routing::get};
use narthex::uploads::{Decision, Form, Refusal, Uploads};

/// The longest file, in bytes.
const LONGEST: u64 = 2_000_000_000;

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let mut arguments = std::env::args().skip(1);
    let prefix = arguments.next().unwrap_or_else(|| "http://+:8888/upload/".to_owned());
    let directory = arguments.next().map_or_else(|| PathBuf::from("uploads"), PathBuf::from);
    std::fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("cannot create {}: {error}", directory.display()));
    let server = narthex::Server::new(app(directory)).prefix(&prefix).max_body(10 * LONGEST);
    let server = server.on_ready(|prefixes| prefixes.iter().for_each(|prefix| println!("the form is at {prefix}")));
    server.run().await
}

fn app(directory: PathBuf) -> Router {
    let uploads = Uploads::new()
        .save_in(directory)
        .max_file(LONGEST)
        .hash_sha256(true)
        .before_accept(async |file| match file.sent_file_name().to_lowercase().ends_with(".exe") {
            true => Err(Refusal::new("no programs, please")),
            false => Ok(Decision::Accept),
        })
        .after_save(async |file| println!("saved {}", file.path().display()));
    Router::new().route("/", get(async || Html(include_str!("page.html"))).post(receive)).with_state(uploads)
}

async fn receive(form: Form) -> Html<String> {
    let rows = form.files().iter().map(|file| {
        let (name, hash) = (escaped(file.file_name()), file.sha256_hex().unwrap_or_default());
        format!("<tr><td>{name}</td><td>{}</td><td><code>{hash}</code></td></tr>", file.len())
    });
    let rows: String = rows.collect();
    let comment = escaped(form.field("comment").unwrap_or_default());
    Html(format!(
        "<!doctype html><title>Uploaded</title><p>{comment}</p><table><tr><th>File<th>Bytes<th>SHA-256</tr>{rows}</table>"
    ))
}

/// What clients send is text, not HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! nginx as a peer: one unprivileged worker, everything it writes in a directory of its own, nothing logged per request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tls::{Identity, MEGABYTE};

/// What nginx does with a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// `return 200`: nginx by itself.
    Itself,
    /// Proxies over kept-alive connections to this `server` of an `upstream` block.
    Proxy(String),
    /// The file of [`files`](super::files) by `sendfile`, which is off by default, from a directory that is its own.
    Files,
    /// Proxies WebSockets to this `server`.
    WebSocket(String),
}

/// Writes the configuration into `directory` and returns the arguments nginx needs.
pub(super) fn configure(directory: &Path, port: u16, answer: &Answer, tls: Option<&Identity>) -> Result<Vec<String>> {
    let file = directory.join("nginx.conf");
    if tls.is_some() {
        fs::write(directory.join("megabyte"), vec![b'x'; MEGABYTE])?;
    }
    fs::write(&file, configuration(directory, port, answer, tls, &owner()?))?;
    Ok(vec![
        "-p".to_owned(),
        directory.display().to_string(),
        "-e".to_owned(),
        "stderr".to_owned(),
        "-c".to_owned(),
        file.display().to_string(),
    ])
}

/// A `user` directive: started by root, the worker would otherwise become somebody who cannot write into `directory`.
fn owner() -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(String::new());
    }
    let id = |flag| -> Result<String> {
        let output = Command::new("id").arg(flag).output().context("id")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok(format!("user {} {};\n", id("-un")?, id("-gn")?))
}

fn configuration(directory: &Path, port: u16, answer: &Answer, tls: Option<&Identity>, owner: &str) -> String {
    let path = |name: &str| -> PathBuf { directory.join(name) };
    let (upstream, location) = match answer {
        Answer::Itself => (String::new(), "return 200 \"Hello, World!\";".to_owned()),
        // What its manual says of large files: a chunk of a file, and no more, goes out between other connections.
        Answer::Files => (
            format!("  sendfile on; tcp_nopush on; sendfile_max_chunk 512k; root {};\n", directory.display()),
            format!("return 200 \"Hello, World!\"; }} location = /{} {{ open_file_cache max=16;", super::files::FILE),
        ),
        Answer::Proxy(server) => (
            format!(
                "  upstream app {{ server {server}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 1h; }}\n"
            ),
            // Without these two nginx opens a connection per request.
            "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";".to_owned(),
        ),
        // What the manual says of WebSockets: by default, none that says nothing for 60 s stays.
        Answer::WebSocket(server) => (
            format!("  upstream app {{ server {server}; }}\n"),
            "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection \"upgrade\"; proxy_read_timeout 1h;"
                .to_owned(),
        ),
    };
    // Each WebSocket is two connections, and one worker may not have as many files open: where accepted connections are shared by
    // two listeners, each worker has half of them.
    let websocket = matches!(answer, Answer::WebSocket(_));
    let (workers, connections, reuse) = if websocket { (2, 15_000, " reuseport backlog=4096") } else { (1, 8192, "") };
    let (listen, tls) = match tls {
        None => (String::new(), String::new()),
        Some(identity) => (" ssl http2".to_owned(), tls_directives(directory, answer, identity)),
    };
    format!(
        "\
{owner}daemon off;
worker_processes {workers};
pid {pid};
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {body};
  proxy_temp_path {proxy};
  fastcgi_temp_path {fastcgi};
  uwsgi_temp_path {uwsgi};
  scgi_temp_path {scgi};
{upstream}  server {{
    listen 127.0.0.1:{port}{listen}{reuse};
{tls}    location / {{ {location} }}
  }}
}}
",
        pid = path("nginx.pid").display(),
        body = path("body").display(),
        proxy = path("proxy").display(),
        fastcgi = path("fastcgi").display(),
        uwsgi = path("uwsgi").display(),
        scgi = path("scgi").display(),
    )
}

/// Tickets are nginx's default, and so are the rest of TLS and the size of its records. The megabyte is a static file that nginx keeps
/// open, or passes through buffers that do not reach the disk.
fn tls_directives(directory: &Path, answer: &Answer, identity: &Identity) -> String {
    let megabyte = match answer {
        Answer::Itself => {
            format!("    location = /megabyte {{ root {}; open_file_cache max=16; }}\n", directory.display())
        }
        Answer::Files => String::new(),
        Answer::Proxy(_) | Answer::WebSocket(_) => "    proxy_buffers 16 16k; proxy_max_temp_file_size 0;\n".to_owned(),
    };
    format!(
        "    ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3;\n{megabyte}",
        identity.certificate.display(),
        identity.key.display()
    )
}

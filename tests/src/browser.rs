//! Chromium without a window, driven by its own protocol (Chrome DevTools Protocol): no driver program, nothing from npm.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::process::Process;

/// Longer than a page takes for anything here, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Chromium with a profile of its own. It ends when this is dropped.
pub struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last_id: u64,
    // The process ends before its profile is removed.
    _process: Process,
    _profile: TempDir,
}

/// A tab.
#[derive(Clone, Debug)]
pub struct Page {
    session: String,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    /// When there is none, or it does not start.
    pub async fn start() -> Self {
        let profile = TempDir::new().expect("a temporary directory can be made");
        let mut command = Command::new(program());
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]);
        // Pages that are not in front do their work all the same.
        command.args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"]);
        command.args(["--disable-backgrounding-occluded-windows", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut process = Process::start("chromium", &mut command);
        let port_file = profile.path().join("DevToolsActivePort");
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            // Its port, and the path of the browser's own target.
            let text = std::fs::read_to_string(&port_file).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n') {
                break format!("ws://127.0.0.1:{}{}", port.trim(), path.trim());
            }
            assert!(Instant::now() < deadline && !process.has_ended(), "Chromium does not start; its output:\n{}", process.log());
            sleep(Duration::from_millis(20)).await;
        };
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (socket, _) = tokio_tungstenite::connect_async_with_config(address, Some(config), false)
            .await
            .expect("Chromium lets itself be driven");
        Self { socket, last_id: 0, _process: process, _profile: profile }
    }

    /// Opens a page in a tab of its own, and waits until it is loaded.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open(&mut self, url: &str) -> Page {
        let target = self.call(None, "Target.createTarget", json!({"url": "about:blank"})).await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", target).await;
        let page = Page { session: attached["sessionId"].as_str().expect("a session has an id").to_owned() };
        let navigated = self.call(Some(&page), "Page.navigate", json!({ "url": url })).await;
        assert!(navigated.get("errorText").is_none(), "{url}: {navigated}");
        self.until(&page, "document.readyState === 'complete'").await;
        page
    }

    /// What an expression becomes in a page; promises are waited for.
    ///
    /// # Panics
    /// When it throws.
    pub async fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call(Some(page), "Runtime.evaluate", parameters).await;
        assert!(result.get("exceptionDetails").is_none(), "{expression} throws: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true in a page.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn until(&mut self, page: &Page, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(page, &format!("!!({condition})")).await != true {
            if Instant::now() >= deadline {
                let text = self.evaluate(page, "document.body.innerText").await;
                panic!("{condition} does not become true; the page says:\n{}", text.as_str().unwrap_or_default());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How large a page is, and whether it is shown in dark colours.
    pub async fn show(&mut self, page: &Page, width: u32, height: u32, dark: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call(Some(page), "Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call(Some(page), "Emulation.setEmulatedMedia", features).await;
    }

    /// A PNG of a page.
    ///
    /// # Panics
    /// When there is none.
    pub async fn screenshot(&mut self, page: &Page) -> Vec<u8> {
        let shot = self.call(Some(page), "Page.captureScreenshot", json!({"format": "png"})).await;
        let data = shot["data"].as_str().expect("a screenshot has data");
        base64::prelude::BASE64_STANDARD.decode(data).expect("it is base64")
    }

    async fn call(&mut self, page: Option<&Page>, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(page) = page {
            message["sessionId"] = json!(page.session);
        }
        self.socket.send(Message::text(message.to_string())).await.expect("Chromium listens");
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.unwrap_or_else(|_| panic!("{method} has no answer"));
            let Ok(Message::Text(text)) = next.expect("Chromium goes on").map_err(|error| panic!("{method}: {error}")) else {
                continue;
            };
            let mut answer: Value = serde_json::from_str(&text).expect("Chromium says JSON");
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
        }
    }
}

/// Chromium, where `cargo xtask test` or the system has it.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("NARTHEX_CHROMIUM") {
        return program.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        std::env::split_paths(&path).flat_map(|directory| names.map(|name| directory.join(name))).find(|file| file.is_file());
    found.expect("this test needs Chromium: run `cargo xtask test`, which installs it, or `apt-get install chromium`")
}

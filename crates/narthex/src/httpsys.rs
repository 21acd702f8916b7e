//! The third provider: requests come from Windows' own HTTP.sys, next to those of every other program that uses it.
//!
//! HTTP.sys is to the app what a host is elsewhere: it owns the ports, speaks HTTP, and has the queue in which requests wait.
//! `narthex_httpsys` is all that is said to it; here are the workers that take requests from its queue.

mod registrations;
mod serving;
mod settings;
mod stream;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use narthex_http::{Limits, RequestIds};
use narthex_httpsys::Api;
use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use tokio::sync::mpsc;

use self::registrations::Registrations;
use self::worker::Station;
use crate::call::App;
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::lifetime::{Course, Workers};
use crate::request::Told;
use crate::tuning::FineTune;

/// A server that has not started.
pub(crate) struct HttpSys {
    pub(crate) api: Arc<dyn Api>,
    pub(crate) prefixes: Vec<PrefixSpec>,
    pub(crate) group: GroupSettings,
    pub(crate) limits: Limits,
    pub(crate) fine_tune: FineTune,
    pub(crate) workers: usize,
    pub(crate) told: Told,
    pub(crate) request_ids: RequestIds,
    pub(crate) shutdown_timeout: Duration,
    /// What was set that HTTP.sys has in its own configuration.
    pub(crate) left_to_httpsys: Vec<&'static str>,
}

impl HttpSys {
    /// Serves until `course` says to end. `ready` is called with the real ports when clients can connect.
    pub(crate) async fn run<S: App>(
        mut self,
        app: S,
        course: &mut Course<'_>,
        ready: impl FnOnce(&[UrlPrefix]) + Send,
    ) -> Result<()> {
        let mut ignored = std::mem::take(&mut self.left_to_httpsys);
        ignored.extend(settings::not_here(&self.group));
        let mut registrations = Registrations::open(&self.api, &self.group, &self.limits, ignored)?;
        let mut workers = Workers::new(course.server.clone());
        let (fails, mut failed) = mpsc::unbounded_channel();
        for index in 0..self.workers.max(1) {
            let station = Station {
                api: Arc::clone(&self.api),
                queue: registrations.queue(),
                rules: registrations.rules(),
                accepts: self.fine_tune.accepts_per_worker,
                inline: self.fine_tune.inline_completion,
                told: self.told,
                has_ids: self.request_ids != RequestIds::Off,
                failed: fails.clone(),
            };
            let (app, phases) = (app.clone(), workers.phases());
            workers.spawn(format!("narthex-app-{index}"), move || worker::run(app, station, phases))?;
        }
        for prefix in &self.prefixes {
            registrations.add(prefix)?;
        }
        ready(registrations.prefixes());
        let served = serve(&mut registrations, &mut workers, &mut failed, course).await;
        // From here on HTTP.sys answers for the app. What it has handed out is still served.
        registrations.withdraw();
        workers.stop(self.shutdown_timeout, course.ending.comes_back()).await;
        served
    }
}

/// Does what is asked until the server is to end.
async fn serve(
    registrations: &mut Registrations,
    workers: &mut Workers,
    failed: &mut mpsc::UnboundedReceiver<narthex_httpsys::Error>,
    course: &mut Course<'_>,
) -> Result<()> {
    loop {
        let asked = tokio::select! {
            () = course.ending.wait() => return Ok(()),
            () = workers.one_ended() => return Err(Error::WorkerDied),
            Some(error) = failed.recv() => return Err(error.into()),
            asked = course.asks.next() => asked,
        };
        let answer = registrations.fulfil(&asked.what);
        course.lasting.note(&asked.what, &answer);
        course.server.set_prefixes(registrations.prefixes());
        let _ = asked.done.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::OriginalUri;
    use axum::routing::{get, post};
    use futures_util::StreamExt;
    use narthex_httpsys::fake::{Client, Fake, Reply};
    use narthex_httpsys::{GroupProperty, QueueProperty, RequestId};
    use tokio::time::{sleep, timeout};

    use crate::{Change, PathBase, Provider, RequestControl, RequestQueue, Server, ServerHandle, Timeouts};

    /// A server on the HTTP.sys in memory that runs.
    struct Running {
        fake: Fake,
        client: Client,
        handle: ServerHandle,
    }

    fn app() -> Router {
        Router::new()
            .route("/hello", get(async |base: PathBase, OriginalUri(uri): OriginalUri| format!("{} {uri}", base.as_str())))
            .route("/echo", post(async |body: Bytes| body))
            .route("/slow", get(async || sleep(Duration::from_millis(50)).await))
            .route("/never", get(never))
            .route("/stream", get(async || streamed(3)))
            .route("/panic", get(panics))
    }

    async fn never(control: axum::Extension<RequestControl>) {
        control.disconnected().await;
    }

    async fn panics() -> &'static str {
        panic!("as asked")
    }

    fn streamed(pieces: usize) -> Body {
        let pieces = futures_util::stream::iter(0..pieces);
        Body::from_stream(pieces.then(async |piece| {
            tokio::task::yield_now().await;
            Ok::<_, std::io::Error>(format!("piece {piece};"))
        }))
    }

    async fn start(fake: Fake, settings: impl FnOnce(Server<Router>) -> Server<Router>) -> crate::Result<Running> {
        let server = Server::new(app()).prefix("http://+:8888/My/App/").workers(2).provider(Provider::httpsys_at(fake.clone()));
        let client = fake.connect(8888);
        Ok(Running { handle: settings(server).start().await?, fake, client })
    }

    impl Running {
        async fn get(&self, target: &str) -> Reply {
            let id = self.client.request("GET", target, &[]).expect("the prefix is registered");
            self.reply(id).await
        }

        async fn reply(&self, id: RequestId) -> Reply {
            let done = async {
                loop {
                    let reply = self.client.reply(id);
                    if reply.complete || reply.broken_off {
                        return reply;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(Duration::from_secs(10), done).await.expect("a response comes")
        }

        async fn stop(self) -> Fake {
            self.handle.stop();
            self.handle.stopped().await.expect("it stops in order");
            self.fake
        }
    }

    #[tokio::test]
    async fn an_axum_app_runs_on_http_sys_and_gives_everything_back() {
        let running = start(Fake::new(), |server| server).await.unwrap();
        let reply = running.get("/My/App/hello?x=1").await;
        assert_eq!((reply.status(), reply.text().as_str()), (200, "/My/App /My/App/hello?x=1"));
        assert_eq!(reply.field("content-type").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(running.get("/My/App/none").await.status(), 404);
        assert_eq!(running.get("/My/App/%zz").await.status(), 400);
        let reply = running.get("/My/App/stream").await;
        assert_eq!(reply.text(), "8\r\npiece 0;\r\n8\r\npiece 1;\r\n8\r\npiece 2;\r\n0\r\n\r\n");
        assert_eq!(running.get("/My/App/panic").await.status(), 500);
        let fake = running.stop().await;
        assert!(fake.urls().is_empty());
        assert_eq!(fake.receives(), 0);
    }

    #[tokio::test]
    async fn bodies_are_received_and_what_is_too_long_is_refused() {
        let running = start(Fake::new(), |server| server.max_body(10)).await.unwrap();
        let echo =
            |length: &'static str| running.client.begin("POST", "/My/App/echo", &[("Content-Length", length)], true).unwrap();
        let id = echo("10");
        running.client.body(id, b"01234");
        running.client.body(id, b"56789");
        running.client.end(id);
        assert_eq!(running.reply(id).await.text(), "0123456789");
        assert_eq!(running.reply(echo("11")).await.status(), 413);
        running.stop().await;
    }

    #[tokio::test]
    async fn what_runs_is_finished_before_the_server_ends() {
        let running = start(Fake::new(), |server| server).await.unwrap();
        let id = running.client.request("GET", "/My/App/slow", &[]).unwrap();
        sleep(Duration::from_millis(10)).await;
        let (handle, client) = (running.handle.clone(), running.fake.connect(8888));
        handle.stop();
        let reply = running.reply(id).await;
        assert_eq!((reply.status(), reply.complete), (200, true));
        handle.stopped().await.unwrap();
        assert!(client.request("GET", "/My/App/slow", &[]).is_none());
    }

    #[tokio::test]
    async fn what_does_not_end_is_broken_off_after_the_shutdown_timeout() {
        let limit = Duration::from_millis(20);
        let running = start(Fake::new(), |server| server.request_control(true).shutdown_timeout(limit)).await.unwrap();
        let id = running.client.request("GET", "/My/App/never", &[]).unwrap();
        sleep(Duration::from_millis(10)).await;
        running.handle.stop();
        running.handle.stopped().await.unwrap();
        assert!(running.client.reply(id).broken_off);
    }

    #[tokio::test]
    async fn a_handler_learns_that_its_client_has_gone() {
        let running = start(Fake::new(), |server| server.request_control(true)).await.unwrap();
        running.client.request("GET", "/My/App/never", &[]).unwrap();
        while running.fake.disconnect_waits() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        running.client.leave();
        // Its handler is over: the server need not wait for it.
        timeout(Duration::from_secs(2), running.stop()).await.expect("the handler has ended");
    }

    #[tokio::test]
    async fn settings_become_properties_and_changes_too() {
        let settings = |server: Server<Router>| {
            let timeouts = Timeouts::default().entity_body(Duration::from_millis(1500)).header_wait(Duration::MAX);
            server.max_connections(5).timeouts(timeouts).queue(RequestQueue::new().length(20))
        };
        let running = start(Fake::new(), settings).await.unwrap();
        running.handle.change(Change::new().active(false).max_bandwidth(4096)).await.unwrap();
        let group = running.fake.group_properties();
        assert!(group.contains(&GroupProperty::MaxConnections(Some(5))));
        assert!(group.contains(&GroupProperty::Active(false)));
        assert!(group.contains(&GroupProperty::MaxBandwidth(Some(4096))));
        let timeouts = narthex_httpsys::Timeouts { entity_body: 2, header_wait: u16::MAX, ..Default::default() };
        assert!(group.contains(&GroupProperty::Timeouts(timeouts)));
        assert!(running.fake.queue_properties().contains(&QueueProperty::Length(20)));
        let refused = running.handle.change(Change::new().delegates(true)).await.unwrap_err();
        assert!(refused.to_string().contains("delegates"), "{refused}");
        running.stop().await;
    }

    #[tokio::test]
    async fn what_an_http_sys_lacks_is_an_error_where_it_was_asked_for() {
        let refused = start(Fake::like_wine(), |server| server.max_connections(5)).await.err().unwrap();
        assert!(refused.to_string().contains("connection limits"), "{refused}");
        let running = start(Fake::like_wine(), |server| server).await.unwrap();
        assert_eq!(running.get("/My/App/hello").await.status(), 200);
        running.stop().await;
    }

    #[tokio::test]
    async fn a_hub_has_its_websockets_on_an_upgraded_connection() {
        let hub = crate::hub::Hub::new();
        hub.on_message(|peer, text| async move {
            let _ = peer.send(format!("{text} back"));
        });
        let app = Router::new().route("/chat", hub.route());
        let fake = Fake::new();
        let server = Server::new(app).prefix("http://+:8888/").workers(1).provider(Provider::httpsys_at(fake.clone()));
        let client = fake.connect(8888);
        let running = Running { handle: server.start().await.unwrap(), fake, client };
        let handshake = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let id = running.client.begin("GET", "/chat", &handshake, false).unwrap();
        // A text of two bytes, masked with zeros.
        let hi = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
        let answered = async {
            while !running.client.reply(id).opaque {
                sleep(Duration::from_millis(1)).await;
            }
            running.client.body(id, &hi);
            while running.client.reply(id).body.len() < 9 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(10), answered).await.expect("the hub answers");
        let reply = running.client.reply(id);
        assert_eq!((reply.status(), reply.body.as_slice()), (101, &b"\x81\x07hi back"[..]));
        assert_eq!(reply.field("sec-websocket-accept").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(reply.field("upgrade").as_deref(), Some("websocket"));
        running.client.end(id);
        running.stop().await;
    }

    #[cfg(feature = "files")]
    #[tokio::test]
    async fn http_sys_is_given_files_and_sends_them_itself() {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let path = file.path().to_owned();
        let send = async move |request: axum::extract::Request| {
            crate::files::SendFile::open(path).await.map(|file| file.respond_to(&request))
        };
        let app = Router::new().route("/file", get(send));
        for (fake, by_handle) in [(Fake::new(), 10), (Fake::like_wine(), 0)] {
            let server = Server::new(app.clone()).prefix("http://+:8888/").provider(Provider::httpsys_at(fake.clone()));
            let client = fake.connect(8888);
            let running = Running { handle: server.start().await.unwrap(), fake, client };
            let reply = running.get("/file").await;
            assert_eq!((reply.status(), reply.from_files, reply.body.len() as u64), (200, by_handle, 10 - by_handle));
            // What comes in one piece has its length from HTTP.sys.
            assert!(reply.calls == 1 || reply.field("content-length").as_deref() == Some("10"));
            running.stop().await;
        }
    }

    #[tokio::test]
    async fn prefixes_come_and_go_while_the_server_runs() {
        let running = start(Fake::new(), |server| server).await.unwrap();
        let added = running.handle.add_prefix("http://+:8888/Other").await.unwrap();
        assert_eq!(running.get("/Other/hello").await.text(), "/Other /Other/hello");
        running.handle.remove_prefix(added.as_str()).await.unwrap();
        assert_eq!(running.fake.urls(), ["http://+:8888/My/App/"]);
        let last = running.handle.remove_prefix("http://+:8888/My/App/").await.unwrap_err();
        assert!(matches!(last, crate::Error::LastPrefix(_)), "{last}");
        running.stop().await;
    }

    #[tokio::test]
    async fn a_denied_prefix_says_which_command_to_run() {
        let fake = Fake::new();
        fake.reserve("http://+:8888/My/");
        let refused = start(fake.clone(), |server| server).await.err().unwrap().to_string();
        assert!(refused.contains("narthex add urlacl url=http://+:8888/My/App/ user="), "{refused}");
        assert_eq!(fake.receives(), 0);
    }
}

//! What goes through to a program and back, and how it is told where to listen.

use narthex_tests::web_socket::Message;
use serde_json::json;

use super::stage::{NODE, PYTHON, Stage, ask, is_alive, kill, pid};

#[test]
fn a_program_sees_paths_below_its_prefix_and_is_told_the_prefix() {
    let stage = Stage::start(&[], &NODE);
    let seen = stage.whoami("/blog/");
    assert_eq!((&seen["path"], &seen["prefix"]), (&json!("/whoami"), &json!("/blog")));
    assert_eq!(seen["instance"], "1");
    assert_eq!(stage.get("/blog/nothing").status, 404);
    // Relative links of the page would lead out of the prefix.
    let bare = stage.get("/blog?a=b");
    assert_eq!((bare.status, bare.header("location")), (308, Some("/blog/?a=b")));
    stage.until_logged("blog.1 | listening");
}

#[test]
fn a_program_may_keep_its_prefix() {
    let stage = Stage::start_without_waiting(&["--keep-prefix"], &NODE);
    stage.until_logged("ready blog ");
    // It has no such page: the path is the client's.
    assert_eq!(stage.get("/blog/whoami").text(), "there is no such page");
}

#[test]
fn a_program_listens_at_a_port_or_a_socket_or_gets_one_that_listens() {
    for (listen, command) in [("port", NODE), ("port", PYTHON), ("socket", NODE), ("fd", PYTHON)] {
        let stage = Stage::start(&["--listen", listen], &command);
        let first = stage.pid("/blog/");
        kill(first);
        stage.until(|| pid(&stage.whoami("/blog/")) != first);
        assert!(!is_alive(first));
    }
}

#[test]
fn the_environment_and_the_directory_are_as_asked() {
    let script = r#"echo "in $(pwd) A=$A prefix $NARTHEX_PREFIX base $NARTHEX_BASE_PATH host $HOST port ${PORT:+set} fds ${LISTEN_FDS:-none}"; exec node server.js"#;
    let stage = Stage::start(&["--env", "A=b=c", "--env", "LISTEN_PID=1"], &["sh", "-c", script]);
    let directory = super::stage::programs();
    let port = stage.port;
    let line = format!(
        "blog.1 | in {} A=b=c prefix http://127.0.0.1:{port}/blog/ base /blog host 127.0.0.1 port set fds none",
        directory.display()
    );
    stage.until_logged(&line);
}

#[test]
fn several_processes_share_the_requests() {
    let stage = Stage::start(&["--instances", "3"], &NODE);
    stage.until_logged("blog.1 is ready");
    stage.until_logged("blog.2 is ready");
    stage.until_logged("blog.3 is ready");
    let mut instances: Vec<_> = (0..9).map(|_| stage.whoami("/blog/")["instance"].to_string()).collect();
    instances.sort();
    instances.dedup();
    assert_eq!(instances, ["\"1\"", "\"2\"", "\"3\""]);
}

#[test]
fn a_body_goes_through() {
    let stage = Stage::start(&[], &PYTHON);
    let body = "x".repeat(200_000);
    let head = format!("POST /blog/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    assert_eq!(ask(stage.address(), &format!("{head}{body}")).text(), "200000 bytes");
}

#[tokio::test]
async fn a_web_socket_goes_through() {
    use futures_util::{SinkExt, StreamExt};

    let stage = tokio::task::spawn_blocking(|| Stage::start(&[], &NODE)).await.expect("it starts");
    let url = format!("ws://{}/blog/echo", stage.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("the program wants a WebSocket");
    for text in ["short".to_owned(), "long ".repeat(2000)] {
        socket.send(Message::text(text.clone())).await.expect("it can be sent");
        let back = socket.next().await.expect("something comes back").expect("it is a message");
        assert_eq!(back, Message::text(text));
    }
    socket.close(None).await.expect("it can be closed");
}

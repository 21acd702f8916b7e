//! The rules with two users of one machine, as the kernel tells them apart.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::socket::HostSocket;

/// Names the socket to the child.
const SOCKET: &str = "NARTHEX_TEST_SOCKET";
/// A number that is nobody's, and that containers have too.
const OTHER: u32 = 65_533;

/// What the child of the next test does, and nothing by itself: it connects and waits to be let go.
#[test]
fn the_user_that_connects() {
    let Some(path) = std::env::var_os(SOCKET) else { return };
    let mut stream = UnixStream::connect(path).unwrap();
    let _ = stream.read(&mut [0]);
}

fn spawn(program: &Path, socket: &Path, uid: Option<u32>) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["--exact", "control::reservations::two_users::the_user_that_connects"]).env(SOCKET, socket);
    command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    loop {
        match command.spawn() {
            // A child that another test has just started had the copy open for writing.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            spawned => return spawned,
        }
    }
}

/// Who the kernel says connects next.
async fn caller(listener: &tokio::net::UnixListener) -> (Caller, tokio::net::UnixStream) {
    let (stream, _) = listener.accept().await.unwrap();
    let credentials = stream.peer_cred().unwrap();
    (Caller::new(credentials.uid(), credentials.gid(), &mut Groups::default()), stream)
}

#[tokio::test]
async fn each_of_two_users_registers_what_is_reserved_for_it() {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not root: both connections are this user's, so that only the operator's side is checked");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The directories of a build need not be open to others.
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("narthex/host.sock");
    let socket = HostSocket::open(&path, true, None).unwrap();
    let listener = tokio::net::UnixListener::from_std(socket.listener.try_clone().unwrap()).unwrap();

    let mut table: Table<Reservation, ()> = Table::new();
    let grants = vec![Grant { principal: Principal::User(OTHER), listen: true, delegate: true }];
    table.reserve("http://+:80/other/".parse().unwrap(), Reservation { grants }).unwrap();
    let registers =
        |caller: &Caller, url: &str| may_register(&table, caller, &url.parse().unwrap(), &Settings::default()).is_ok();
    let reserves = |caller: &Caller, url: &str| may_add(&table, caller, &url.parse().unwrap()).is_ok();

    let mut own = spawn(&program, &path, None).unwrap();
    let (operator, stream) = caller(&listener).await;
    drop(stream);
    assert!(own.wait().unwrap().success());
    assert!(operator.is_operator());
    assert!(registers(&operator, "http://+:80/free/") && !registers(&operator, "http://+:80/other/"));
    assert!(reserves(&operator, "http://+:80/free/"));

    if root {
        let mut other = match spawn(&program, &path, Some(OTHER)) {
            Ok(other) => other,
            Err(error) => return eprintln!("this root cannot become another user ({error}): the other side is not checked"),
        };
        let (user, stream) = caller(&listener).await;
        drop(stream);
        assert!(other.wait().unwrap().success());
        assert!(user.uid == OTHER && user.groups.contains(&OTHER) && !user.is_operator(), "{user:?}");
        assert!(registers(&user, "http://+:80/other/a/") && !registers(&user, "http://+:80/free/"));
        assert!(registers(&user, "http://localhost:8080/") && !registers(&user, "http://localhost:80/"));
        assert!(reserves(&user, "http://+:80/other/a/") && !reserves(&user, "http://+:80/free/"));
        assert_eq!(Caller::of_user(OTHER, &mut Groups::default()).uid, user.uid);

        drop((listener, socket));
        let private = HostSocket::open(&directory.path().join("private/host.sock"), false, None).unwrap();
        let refused = spawn(&program, &private.path, Some(OTHER)).unwrap().wait().unwrap();
        assert!(!refused.success(), "another user has reached a socket that is not shared");
    }
}

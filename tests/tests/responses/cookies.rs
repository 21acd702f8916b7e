//! Cookies (RFC 6265), and those that clients can neither change nor read.

use narthex_tests::matrix::{Ask, Reply, Scene, Wire};

fn get(wire: &mut Wire, target: &str, cookie: &str) -> Reply {
    let ask = Ask::get(target);
    let ask = if cookie.is_empty() { ask } else { ask.field("cookie", cookie) };
    wire.ask(&ask).unwrap_or_else(|problem| panic!("{target}: {problem}"))
}

pub(crate) fn lines(scene: &Scene) {
    let reply = get(&mut scene.wire(), "/cookies/set", "old=1");
    let mut lines: Vec<Vec<&str>> = reply.all("set-cookie").iter().map(|line| line.split("; ").collect()).collect();
    lines.iter_mut().for_each(|line| line[1..].sort_unstable());
    lines.sort_unstable();
    assert_eq!(lines.len(), 4, "one line each: {lines:?}");
    assert_eq!(lines[0], ["a=1", "HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
    assert_eq!(lines[1], ["b=2%3D2"], "what is no cookie's octet is escaped");
    assert!(lines[2][0] == "old=" && lines[2].contains(&"Max-Age=0") && lines[2].contains(&"Path=/"), "{lines:?}");
    assert_eq!(lines[3], ["raw=3", "Max-Age=60"]);
}

pub(crate) fn sealed(scene: &Scene) {
    let mut wire = scene.wire();
    for (kind, is_secret) in [("signed", false), ("private", true)] {
        let set = get(&mut wire, &format!("/cookies/{kind}/set"), "");
        let cookie = set.header("set-cookie").expect("one cookie").split(';').next().expect("it has a value").to_owned();
        let read = format!("/cookies/{kind}");
        assert_eq!(get(&mut wire, &read, &cookie).text(), "ann", "{kind}");
        assert_eq!(cookie.contains("ann"), !is_secret, "{cookie}");
        let value = cookie.strip_prefix("who=").expect("it is called so");
        let changed = format!("who={}{}", if value.starts_with('A') { "B" } else { "A" }, &value[1..]);
        for forged in ["", "who=ann", &changed, &cookie[..cookie.len() - 1], &format!("other={value}")] {
            assert_eq!(get(&mut wire, &read, forged).text(), "nobody", "{kind}: {forged}");
        }
    }
}

//! What the demo says on standard output.

use std::fmt::Write as _;
use std::path::Path;

use super::apps::AppName;
use crate::output::print;

/// Everything runs.
pub(super) fn started(expose: bool, port: u16, socket: &Path, apps: &[(AppName, u32)], dashboard: &str) {
    print(&welcome(expose, port, socket, apps, dashboard));
}

/// The end began.
pub(super) fn stopping() {
    print("\nStopping both apps and the host.");
}

fn welcome(expose: bool, port: u16, socket: &Path, apps: &[(AppName, u32)], dashboard: &str) -> String {
    let url = format!("http://localhost:{port}");
    let reach = match expose {
        true => "Every machine that reaches this one can open it.",
        false => "Only this machine can open it; --expose lets others in.",
    };
    let mut text = format!("Three processes share port {port}. {reach}\n\n");
    line(&mut text, &format!("  {url}/"), &format!("start page; the host is in this process, {}", std::process::id()));
    for (name, pid) in apps {
        line(&mut text, &format!("  {url}/{name}/"), &format!("{name} is process {pid}"));
    }
    let _ = writeln!(text, "\nThe dashboard, live:\n  {dashboard}");
    text.push_str("\nPages of each app (replace app1 by app2):\n");
    for (page, about) in
        [("form", "a form, with GET and with POST"), ("upload", "upload a file"), ("chat", "chat over a WebSocket")]
    {
        line(&mut text, &format!("  {url}/app1/{page}"), about);
    }
    line(&mut text, &format!("  {url}/app1/info"), "JSON");
    line(&mut text, &format!("  {url}/app1/download"), "100 MB, streamed");
    text.push_str("\nThe same from a terminal:\n");
    for command in [
        format!("curl -d name=Ada -d message=hello {url}/app1/form"),
        format!("curl {url}/app1/info"),
        format!("curl -T FILE {url}/app1/upload"),
        format!("curl -o /dev/null {url}/app1/download"),
        format!("curl -d name=Ada -d text=hello {url}/app1/chat/say"),
        format!("narthex show servicestate --socket {}", socket.display()),
    ] {
        let _ = writeln!(text, "  {command}");
    }
    if let Some((name, pid)) = apps.first() {
        let _ = writeln!(
            text,
            "\nTry `kill -9 {pid}` while you reload: the page waits until {name} is back, and the other app does not notice."
        );
    }
    text.push_str("Ctrl-C stops everything.");
    text
}

/// An address and what it is, in two columns.
fn line(text: &mut String, address: &str, about: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{address:<38}  {about}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_names_every_address_and_process() {
        let text =
            welcome(false, 9000, Path::new("/s/host.sock"), &[(AppName::App1, 11), (AppName::App2, 22)], "http://d/#token=t");
        for part in [
            "http://localhost:9000/ ",
            "http://localhost:9000/app1/ ",
            "http://localhost:9000/app2/ ",
            "/app1/chat",
            "process 11",
            "process 22",
            "/s/host.sock",
            "http://d/#token=t",
            "Ctrl-C",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }
}

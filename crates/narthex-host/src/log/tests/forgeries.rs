//! A client cannot make a line, a field or a directive, nor reach a terminal.

use super::*;

/// What a client might send, were everything else to let it through.
fn attacks() -> Vec<Vec<u8>> {
    let mut attacks: Vec<Vec<u8>> = [
        &b"a\r\n2026-11-22 12:00:00 forged"[..],
        b"a\n{\"status\":200}\n",
        b"a\rb",
        b"#Fields: forged",
        b"\" 200 0 \"forged\" \"",
        b"\\",
        b"\\\"",
        b"\",\"status\":200,\"x\":\"",
        b"a\tb c\x0b\x0cd",
        b"\x1b[2J\x1b]0;title\x07\x7f\x08",
        b"nul\0byte",
        b"\xff\xfe\xc3(\xe2\x82",
        "é \u{85} \u{9b}31m \u{2028} \u{202e} \u{feff} \u{1f600}".as_bytes(),
        b"-",
        b"+",
        b"",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    for byte in [b'a', b' ', b'"', b'\\', b'\n', 0, 0xff] {
        attacks.push(vec![byte; 16 << 10]);
    }
    attacks
}

fn is_harmless(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The lines that all attacks leave in all client-controlled fields of a log.
fn attacked(logging: &Logging, file: &str) -> Vec<String> {
    let mut stage = Stage::new();
    let log = stage.open(logging);
    for attack in attacks() {
        // `str` fields cannot have bytes that are not UTF-8.
        let text = String::from_utf8_lossy(&attack);
        let (method, target) = (&*text, &*text);
        let asked = Asked { method, target, user_agent: &attack, cookie: &attack, referer: &attack, ..Asked::default() };
        stage.log(&log, &asked);
    }
    stage.write();
    let text = stage.read(file);
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_w3c_line_stays_one_line_with_its_fields() {
    let fields = "cs-method cs-uri-stem cs-uri-query cs(User-Agent) cs(Cookie) cs(Referer) sc-status";
    let lines = attacked(&with_fields(LogFormat::W3c, fields), "shop/ex261122.log");
    let (directives, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with('#'));
    assert_eq!((directives.len(), lines.len()), (4, attacks().len()));
    for line in lines {
        assert!(is_harmless(&line), "{line:?}");
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!((fields.len(), fields.last()), (7, Some(&"200")), "{line:?}");
        assert!(fields.iter().all(|field| !field.is_empty() && field.len() <= 4096 + 6), "{line:?}");
    }
}

#[test]
fn an_ncsa_line_stays_one_line_with_its_three_strings() {
    let lines = attacked(&format(LogFormat::Ncsa), "shop/nc261122.log");
    assert_eq!(lines.len(), attacks().len());
    for line in lines {
        assert!(is_harmless(&line), "{line:?}");
        let outside = outside_strings(&line);
        assert_eq!(outside, "192.0.2.7 - - [22/Nov/2026:13:38:37 +0100] \"\" 200 1234 \"\" \"\"", "{line:?}");
    }
}

/// The line without what is in its strings, as a reader that knows `\"` and `\\` sees it.
fn outside_strings(line: &str) -> String {
    let (mut outside, mut inside, mut escaped) = (String::new(), false, false);
    for character in line.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => {
                inside = !inside;
                outside.push('"');
            }
            _ if inside => {}
            _ => outside.push(character),
        }
    }
    outside
}

#[test]
fn a_json_line_stays_one_object_and_gives_back_what_was_sent() {
    let fields = "cs(User-Agent) cs-method sc-status";
    let lines = attacked(&with_fields(LogFormat::Json, fields), "shop/js261122.log");
    assert_eq!(lines.len(), attacks().len());
    for (line, attack) in lines.iter().zip(attacks()) {
        assert!(is_harmless(line), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(object["status"], 200);
        let sent = String::from_utf8_lossy(&attack);
        match object.get("user_agent") {
            Some(agent) if sent.len() <= 600 => assert_eq!(agent, &*sent),
            Some(agent) => assert!(agent.as_str().unwrap().ends_with("...") && line.len() <= 3 * (4096 + 16)),
            None => assert!(sent.is_empty()),
        }
        assert!(object.as_object().unwrap().keys().all(|key| ["user_agent", "method", "status"].contains(&&**key)));
    }
}

#[test]
fn a_line_of_the_error_log_stays_one_line_with_its_fields() {
    let mut stage = Stage::new();
    let connection = connection();
    for attack in attacks() {
        stage.worker.refused(&refused(&connection, &attack), Some(&String::from_utf8_lossy(&attack)), Some(1));
        let line = [b"GET ", &*attack, b" HTTP/1.1"].concat();
        stage.worker.refused(&refused(&connection, &line), None, None);
    }
    stage.write();
    let text = stage.read("httperr/httperr1.log");
    let lines: Vec<_> = text.lines().skip(4).collect();
    assert_eq!(lines.len(), 2 * attacks().len());
    for line in lines {
        assert!(is_harmless(line) && line.starts_with("2026-11-22 12:38:37 192.0.2.7 "), "{line:?}");
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!((fields.len(), fields.get(11)), (14, Some(&"QueueFull")), "{line:?}");
        assert!(fields.iter().enumerate().all(|(index, field)| field.len() <= if index == 8 { 4096 } else { 255 }), "{line:?}");
    }
}

#[test]
fn long_values_are_cut_where_they_are_too_long_and_say_so() {
    let mut stage = Stage::new();
    let log = stage.open(&with_fields(LogFormat::W3c, "cs(User-Agent) cs(Cookie)"));
    let (longest, longer) = ([b'x'; 4096], [b'x'; 4097]);
    stage.log(&log, &Asked { user_agent: &longest, cookie: &longer, ..Asked::default() });
    stage.write();
    let longest = "x".repeat(4096);
    assert_eq!(stage.lines("shop/ex261122.log"), [format!("{longest} {longest}...")]);
}

#[test]
fn a_site_name_leads_nowhere_else() {
    let stage = Stage::new();
    let logging = Logging { site: Some("../../etc".to_owned()), ..Logging::default() };
    assert!(matches!(stage.logs.open(&logging, "shop"), Err(LogError::Site(_))));
}

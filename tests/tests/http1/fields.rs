//! Header lines.

use narthex_tests::case::{Case, case};

use crate::http1::refuse;

pub(crate) fn cases() -> Vec<Case> {
    let with = |lines: &str| format!("GET /headers HTTP/1.1\r\nHost: {{host}}\r\n{lines}\r\n\r\n");
    let sees = |name: &str, line: &str, seen: &'static str| {
        case(name)
            .send(with(line))
            .answer(200)
            .check("the app does not see the field as it was meant", move |response| response.text().contains(seen))
            .alive()
    };
    let mut cases = vec![
        refuse("a space before the colon", 400, with("X-A : b")),
        refuse("a tab before the colon", 400, with("X-A\t: b")),
        refuse("a space in a name", 400, with("X A: b")),
        refuse("a folded value", 400, with("X-A: b\r\n c")),
        refuse("a value folded with a tab", 400, with("X-A: b\r\n\tc")),
        refuse("a folded line that looks like a field", 400, with("X-A: b\r\n Content-Length: 5")),
        refuse("a space before the first field", 400, "GET / HTTP/1.1\r\n Host: {host}\r\n\r\n"),
        refuse("a line of blanks", 400, with("X-A: b\r\n  \r\nX-C: d")),
        refuse("an empty name", 400, with(": b")),
        refuse("no colon", 400, with("X-A")),
        refuse("NUL in a name", 400, with("X\0A: b")),
        refuse("NUL in a value", 400, with("X-A: b\0c")),
        refuse("a control character in a name", 400, with("X\x01A: b")),
        refuse("a control character in a value", 400, with("X-A: b\x01c")),
        refuse("an escape character in a value", 400, with("X-A: \x1b[31m")),
        refuse("DEL in a value", 400, with("X-A: b\x7fc")),
        refuse("a bare CR in a value", 400, with("X-A: b\rc")),
        refuse("a bare CR in a name", 400, with("X\rA: c")),
        refuse("a CR too many at the end of a line", 400, with("X-A: b\r")),
        refuse("a bare LF after a field", 400, with("X-A: b\nX-C: d")),
        refuse("a bare LF at the end of the head", 400, "GET / HTTP/1.1\r\nHost: {host}\r\n\n"),
        case("a name that is not ASCII").send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\nX-\xc4: b\r\n\r\n").refused(400),
        case("a value that is not ASCII")
            .send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: \xc3\xa4\xff\r\n\r\n")
            .answer(200)
            .alive(),
        sees("blanks around a value are no part of it", "X-A: \t b c \t ", r#"["x-a","b c"]"#),
        sees("an empty value", "X-A:", r#"["x-a",""]"#),
        sees("a tab inside of a value", "X-A: b\tc", r#"["x-a","b\tc"]"#),
        sees("a colon in a value", "X-A: b:c", r#"["x-a","b:c"]"#),
        sees("every character that a name may have", "!#$%&'*+-.^_`|~09azAZ: b", "\"!#$%&'*+-.^_`|~09azaz\""),
        sees("repeated fields stay apart and in order", "X-A: 1\r\nX-A: 2", r#"["x-a","1"],["x-a","2"]"#),
    ];
    for separator in "(),/;<=>?@[\\]{}\"".chars() {
        cases.push(refuse(format!("a name with {separator:?} in it"), 400, with(&format!("X{separator}A: b"))));
    }
    cases
}

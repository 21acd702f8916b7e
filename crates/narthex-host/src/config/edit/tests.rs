mod bindings;

use super::super::parse::parse;
use super::super::{HEADER, SETTINGS};
use super::*;

fn setting(name: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.name == name).unwrap()
}

fn reserved(url: &str) -> Reserved {
    let grants = vec![
        Grant { principal: Principal::User(0), listen: true, delegate: false },
        Grant { principal: Principal::Everyone, listen: false, delegate: true },
    ];
    Reserved { prefix: url.parse().unwrap(), grants }
}

/// The text after the edit, which has to be valid.
fn edited(text: &str, edit: &Edit) -> String {
    parse(text).unwrap();
    let text = apply(text, edit).unwrap();
    parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    text
}

#[test]
fn a_new_file_begins_with_its_explanation_whatever_is_added_first() {
    for edit in [
        Edit::Reserve(reserved("http://+:80/a/")),
        Edit::Listen("127.0.0.1".parse().unwrap()),
        Edit::Timer(MachineTimer::HeaderWaitTimeout, Some(5)),
        Edit::Setting(setting("queue_length"), Some(5.into())),
    ] {
        let text = edited(HEADER, &edit);
        assert!(text.starts_with(HEADER) && text.len() > HEADER.len(), "{edit:?}:\n{text}");
        let both = edited(&text, &Edit::Listen("127.0.0.2".parse().unwrap()));
        assert!(both.starts_with(HEADER), "{edit:?}:\n{both}");
        let both = edited(&both, &Edit::Reserve(reserved("http://+:80/b/")));
        assert!(both.starts_with(HEADER), "{edit:?}:\n{both}");
    }
}

const TEXT: &str = r#"# The shop's machine. Ask Ada.

# inside only
iplisten = [ "127.0.0.1",   "10.0.0.1" ]  # both

[settings]   # tuned
error_log = true
# for the sale
queue_length   =   5000 # was 1000

[[urlacl]]
url = "http://+:80/shop/"
allow = [{ everyone = true }]

# Ticket 17
[[urlacl]]
url = "http://+:80/Old" # to go
allow = [
    { user = 0 },  # root
]

# Ticket 18
[[urlacl]]
url = "http://+:80/new/"
allow = [{ everyone = true }]

[timeouts]
headerwaittimeout = 10
# the end
"#;

/// Each edit of [`TEXT`] is the same as replacing one text by another.
#[test]
fn an_edit_leaves_everything_else_byte_by_byte() {
    let added = "\n[[urlacl]]\nurl = \"http://+:80/more/\"\nallow = [{ user = \"root\" }, { everyone = true, listen = false, delegate = true }]\n";
    let new = "url = \"http://+:80/new/\"\nallow = [{ everyone = true }]\n";
    let old = &TEXT[TEXT.find("# Ticket 17").unwrap()..TEXT.find("# Ticket 18").unwrap()];
    for (edit, from, to) in [
        (Edit::Reserve(reserved("http://+:80/more/")), new, &*format!("{new}{added}")),
        (Edit::Unreserve("http://+:80/OLD/".parse().unwrap()), old, ""),
        (Edit::Listen("::1".parse().unwrap()), "\"10.0.0.1\" ]", "\"10.0.0.1\" , \"::1\"]"),
        (Edit::Unlisten("127.0.0.1".parse().unwrap()), "\"127.0.0.1\",   \"10.0.0.1\" ", "\"10.0.0.1\" "),
        (Edit::Setting(setting("queue_length"), Some(7.into())), "  5000 #", "  7 #"),
        (Edit::Setting(setting("queue_length"), None), "# for the sale\nqueue_length   =   5000 # was 1000\n", ""),
        (Edit::Setting(setting("cooking"), None), "", ""),
        (Edit::Setting(setting("cooking"), Some("httpsys".into())), "# was 1000\n", "# was 1000\ncooking = \"httpsys\"\n"),
        (Edit::Timer(MachineTimer::HeaderWaitTimeout, None), "headerwaittimeout = 10\n", ""),
        (
            Edit::Timer(MachineTimer::IdleConnectionTimeout, Some(65535)),
            "headerwaittimeout = 10\n",
            "headerwaittimeout = 10\nidleconnectiontimeout = 65535\n",
        ),
    ] {
        assert_eq!(edited(TEXT, &edit), TEXT.replacen(from, to, 1), "{edit:?}");
    }
}

#[test]
fn other_layouts_that_toml_allows_are_edited_too() {
    let queue_length = |value: Option<i64>| Edit::Setting(setting("queue_length"), value.map(Value::from));
    for (text, edit, expected) in [
        ("settings.queue_length = 5\n", queue_length(None), ""),
        ("settings.queue_length = 5\n", queue_length(Some(6)), "settings.queue_length = 6\n"),
        ("settings = { queue_length = 5, error_log = true }\n", queue_length(None), "settings = { error_log = true }\n"),
        ("iplisten = [\n  \"::1\",\n]\n", Edit::Listen("::2".parse().unwrap()), "iplisten = [\n  \"::1\",\n  \"::2\",\n]\n"),
        ("[settings]\r\nqueue_length = 5\r\n# x\r\n", queue_length(None), "[settings]\r\n# x\r\n"),
        ("[settings]\r\nqueue_length = 5\r\n# x\r\n", queue_length(Some(6)), "[settings]\r\nqueue_length = 6\r\n# x\r\n"),
        ("[settings]", queue_length(Some(6)), "[settings]\nqueue_length = 6\n"),
        ("# top\n[settings]\nqueue_length = 5", queue_length(None), "# top\n[settings]\n"),
    ] {
        assert_eq!(edited(text, &edit), expected, "{text}");
    }
}

#[test]
fn the_comment_that_a_file_begins_with_stays_when_its_first_entry_goes() {
    let text = "# mine\n[[urlacl]]\nurl = \"http://+:80/a/\"\nallow = [{ everyone = true }]\n";
    assert_eq!(edited(text, &Edit::Unreserve("http://+:80/a/".parse().unwrap())), "# mine\n");
    let text = edited(HEADER, &Edit::Reserve(reserved("http://+:80/a/")));
    let text = edited(&text, &Edit::Unreserve("http://+:80/a/".parse().unwrap()));
    assert_eq!(text.trim_end(), HEADER.trim_end());
}

#[test]
fn a_user_without_a_name_is_written_by_number() {
    let grants = vec![Grant { principal: Principal::User(3_999_999_999), listen: true, delegate: false }];
    let text = edited("", &Edit::Reserve(Reserved { prefix: "http://+:80/a/".parse().unwrap(), grants: grants.clone() }));
    assert!(text.contains("{ user = 3999999999 }"), "{text}");
    assert_eq!(parse(&text).unwrap().config.reservations[0].grants, grants);
}

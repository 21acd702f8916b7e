mod bindings;

use super::super::model::Settings;
use super::*;

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "# nothing\n", "[settings]\n[timeouts]\n"] {
        assert_eq!(parse(text).unwrap().config, Config::default(), "{text:?}");
    }
}

#[test]
fn everything_that_can_be_said_is_read() {
    let text = r#"
        iplisten = ["127.0.0.1", "::1"]
        [timeouts]
        idleconnectiontimeout = 60
        headerwaittimeout = 65535
        [settings]
        queue_length = 10
        max_request_body = "unlimited"
        access_log = "json"
        loopback_rule = false
        [[urlacl]]
        url = "HTTP://+/Shop"
        allow = [{ user = "root" }, { group = 44, listen = false, delegate = true }, { everyone = true, delegate = true }]
    "#;
    let Config { reservations, bindings: _, iplisten, idle_connection, header_wait, settings } = parse(text).unwrap().config;
    assert_eq!(iplisten, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!((idle_connection, header_wait), (Some(60), Some(65535)));
    let expected = Settings { queue_length: 10, max_request_body: None, loopback_rule: false, ..Settings::default() };
    assert_eq!(settings.central_log().map(|log| log.format), Some(narthex_proto::wire::LogFormat::Json));
    assert_eq!(Settings { access_log: expected.access_log.clone(), ..settings }, expected);
    let grant = |principal, listen, delegate| Grant { principal, listen, delegate };
    let grants = [
        grant(Principal::User(0), true, false),
        grant(Principal::Group(44), false, true),
        grant(Principal::Everyone, true, true),
    ];
    assert_eq!(reservations[0].prefix.as_str(), "http://+:80/Shop/");
    assert_eq!(reservations[0].grants, grants);
}

/// The text before `<<` is right; what follows is wrong, and the error has to point there and say so.
#[test]
fn every_mistake_has_its_place_and_its_remedy() {
    let acl = "[[urlacl]]\nurl = \"http://+:80/a/\"\nallow = [{ everyone = true }]\n";
    for (text, said) in [
        ("[settings]\nqueue_length = <<", "not TOML"),
        ("[settings]\nqueue_length = 1\n<<queue_length = 2", "not TOML"),
        ("<<setings = 1", "did you mean settings?"),
        ("[settings]\n  <<queue_lenght = 5", "did you mean queue_length?"),
        ("[settings]\n<<MaxRequestBytes = 5", "write max_request_bytes instead"),
        ("[settings]\n<<colour = 5", "narthex show setting"),
        ("[settings]\nqueue_length = <<0", "1 to 65535"),
        ("[settings]\nqueue_length = <<\"many\"", "without quotes"),
        ("[settings]\nmax_request_bytes = <<99999999999", "256 to 16777216"),
        ("[settings]\nmax_request_body = <<-1", "or unlimited"),
        ("[settings]\nerror_log = <<\"yes\"", "true or false"),
        ("[settings]\ncooking = <<\"raw\"", "strict, httpsys"),
        ("[settings]\nlog_directory = <<\"logs\"", "absolute path"),
        ("settings = <<5", "[settings]"),
        ("[timeouts]\nidleconnectiontimeout = <<0", "1 to 65535"),
        ("[timeouts]\nidleconnectiontimeout = <<65536", "1 to 65535"),
        ("[timeouts]\n<<idletimeout = 5", "idleconnectiontimeout"),
        ("iplisten = <<\"127.0.0.1\"", "a list"),
        ("iplisten = [\"127.0.0.1\", <<\"localhost\"]", "not an IP address"),
        ("iplisten = [\"127.0.0.1\", <<\"::ffff:127.0.0.1\"]", "listed twice"),
        ("[[<<sslcert]]\nipport = \"0.0.0.0:443\"", "[[binding]] instead"),
        ("urlacl = <<[]", "[[urlacl]]"),
        ("<<[[urlacl]]\nallow = [{ everyone = true }]", "no url"),
        ("<<[[urlacl]]\nurl = \"http://+:80/a/\"", "no allow"),
        ("[[urlacl]]\nurl = <<\"http://+:80/a%20b/\"\nallow = [{ everyone = true }]", "un-escaped"),
        ("[[urlacl]]\nurl = <<\"http://*.example.com:80/\"\nallow = [{ everyone = true }]", "wildcard"),
        ("[[urlacl]]\nurl = <<\"http://+:0/\"\nallow = [{ everyone = true }]", "names its port"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = <<[]", "user = \"web\""),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [<<\"web\"]", "{ user = \"web\" }"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ user = <<\"no-such-user-here\" }]", "no user \"no-such-user-here\""),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ group = <<-5 }]", "not the number of a group"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ <<users = \"web\" }]", "did you mean user?"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [<<{ delegate = true }]", "for whom"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [<<{ user = 5, listen = false }]", "no right"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ user = 5, <<group = 5 }]", "one user or group"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ user = 0 }, <<{ user = \"root\" }]", "named twice"),
        ("[[urlacl]]\nurl = \"http://+:80/\"\nallow = [{ user = 0, listen = <<1 }]", "true or false"),
        ("ACL[[urlacl]]\n<<uri = \"http://+:80/\"", "did you mean url?"),
        ("ACL[[urlacl]]\nurl = <<\"http://+:80/A\"\nallow = [{ everyone = true }]", "already reserved"),
        ("ACL[[urlacl]]\nurl = <<\"https://b:80/\"\nallow = [{ everyone = true }]", "already speaks http"),
    ] {
        let text = text.replace("ACL", acl);
        let (before, after) = text.split_once("<<").unwrap();
        let error = parse(&format!("{before}{after}")).unwrap_err();
        let line = before.matches('\n').count() + 1;
        assert_eq!(error.line(), Some(line), "{text}: {error}");
        // Where TOML itself ends too early, its parser decides on the column.
        if said != "not TOML" {
            assert_eq!(error.column(), Some(before.rsplit('\n').next().unwrap().chars().count() + 1), "{text}: {error}");
        }
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert!(error.to_string().contains(&format!(":{line}:")), "{text}: {error}");
    }
}

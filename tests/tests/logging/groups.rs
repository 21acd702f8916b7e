//! Logs that apps ask for, each for its own URL group.

use narthex_proto::wire::{GroupSettings, LogFormat, LoggedResponses, Logging, Properties, Rollover};
use narthex_tests::wire_app::{Session, WireApp};
use narthex_tests::{Client, Host};
use tempfile::TempDir;

use crate::logging::stage::{SOON, eventually, files, lines, object, send};

struct Group {
    // Fields are dropped in order.
    client: Client,
    session: Session,
    app: WireApp,
    host: Host,
    directory: TempDir,
}

fn properties(logging: Option<Logging>) -> Properties {
    Properties { logging, ..Properties::default() }
}

fn as_format(format: LogFormat) -> Logging {
    Logging { format, rollover: Rollover::Size, ..Logging::default() }
}

impl Group {
    fn new(settings: &str, logging: Option<Logging>) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = Host::start_configured(directory.path(), 1, &format!("[settings]\n{settings}\n"));
        let group = GroupSettings { properties: properties(logging), ..GroupSettings::default() };
        let (app, address) = WireApp::at(&host, "http://127.0.0.1:0/", group);
        let (session, client) = (app.session(), Client::connect(address).expect("the host accepts connections"));
        Self { client, session, app, host, directory }
    }

    fn ask(&mut self, target: &str) {
        send(&mut self.client, "GET", target, "");
        let id = self.session.request();
        self.session.answer(id, "ok");
        assert_eq!(self.client.response_within(false, SOON).expect("it is answered").status, 200);
    }

    fn lines(&self) -> Vec<String> {
        self.host.operate(&["flush", "logbuffer"]);
        lines(&self.directory.path().join("log"))
    }

    fn files(&self) -> Vec<String> {
        let logs = self.directory.path().join("log");
        let shown = |file: std::path::PathBuf| file.strip_prefix(&logs).map(|file| file.display().to_string());
        files(&logs).into_iter().map(|file| shown(file).expect("a log is below the log directory")).collect()
    }
}

#[test]
fn a_group_has_its_own_log_in_each_format() {
    for (format, file) in [(LogFormat::W3c, "extend1.log"), (LogFormat::Ncsa, "ncsa1.log"), (LogFormat::Json, "json1.log")] {
        let mut group = Group::new("", Some(as_format(format)));
        group.ask("/one");
        group.ask("/two");
        let lines = group.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("/one") && lines[1].contains("/two"), "{lines:?}");
        assert_eq!(group.files(), [format!("wire/{file}")]);
    }
}

#[test]
fn a_group_names_its_folder_and_its_fields() {
    let fields = ["s-sitename", "cs-method", "sc-status"].map(str::to_owned).to_vec();
    let logging = Logging { rollover: Rollover::Size, site: Some("the.shop".to_owned()), fields, ..Logging::default() };
    let mut group = Group::new("", Some(logging));
    group.ask("/");
    assert_eq!(group.lines(), ["the.shop GET 200"]);
    assert_eq!(group.files(), ["the.shop/extend1.log"]);
}

#[test]
fn a_folder_that_leads_elsewhere_is_refused() {
    let group = Group::new("", None);
    for site in ["../evil", "httperr", "a/b", ""] {
        let logging = Logging { site: Some(site.to_owned()), ..Logging::default() };
        let settings = GroupSettings { properties: properties(Some(logging)), ..GroupSettings::default() };
        let refusal = WireApp::new(&group.host).register("http://127.0.0.1:0/", settings).expect_err(site);
        assert!(refusal.contains("cannot be a folder"), "{refusal}");
    }
}

#[test]
fn a_group_switches_its_log_on_over_and_off_while_it_is_in_use() {
    let mut group = Group::new("", None);
    group.ask("/none");
    group.app.set(properties(Some(as_format(LogFormat::Json))));
    group.ask("/json");
    group.app.set(properties(Some(as_format(LogFormat::Ncsa))));
    group.ask("/ncsa");
    group.app.set(properties(Some(as_format(LogFormat::Off))));
    group.ask("/off");
    let lines = group.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(object(&lines[0])["path"], "/json");
    assert!(lines[1].contains("GET /ncsa HTTP/1.1"), "{lines:?}");
}

#[test]
fn a_request_under_way_is_logged_where_it_began() {
    let mut group = Group::new("", Some(as_format(LogFormat::Json)));
    send(&mut group.client, "GET", "/before", "");
    let id = group.session.request();
    group.app.set(properties(Some(as_format(LogFormat::Ncsa))));
    group.session.answer(id, "ok");
    group.client.response_within(false, SOON).expect("it is answered");
    let lines = group.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(object(&lines[0])["path"], "/before");
}

#[test]
fn a_group_goes_before_the_host_and_may_say_no() {
    let mut group = Group::new("access_log = \"json\"", Some(as_format(LogFormat::Ncsa)));
    group.ask("/");
    assert_eq!(group.files().len(), 0, "nothing is written before a flush or its time");
    assert_eq!(group.lines().len(), 1);
    assert_eq!(group.files(), ["wire/ncsa1.log"]);
    let mut group = Group::new("access_log = \"json\"", Some(as_format(LogFormat::Off)));
    group.ask("/");
    assert!(group.lines().is_empty());
}

#[test]
fn a_group_logs_only_what_it_asks_for() {
    let only = |only| Some(Logging { only: Some(only), format: LogFormat::Json, ..Logging::default() });
    let mut group = Group::new("", only(LoggedResponses::Errors));
    group.ask("/well");
    group.app.set(properties(only(LoggedResponses::Successes)));
    group.ask("/good");
    let lines = group.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(object(&lines[0])["path"], "/good");
}

#[test]
fn an_app_that_leaves_loses_no_line() {
    let mut group = Group::new("", Some(as_format(LogFormat::Json)));
    group.ask("/last");
    let Group { client, session, app, host, directory } = group;
    drop((client, session, app));
    let logs = directory.path().join("log");
    eventually("the last line", || lines(&logs).len() == 1);
    drop(host);
}

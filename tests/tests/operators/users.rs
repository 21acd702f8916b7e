//! Two users of one machine, and a host that root runs for both.

use crate::operators::accounts::{ANNA, BERT, DEVELOPERS, can_be_others};
use crate::operators::machine::{Account, Machine};

/// A host that holds a port, which no other program can take then: the port's number.
fn port(machine: &Machine) -> (crate::operators::machine::App, u16) {
    let holder = machine.app(&["http://127.0.0.1:0/holder/"]);
    let port = holder.port();
    (holder, port)
}

#[track_caller]
fn denied(machine: &Machine, account: Account, prefix: &str) -> String {
    match machine.try_app(Some(account), &[prefix]) {
        Ok(_) => panic!("{prefix} should be refused to {account:?}"),
        Err(log) => log,
    }
}

#[test]
fn a_user_who_is_refused_is_told_the_command_that_helps() {
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    if !can_be_others("a_user_who_is_refused_is_told_the_command_that_helps") {
        return drop(machine.app(&[&format!("http://+:{port}/shop/")]));
    }
    let prefix = format!("http://+:{port}/shop/");
    let log = denied(&machine, ANNA, &prefix);
    let command = log.lines().find_map(|line| Some(&line[line.find("narthex add urlacl")?..]));
    let command = command.unwrap_or_else(|| panic!("no command in {log}"));
    machine.sh(command).done();
    let app = machine.try_app(Some(ANNA), &[&prefix]).expect("the command helps");
    assert_eq!(app.status("/shop/whoami"), 200);
    denied(&machine, BERT, &format!("http://+:{port}/shop/cart/"));
    denied(&machine, ANNA, &format!("http://+:{port}/other/"));
}

#[test]
fn what_is_reserved_for_one_is_refused_to_others_and_to_the_operator() {
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    machine.narthex(&format!("add urlacl url=http://+:{port}/anna/ user={}", ANNA.uid)).done();
    let Err(log) = machine.try_app(None, &[&format!("http://+:{port}/anna/x/")]) else {
        panic!("an operator is no exception where a reservation names others");
    };
    let whose = format!("reserved for user {}", ANNA.uid);
    assert!(log.contains(&whose), "{log}");
    if can_be_others("what_is_reserved_for_one_is_refused_to_others_and_to_the_operator") {
        let log = denied(&machine, BERT, &format!("http://+:{port}/anna/x/"));
        assert!(log.contains(&whose), "{log}");
        let below = format!("http://+:{port}/anna/x/");
        assert_eq!(machine.try_app(Some(ANNA), &[&below]).expect("it is Anna's").status("/anna/x/whoami"), 200);
    }
}

#[test]
fn who_may_delegate_reserves_below_for_others_and_changes_nothing_else() {
    if !can_be_others("who_may_delegate_reserves_below_for_others_and_changes_nothing_else") {
        return;
    }
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    let team = format!("http://+:{port}/team/");
    machine.narthex(&format!("add urlacl url={team} user={} delegate=yes", ANNA.uid)).done();

    let for_bert = format!("add urlacl url={team}bert/ user={}", BERT.uid);
    assert!(machine.narthex_as(BERT, &for_bert).refused().contains("delegate right"));
    machine.narthex_as(ANNA, &for_bert).done();
    let app = machine.try_app(Some(BERT), &[&format!("{team}bert/")]).expect("Anna reserved it for Bert");
    assert_eq!(app.status("/team/bert/whoami"), 200);
    denied(&machine, BERT, &team);
    denied(&machine, ANNA, &format!("{team}bert/x/"));

    // Nothing beside it and nothing of the machine's; not even its own reservation, which the level above decides.
    for line in [
        format!("add urlacl url=http://+:{port}/other/ user={}", ANNA.uid),
        format!("delete urlacl url={team}"),
        "add setting settingtype=queue_length value=5".to_owned(),
        "add iplisten ipaddress=127.0.0.1".to_owned(),
        "add timeout timeouttype=headerwaittimeout value=5".to_owned(),
        "add cacheparam type=maxcachesize value=5".to_owned(),
        "reload".to_owned(),
    ] {
        let refused = machine.narthex_as(ANNA, &line).refused();
        assert!(refused.contains("as root or as the host's own user"), "{line}: {refused}");
    }
    machine.narthex_as(ANNA, &format!("delete urlacl url={team}bert/")).done();
}

#[test]
fn everybody_may_look() {
    let machine = Machine::new();
    machine.narthex("add urlacl url=http://+:81/ everyone=yes").done();
    let others = can_be_others("everybody_may_look");
    for line in ["show servicestate", "show urlacl", "show iplisten", "show timeout", "show cacheparam", "show setting", "dump"] {
        let own = machine.narthex(line).done();
        assert!(!own.is_empty(), "{line}");
        if others {
            let uptime = |text: &str| text.lines().filter(|line| !line.contains("ptime")).collect::<Vec<_>>().join("\n");
            assert_eq!(uptime(&machine.narthex_as(ANNA, line).done()), uptime(&own), "{line}");
        }
    }
}

#[test]
fn the_loopback_rule_ends_with_the_first_reservation_on_the_port_and_when_it_is_switched_off() {
    if !can_be_others("the_loopback_rule_ends_with_the_first_reservation_on_the_port_and_when_it_is_switched_off") {
        return;
    }
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    let (local, all) = (format!("http://localhost:{port}/a/"), format!("http://+:{port}/a/"));
    let app = machine.try_app(Some(ANNA), &[&local]).expect("localhost is for everybody");
    denied(&machine, ANNA, &all);
    denied(&machine, ANNA, "http://localhost:80/a/");

    machine.narthex("add setting settingtype=loopback_rule value=no").done();
    denied(&machine, BERT, &format!("http://localhost:{port}/b/"));
    machine.narthex("delete setting settingtype=loopback_rule").done();
    drop(machine.try_app(Some(BERT), &[&format!("http://localhost:{port}/b/")]).expect("the rule is back"));

    machine.narthex(&format!("add urlacl url=http://+:{port}/elsewhere/ user={}", ANNA.uid)).done();
    assert_eq!(app.status("/a/whoami"), 200, "what is registered stays");
    drop(app);
    let log = denied(&machine, ANNA, &local);
    assert!(log.contains("narthex add urlacl url="), "{log}");
}

#[test]
fn a_reservation_for_a_group_is_for_its_members() {
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    let prefix = format!("http://+:{port}/dev/");
    machine.narthex(&format!("add urlacl url={prefix} group={DEVELOPERS}")).done();
    let shown = machine.narthex("show urlacl").done();
    assert!(shown.contains(&format!("Group: {DEVELOPERS}")), "{shown}");
    if can_be_others("a_reservation_for_a_group_is_for_its_members") {
        let member = Account { gid: DEVELOPERS, ..ANNA };
        let app = machine.try_app(Some(member), &[&prefix]).expect("she is a developer");
        assert_eq!(app.status("/dev/whoami"), 200);
        let log = denied(&machine, BERT, &format!("{prefix}bert/"));
        assert!(log.contains(&format!("group {DEVELOPERS}")), "{log}");
    }
}

#[test]
fn what_a_user_would_meet_can_be_asked_beforehand() {
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    machine.narthex(&format!("add urlacl url=http://+:{port}/anna/ user={}", ANNA.uid)).done();
    let others = can_be_others("what_a_user_would_meet_can_be_asked_beforehand");
    for (account, url) in [
        (ANNA, format!("http://+:{port}/anna/")),
        (BERT, format!("http://+:{port}/anna/x/")),
        (ANNA, format!("http://+:{port}/")),
        (ANNA, format!("http://localhost:{port}/x/")),
    ] {
        let said = machine.narthex(&format!("explain {url} --user {}", account.uid)).done();
        let refused = said.contains(&format!("user {} cannot register {url}", account.uid));
        assert!(refused || said.contains(&format!("user {} can register {url}", account.uid)), "{said}");
        if others {
            assert_eq!(machine.try_app(Some(account), &[&url]).is_err(), refused, "{said}");
        }
    }
}

#[test]
fn a_queue_is_its_users_and_a_url_its_apps() {
    if !can_be_others("a_queue_is_its_users_and_a_url_its_apps") {
        return;
    }
    let machine = Machine::new();
    let (_holder, port) = port(&machine);
    let [one, two] = ["a", "b"].map(|path| format!("http://localhost:{port}/{path}/"));
    let queue = ["--queue", "annas"];
    let _app = machine.try_app_with(Some(ANNA), &[&one], &queue).expect("localhost is for everybody");
    let log = machine.try_app_with(Some(BERT), &[&two], &queue).err().expect("the queue is Anna's");
    assert!(log.contains("annas"), "{log}");
    let log = machine.try_app_with(Some(BERT), &[&one], &[]).err().expect("the URL is Anna's app's");
    assert!(log.contains("process id"), "{log}");
    drop(machine.try_app_with(Some(ANNA), &[&two], &queue).expect("the queue is Anna's"));
}

//! Every verb in both of its spellings, and how commands end.

use serde_json::Value;

use crate::operators::machine::Machine;

/// What is done, what undoes it, and what shows it; netsh's spelling first.
const VERBS: [([&str; 2], [&str; 2], &str); 5] = [
    (
        ["add urlacl url=http://+:81/a/ user=4242 delegate=yes", "add urlacl --url http://+:81/a/ --user 4242 --delegate yes"],
        ["delete urlacl url=http://+:81/a/", "delete urlacl --url http://+:81/a/"],
        "show urlacl",
    ),
    (
        ["add iplisten ipaddress=127.0.0.1", "add iplisten --ipaddress 127.0.0.1"],
        ["delete iplisten ipaddress=127.0.0.1", "delete iplisten --ipaddress=127.0.0.1"],
        "show iplisten",
    ),
    (
        ["add timeout timeouttype=headerwaittimeout value=0x1E", "add timeout --timeouttype headerwaittimeout --value 30"],
        ["delete timeout timeouttype=HeaderWaitTimeout", "delete timeout --timeouttype headerwaittimeout"],
        "show timeout",
    ),
    (
        ["add cacheparam type=maxcachesize value=1048576", "add cacheparam --type maxcachesize --value 0x100000"],
        ["delete cacheparam type=maxcachesize", "delete cacheparam --type maxcachesize"],
        "show cacheparam",
    ),
    (
        ["add setting settingtype=queue_length value=77", "add setting --settingtype QueueLength --value 77"],
        ["delete setting settingtype=queue_length", "delete setting --settingtype queue_length"],
        "show setting",
    ),
];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn both_spellings_of_a_verb_do_the_same_and_the_other_verb_undoes_it() {
    let machine = Machine::new();
    for (adds, deletes, show) in VERBS {
        let state = || (machine.narthex(show).done(), json(&machine.narthex(&format!("{show} --json")).done()));
        let before = state();
        let mut after = Vec::new();
        for (add, delete) in adds.into_iter().zip(deletes.into_iter().rev()) {
            assert!(machine.narthex(add).done().contains("successfully"), "{add}");
            after.push(state());
            let deleted = json(&machine.narthex(&format!("{delete} --json")).done());
            assert!(deleted["done"].as_str().is_some_and(|said| said.contains("successfully")), "{delete}: {deleted}");
            assert_eq!(state(), before, "{delete}");
        }
        assert_eq!(after[0], after[1], "{adds:?}");
        assert_ne!(after[0], before, "{adds:?}");
    }
}

#[test]
fn an_exit_code_says_who_is_to_act() {
    let machine = Machine::new();
    let code = |line: &str| machine.narthex(line).code;
    assert_eq!(code("show urlacl"), Some(0));
    for refused in [
        "delete urlacl url=http://+:81/a/",
        "delete iplisten ipaddress=127.0.0.1",
        "add setting settingtype=queue_length value=0",
        "add setting settingtype=queue_lenght value=5",
        "add cacheparam type=scavengerperiod value=9",
        "add timeout timeouttype=headerwaittimeout value=0",
        "add urlacl url=nonsense user=4242",
        "add urlacl url=http://+:81/a/ user=nobody-has-this-name",
        "add urlacl url=http://+:81/a/ sddl=D:(D;;GX;;;WD)",
    ] {
        let said = machine.narthex(refused);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{refused}: {}", said.err);
        assert!(said.err.starts_with("narthex: ") && said.err.trim_end().lines().count() == 1, "{refused}: {}", said.err);
    }
    for misspelt in
        ["add urlacl ulr=http://+:81/a/ user=4242", "add urlacl url=http://+:81/a/", "show nothing", "add timeout value=5"]
    {
        assert_eq!(code(misspelt), Some(2), "{misspelt}");
    }
    assert_eq!(code("show urlacl --socket /nowhere/at/all"), Some(3));
    assert_eq!(machine.narthex("show urlacl").done(), machine.narthex("show urlacl").done());
    assert!(machine.narthex("show urlacl --json").done().trim() == "[]", "nothing that was refused has changed anything");
}

#[test]
fn a_wrong_setting_is_told_with_the_right_one_or_the_range() {
    let machine = Machine::new();
    let refused = machine.narthex("add setting settingtype=queue_lenght value=5").refused();
    assert!(refused.contains("queue_length"), "{refused}");
    let refused = machine.narthex("add setting settingtype=queue_length value=70000").refused();
    assert!(refused.contains("1 to 65535"), "{refused}");
}

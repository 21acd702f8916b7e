use super::*;

// User ids that no machine has, so that the messages show numbers.
const A: u32 = 3_900_000_001;
const B: u32 = 3_900_000_002;
const C: u32 = 3_900_000_003;
const DEVS: u32 = 3_900_000_100;

/// A reservation of a row: its URL, and who may what. `l` is listen, `d` delegate; `G` is the group DEVS, `*` everyone.
type Reserved = (&'static str, &'static str);

fn prefix(url: &str) -> UrlPrefix {
    url.parse().unwrap()
}

fn caller(uid: u32) -> Caller {
    Caller { uid, groups: if uid == C { vec![uid, DEVS] } else { vec![uid] } }
}

fn grants(text: &str) -> Vec<Grant> {
    let grant = |word: &str| {
        let principal = match &word[..1] {
            "A" => Principal::User(A),
            "B" => Principal::User(B),
            "C" => Principal::User(C),
            "0" => Principal::User(0),
            "G" => Principal::Group(DEVS),
            _ => Principal::Everyone,
        };
        Grant { principal, listen: word.contains('l'), delegate: word.contains('d') }
    };
    text.split_whitespace().map(grant).collect()
}

fn table(reserved: &[Reserved]) -> Table<Reservation, ()> {
    let mut table = Table::new();
    for (url, text) in reserved {
        table.reserve(prefix(url), Reservation { grants: grants(text) }).unwrap();
    }
    table
}

/// The worked examples of the API's pages "Processing Registrations" and "Adding a Reservation".
const EXAMPLE: &[Reserved] = &[("http://+:80/vroot/subdir/", "Ald Cl"), ("http://adatum.com:80/vroot/", "Bld")];

const NONE: &[Reserved] = &[];
const NESTED: &[Reserved] = &[("http://+:80/", "Al"), ("http://+:80/b/", "Bl"), ("http://+:80/b/d/", "Cd")];

#[test]
fn the_longest_reservation_that_covers_a_prefix_decides_who_registers_it() {
    for (reserved, uid, url, allowed) in [
        (EXAMPLE, B, "http://+:80/vroot/subdir/", false),
        (EXAMPLE, A, "http://+:80/vroot/subdir/", true),
        (EXAMPLE, C, "http://+:80/vroot/subdir/", true),
        (EXAMPLE, B, "http://adatum.com:80/vroot/subdir/", true),
        (EXAMPLE, C, "http://adatum.com:80/vroot/subdir/", false),
        (EXAMPLE, B, "http://adatum.com:80/vroot/anotherdir/", true),
        // Rights in + mean nothing for an explicit host, nor the other way round.
        (EXAMPLE, A, "http://adatum.com:80/vroot/subdir/", false),
        (EXAMPLE, B, "http://+:80/vroot/", false),
        (EXAMPLE, A, "http://*:80/vroot/subdir/", false),
        (EXAMPLE, A, "http://other.com:80/vroot/subdir/", false),
        // Another port or scheme is another namespace.
        (EXAMPLE, A, "http://+:81/vroot/subdir/", false),
        (EXAMPLE, A, "https://+:443/vroot/subdir/", false),
        // Case does not matter; segments do.
        (EXAMPLE, A, "http://+:80/VROOT/SubDir/x/", true),
        (EXAMPLE, A, "http://+:80/vroot/subdirectory/", false),
        // The longest, and only that.
        (NESTED, A, "http://+:80/x/", true),
        (NESTED, A, "http://+:80/b/x/", false),
        (NESTED, B, "http://+:80/b/", true),
        (NESTED, B, "http://+:80/b/d/", false),
        // The delegate right does not let one register.
        (NESTED, C, "http://+:80/b/d/", false),
        // The operator is nobody special where something is reserved, and alone where nothing is.
        (NESTED, 0, "http://+:80/x/", false),
        (&[("http://+:80/", "0l")], 0, "http://+:80/x/", true),
        (NONE, 0, "http://+:80/x/", true),
        (NONE, A, "http://+:80/x/", false),
        // Groups and everyone.
        (&[("http://+:80/", "Gl")], C, "http://+:80/", true),
        (&[("http://+:80/", "Gl")], A, "http://+:80/", false),
        (&[("http://+:80/", "*l")], A, "http://+:80/x/", true),
        (&[("http://+:80/", "*d")], A, "http://+:80/x/", false),
        (&[("http://+:80/", "*l")], 0, "http://+:80/x/", true),
    ] {
        let result = may_register(&table(reserved), &caller(uid), &prefix(url), &Settings::default());
        assert_eq!(result.is_ok(), allowed, "{url} by {uid}: {result:?}");
    }
}

#[test]
fn loopback_above_1024_is_for_everybody_until_the_port_has_a_reservation() {
    let on = Settings::default();
    let off = Settings { loopback_rule: false, ..Settings::default() };
    for (reserved, url, settings, allowed) in [
        (NONE, "http://localhost:8080/", &on, true),
        (NONE, "https://localhost:8080/x/", &on, true),
        (NONE, "http://127.0.0.1:8080/", &on, true),
        (NONE, "http://127.200.0.1:1025/", &on, true),
        (NONE, "http://[::1]:8080/", &on, true),
        (NONE, "http://localhost:8080/", &off, false),
        (NONE, "http://localhost:1024/", &on, false),
        (NONE, "http://localhost:80/", &on, false),
        (NONE, "http://+:8080/", &on, false),
        (NONE, "http://*:8080/", &on, false),
        (NONE, "http://192.168.0.1:8080/", &on, false),
        (NONE, "http://localhost.example.com:8080/", &on, false),
        (&[("http://+:8080/", "Al")], "http://localhost:8080/", &on, false),
        (&[("http://*:8080/elsewhere/", "Bl")], "http://localhost:8080/", &on, false),
        (&[("http://+:8081/", "Al")], "http://localhost:8080/", &on, true),
        (&[("http://localhost:8080/", "Al")], "http://localhost:8080/x/", &off, true),
    ] {
        let result = may_register(&table(reserved), &caller(A), &prefix(url), settings);
        assert_eq!(result.is_ok(), allowed, "{url} with {reserved:?}: {result:?}");
    }
}

#[test]
fn a_reservation_that_goes_gives_the_loopback_rule_back() {
    let mut table = table(&[("http://+:8080/", "Bl")]);
    let (url, settings) = (prefix("http://localhost:8080/"), Settings::default());
    assert!(may_register(&table, &caller(A), &url, &settings).is_err());
    table.unreserve(&prefix("http://+:8080/")).unwrap();
    assert!(may_register(&table, &caller(A), &url, &settings).is_ok());
}

#[test]
fn who_may_delegate_the_closest_reservation_above_may_add_below_it() {
    for (reserved, uid, url, allowed) in [
        (EXAMPLE, B, "http://adatum.com:80/vroot/subdir/otherdir/", true),
        (EXAMPLE, A, "http://+:80/vroot/subdir/otherdir/", true),
        (EXAMPLE, A, "http://adatum.com:80/vroot/subdir/otherdir/", false),
        (EXAMPLE, A, "http://adatum.com:80/newroot/", false),
        // Listen alone does not do, nor does another port or scheme.
        (EXAMPLE, C, "http://+:80/vroot/subdir/otherdir/", false),
        (EXAMPLE, A, "http://+:81/vroot/subdir/otherdir/", false),
        (EXAMPLE, A, "https://+:443/vroot/subdir/otherdir/", false),
        // Strictly above: one's own entry says nothing about itself, and roots are the operator's.
        (&[("http://+:80/", "Ad")], A, "http://+:80/", false),
        (&[("http://+:80/", "Ad")], A, "http://+:80/x/", true),
        // The closest one, and only that.
        (&[("http://+:80/", "Ad"), ("http://+:80/b/", "Bd")], A, "http://+:80/b/c/", false),
        (&[("http://+:80/", "Ad"), ("http://+:80/b/", "Bd")], B, "http://+:80/b/c/d/e/", true),
        (&[("http://+:80/", "Gd")], C, "http://+:80/x/", true),
        (&[("http://+:80/", "*d")], B, "http://+:80/x/", true),
        // The operator owns the file.
        (NESTED, 0, "http://+:80/b/x/", true),
        (NONE, 0, "http://+:80/", true),
        (NONE, A, "http://localhost:8080/", false),
    ] {
        let result = may_add(&table(reserved), &caller(uid), &prefix(url));
        assert_eq!(result.is_ok(), allowed, "{url} by {uid}: {result:?}");
    }
}

#[test]
fn deleting_is_decided_like_adding() {
    const TWO: &[Reserved] = &[("http://+:80/", "Ad"), ("http://+:80/b/", "Bld")];
    for (uid, url, code) in [
        (A, "http://+:80/b/", None),
        (0, "http://+:80/b/", None),
        (0, "http://+:80/", None),
        (B, "http://+:80/b/", Some(RefusalCode::AccessDenied)),
        (A, "http://+:80/", Some(RefusalCode::AccessDenied)),
        (A, "http://+:80/nothing/", Some(RefusalCode::NotFound)),
        // Who may not change anything there is not told what there is.
        (C, "http://+:80/nothing/", Some(RefusalCode::AccessDenied)),
    ] {
        let result = may_delete(&table(TWO), &caller(uid), &prefix(url));
        assert_eq!(result.err().map(|refusal| refusal.code), code, "{url} by {uid}");
    }
}

#[test]
fn a_reservation_is_not_overwritten() {
    let refusal = may_add(&table(EXAMPLE), &caller(0), &prefix("http://+:80/VROOT/subdir/")).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::AlreadyRegistered);
    assert!(refusal.message.contains("narthex delete urlacl url=http://+:80/vroot/subdir/"), "{}", refusal.message);
}

#[test]
fn an_entry_inherits_nothing() {
    let table = table(&[("http://+:80/", "Ald"), ("http://+:80/b/", "Bl")]);
    assert!(may_register(&table, &caller(A), &prefix("http://+:80/b/"), &Settings::default()).is_err());
    assert!(may_add(&table, &caller(A), &prefix("http://+:80/b/c/")).is_err());
}

#[test]
fn a_refusal_names_the_reservation_its_users_and_the_command() {
    let message = |reserved: &[Reserved], url: &str| {
        may_register(&table(reserved), &caller(A), &prefix(url), &Settings::default()).unwrap_err().message
    };
    let shop = &[("http://+:80/shop/", "0l Gl Bd")];
    assert_eq!(
        message(shop, "http://+:80/shop/"),
        "cannot register http://+:80/shop/: it is reserved for user \"root\", group 3900000100 \
         (narthex show urlacl url=http://+:80/shop/)"
    );
    assert_eq!(
        message(shop, "http://+:80/shop/a/"),
        "cannot register http://+:80/shop/a/: http://+:80/shop/ is reserved for user \"root\", group 3900000100 \
         (narthex show urlacl url=http://+:80/shop/)"
    );
    assert_eq!(
        message(NONE, "http://+:80/a b/"),
        "cannot register http://+:80/a b/: no reservation lets user 3900000001 register it; an operator can: \
         narthex add urlacl url='http://+:80/a b/' user=3900000001"
    );
}

#[test]
fn another_set_of_reservations_leaves_registrations_alone() {
    let mut before = table(EXAMPLE);
    before.register(prefix("http://h:90/"), ()).unwrap();
    let reserved = |url| crate::config::Reserved { prefix: prefix(url), grants: grants("Al") };
    let after = replaced(&before, &[reserved("http://+:80/new/")]).unwrap();
    let urls: Vec<_> = after.reservations().map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(urls, ["http://+:80/new/"]);
    assert!(after.registration(&prefix("http://h:90/")).is_some());
    assert!(matches!(replaced(&before, &[reserved("https://h:90/")]), Err(Conflict::Scheme { .. })));
}

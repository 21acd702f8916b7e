use super::*;

const FEW: OutboundLimits = OutboundLimits { bytes: 10, messages: 3, overflow: Overflow::DropOldest };

fn item(text: &str, priority: Priority) -> Item {
    Item { priority, ..Item::new(What::Message(text.into())) }
}

fn drain(outbox: &mut Outbox) -> Vec<String> {
    let text = |item: Item| match item.what {
        What::Message(Message::Text(text)) => text,
        What::Begin(_, bytes) | What::Append(bytes, _) => String::from_utf8(bytes.into()).unwrap(),
        _ => "?".to_owned(),
    };
    std::iter::from_fn(|| outbox.pop()).map(text).collect()
}

#[test]
fn higher_priorities_go_first_and_equal_ones_in_order() {
    let mut outbox = Outbox::default();
    for (text, priority) in [
        ("low", Priority::Low),
        ("a", Priority::Normal),
        ("high", Priority::High),
        ("b", Priority::Normal),
        ("higher?", Priority::High),
    ] {
        assert!(outbox.push(item(text, priority), OutboundLimits::default).is_queued());
    }
    assert_eq!(drain(&mut outbox), ["high", "higher?", "a", "b", "low"]);
    assert!(matches!(outbox.waiting, Waiting::Nothing));
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn the_oldest_of_the_lowest_priority_make_room() {
    let mut outbox = Outbox::default();
    for text in ["1", "2", "3", "4"] {
        assert!(outbox.push(item(text, Priority::Normal), || FEW).is_queued());
    }
    assert!(outbox.push(item("high", Priority::High), || FEW).is_queued());
    assert_eq!(outbox.push(item("low", Priority::Low), || FEW), Sent::Refused, "nothing lower waits");
    assert_eq!(drain(&mut outbox), ["high", "3", "4"]);
}

#[test]
fn bytes_are_bounded_too_but_one_message_always_goes() {
    let mut outbox = Outbox::default();
    let limits = OutboundLimits { overflow: Overflow::DropNewest, ..FEW };
    assert!(outbox.push(item("longer than ten bytes", Priority::Normal), || limits).is_queued());
    assert_eq!(outbox.push(item("1", Priority::Normal), || limits), Sent::Refused);
    assert_eq!(outbox.bytes(), 21);
}

#[test]
fn what_was_kept_elsewhere_takes_no_room() {
    let mut outbox = Outbox::default();
    for text in ["kept 1", "kept 2", "kept 3", "kept 4"] {
        assert!(outbox.push(Item { uncounted: true, ..item(text, Priority::Normal) }, || FEW).is_queued());
    }
    let limits = OutboundLimits { overflow: Overflow::DropNewest, ..FEW };
    for text in ["1", "2", "3"] {
        assert!(outbox.push(item(text, Priority::Normal), || limits).is_queued());
    }
    assert_eq!(outbox.push(item("4", Priority::Normal), || limits), Sent::Refused);
    assert!(matches!(&outbox.waiting, Waiting::Queue(queue) if (queue.bytes, queue.counted()) == (3, 3)));
    assert_eq!(drain(&mut outbox), ["kept 1", "kept 2", "kept 3", "kept 4", "1", "2", "3"]);
    assert!(matches!(outbox.waiting, Waiting::Nothing));
}

#[test]
fn a_peer_that_is_too_slow_is_closed_and_what_waits_is_dropped() {
    let mut outbox = Outbox::default();
    let limits = OutboundLimits { overflow: Overflow::Close(CloseCode::POLICY_VIOLATION), ..FEW };
    for text in ["1", "2", "3"] {
        assert!(outbox.push(item(text, Priority::Normal), || limits).is_queued());
    }
    assert_eq!(outbox.push(item("4", Priority::Normal), || limits), Sent::Refused);
    assert!(matches!(&outbox.ending, Ending::Close(Some(close)) if close.code() == CloseCode::POLICY_VIOLATION));
    assert_eq!(outbox.push(item("5", Priority::Normal), || limits), Sent::NotFound);
    assert!(drain(&mut outbox).is_empty());
}

#[test]
fn the_latest_of_a_key_takes_the_place_of_the_one_before() {
    let mut outbox = Outbox::default();
    for (text, key) in [("old price", "a"), ("other", "b"), ("price", "a")] {
        let item = Item { key: Some(key.into()), ..item(text, Priority::Normal) };
        assert!(outbox.push(item, OutboundLimits::default).is_queued());
    }
    assert_eq!(outbox.bytes(), 10);
    assert_eq!(drain(&mut outbox), ["price", "other"]);
}

#[test]
fn the_latest_of_a_key_is_bounded_as_all_else_is() {
    let pushed = |overflow: Overflow| {
        let mut outbox = Outbox::default();
        let latest = |text: &str, key: &str| Item { key: Some(key.into()), ..item(text, Priority::Normal) };
        let limits = OutboundLimits { overflow, ..FEW };
        for (text, key) in [("1", "a"), ("2", "b"), ("3", "c")] {
            assert!(outbox.push(latest(text, key), || limits).is_queued());
        }
        assert!(outbox.push(latest("12345678", "b"), || limits).is_queued(), "ten bytes in all");
        let sent = outbox.push(latest("123", "a"), || limits);
        (sent, outbox.bytes(), drain(&mut outbox))
    };
    let owned = |texts: &[&str]| texts.iter().map(|text| String::from(*text)).collect::<Vec<_>>();
    assert_eq!(pushed(Overflow::DropNewest), (Sent::Refused, 10, owned(&["1", "12345678", "3"])));
    assert_eq!(pushed(Overflow::DropOldest), (Sent::Queued, 4, owned(&["3", "123"])), "the place is kept only by what fits in");
    assert_eq!(pushed(Overflow::Close(CloseCode::POLICY_VIOLATION)), (Sent::Refused, 0, Vec::new()));

    let mut outbox = Outbox::default();
    for text in ["1", "longer than ten bytes"] {
        let item = Item { key: Some("a".into()), ..item(text, Priority::Normal) };
        assert!(outbox.push(item, || FEW).is_queued(), "one goes, however large");
    }
    assert_eq!(drain(&mut outbox), ["longer than ten bytes"]);
}

#[test]
fn what_was_kept_elsewhere_makes_no_room() {
    let mut outbox = Outbox::default();
    for (text, uncounted) in [("1", false), ("kept 1", true), ("kept 2", true), ("2", false), ("3", false)] {
        assert!(outbox.push(Item { uncounted, ..item(text, Priority::Normal) }, || FEW).is_queued());
    }
    for text in ["4", "5"] {
        assert!(outbox.push(item(text, Priority::Normal), || FEW).is_queued());
    }
    assert_eq!(drain(&mut outbox), ["kept 1", "kept 2", "3", "4", "5"]);
}

#[test]
fn a_message_is_framed_at_once_only_if_it_has_to_wait_for_nothing() {
    let mut outbox = Outbox { may_frame: true, ..Outbox::default() };
    assert!(outbox.frame(&"first".into()) && outbox.frame(&Message::from(&b"second"[..])));
    assert!(!outbox.frame(&"x".repeat(GATHER + 1).into()), "it is too large");
    assert_eq!(outbox.bytes(), 15);
    assert!(outbox.has_some() && !outbox.has_next());
    assert!(outbox.push(item("waits", Priority::Low), OutboundLimits::default).is_queued());
    assert!(!outbox.frame(&"later".into()), "another one waits");
    let frames = outbox.frames.take().unwrap();
    assert_eq!((&frames.bytes[..], frames.messages), (&b"\x81\x05first\x82\x06second"[..], 2));
    assert_eq!(drain(&mut outbox), ["waits"]);

    while outbox.frame(&"x".repeat(100).into()) {}
    assert!((GATHER..GATHER + 102).contains(&outbox.bytes()));
    outbox.clear();
    assert!(outbox.push(Item::new(What::Begin(Kind::Text, b"in".as_slice().into())), OutboundLimits::default).is_queued());
    assert_eq!(drain(&mut outbox), ["in"]);
    assert!(!outbox.frame(&"later".into()), "a message in pieces goes on");
    outbox = Outbox { may_frame: true, over: true, ..Outbox::default() };
    assert!(!outbox.frame(&"nobody".into()));
}

#[test]
fn what_many_get_takes_no_memory_until_something_else_waits() {
    let shared = |text: &str| Shared::Message(Broadcast::text(text, None));
    let texts = |outbox: &mut Outbox| -> Vec<String> {
        let text = |item: Item| match item.what {
            What::Shared(shared) => String::from_utf8(shared.frames().data().to_vec()).unwrap(),
            What::Message(message) => message.as_text().unwrap().to_owned(),
            _ => "?".to_owned(),
        };
        std::iter::from_fn(|| outbox.pop()).map(text).collect()
    };
    let mut outbox = Outbox { may_frame: true, ..Outbox::default() };
    assert!(outbox.share(shared("first")).is_ok());
    assert!(matches!(outbox.waiting, Waiting::Shared(_)) && outbox.has_next());
    assert_eq!(outbox.bytes(), 5);
    assert!(outbox.share(shared("second")).is_err(), "the first waits");
    assert!(!outbox.frame(&"second".into()), "the first waits");
    assert!(outbox.push(item("second", Priority::Normal), OutboundLimits::default).is_queued());
    assert!(outbox.push(item("before both", Priority::High), OutboundLimits::default).is_queued());
    assert_eq!(outbox.bytes(), 22);
    assert!(outbox.share(shared("third")).is_err(), "two wait");
    assert_eq!(texts(&mut outbox), ["before both", "first", "second"]);

    assert!(outbox.share(shared("alone")).is_ok());
    let limits = OutboundLimits { overflow: Overflow::DropNewest, ..FEW };
    assert_eq!(outbox.push(item("too much", Priority::Normal), || limits), Sent::Refused, "what is shared counts");
    assert_eq!(texts(&mut outbox), ["alone"]);

    assert!(outbox.push(Item::new(What::Begin(Kind::Text, Box::default())), || FEW).is_queued());
    assert!(outbox.pop().is_some());
    assert!(outbox.share(shared("later")).is_err(), "a message in pieces goes on");
    outbox = Outbox { over: true, ..Outbox::default() };
    assert!(outbox.share(shared("nobody")).is_err());
}

#[test]
fn messages_wait_for_the_end_of_one_in_pieces_and_pings_do_not() {
    let mut outbox = Outbox::default();
    assert!(outbox.push(item("first", Priority::Normal), OutboundLimits::default).is_queued());
    let piece = |bytes: &[u8], last| Item::new(What::Append(bytes.into(), last));
    let limits = OutboundLimits::default();
    assert!(outbox.push(Item::new(What::Begin(Kind::Text, (*b"be").into())), || limits).is_queued());
    assert!(outbox.push(item("after", Priority::Normal), || limits).is_queued());
    assert!(matches!(outbox.pop().unwrap().what, What::Message(_)));
    assert!(matches!(outbox.pop().unwrap().what, What::Begin(..)));
    assert!(outbox.push(item("later", Priority::High), || limits).is_queued());
    assert!(!outbox.has_next() && outbox.pop().is_none());
    assert!(outbox.push(Item::new(What::Ping(Box::default())), || limits).is_queued());
    assert!(matches!(outbox.pop().unwrap().what, What::Ping(_)));
    assert!(outbox.push(piece(b"gin", true), || limits).is_queued());
    assert_eq!(drain(&mut outbox), ["gin", "later", "after"]);
}

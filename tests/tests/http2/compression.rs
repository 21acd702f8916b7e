//! RFC 7541: field blocks.

use narthex_tests::h2::conformance::{Case, Expect, case};
use narthex_tests::h2::frame::{self, COMPRESSION_ERROR, END_STREAM};
use narthex_tests::h2::{Connection, hpack};

pub(crate) fn cases() -> Vec<Case> {
    [right(), wrong()].into_iter().flatten().collect()
}

/// A request, and further bytes in its block.
fn with(c: &mut Connection, stream: u32, more: &[u8]) {
    let block = [&c.request("GET", "/", &[]), more].concat();
    c.send(&frame::headers(stream, END_STREAM, block));
}

fn after(name: &'static str, expect: Expect, more: &'static [u8]) -> Case {
    case(name, expect, move |c| with(c, 1, more))
}

fn right() -> Vec<Case> {
    let answered = || Expect::Answered(1, 200);
    // The Huffman code of "b" is 100011.
    vec![
        case("6.1: indexed fields", answered(), |c| {
            let host = c.authority().to_owned();
            let block = [&[0x82, 0x86, 0x84][..], &hpack::block([(":authority", host)])].concat();
            c.send(&frame::headers(1, END_STREAM, block));
        }),
        after("6.2.1: a literal that is kept", answered(), b"\x40\x03x-a\x01b"),
        after("6.2.1: a literal that is kept, its name indexed", answered(), b"\x7a\x01b"),
        after("6.2.1: a literal that is kept, its value Huffman-coded", answered(), b"\x40\x03x-a\x81\x8f"),
        after("6.2.2: a literal that is not kept, its name indexed", answered(), b"\x0f\x2b\x01b"),
        after("6.2.2: a literal that is not kept", answered(), b"\x00\x03x-a\x01b"),
        after("6.2.3: a literal that is never kept", answered(), b"\x10\x03x-a\x01b"),
        after("6.2.3: a literal that is never kept, its name indexed", answered(), b"\x1f\x2b\x01b"),
        case("5.1: an integer in more bytes than it needs", answered(), |c| {
            // 127 and 4, written as 4 | 0x80, 0x80, 0x00.
            let name = [&[0, 0x7f, 0x84, 0x80, 0][..], &[b'a'; 131], b"\x01b"].concat();
            with(c, 1, &name);
        }),
        case("2.3.3: a kept field is indexed by a later request", Expect::Answered(3, 200), |c| {
            with(c, 1, &hpack::kept("x-kept", "1"));
            with(c, 3, &hpack::indexed(62));
        }),
        case("4.4: a field larger than the table empties it", answered(), |c| {
            with(c, 1, &hpack::kept("x-large", &"v".repeat(5_000)))
        }),
        case("6.3: the table's size changes at a block's beginning", answered(), |c| {
            let block = [hpack::table_size(0), hpack::table_size(4096), c.request("GET", "/", &[])].concat();
            c.send(&frame::headers(1, END_STREAM, block));
        }),
    ]
}

fn wrong() -> Vec<Case> {
    let broken = || Expect::Connection(vec![COMPRESSION_ERROR]);
    vec![
        case("2.3.3: an index beyond the tables", broken(), |c| with(c, 1, &hpack::indexed(70))),
        case("2.3.3: an index far beyond the tables", broken(), |c| with(c, 1, &hpack::indexed(100_000))),
        after("2.3.3: a name's index beyond the tables", broken(), b"\x7f\x07\x01b"),
        case("4.2: an index that a smaller table no longer has", broken(), |c| {
            with(c, 1, &hpack::kept("x-kept", "1"));
            let block = [hpack::table_size(0), c.request("GET", "/", &[]), hpack::indexed(62)].concat();
            c.send(&frame::headers(3, END_STREAM, block));
        }),
        case("4.2: the table's size changes at a block's end", broken(), |c| with(c, 1, &hpack::table_size(100))),
        case("6.3: a table larger than the server allows", broken(), |c| {
            let block = [hpack::table_size(1_000_000), c.request("GET", "/", &[])].concat();
            c.send(&frame::headers(1, END_STREAM, block));
        }),
        after("5.2: Huffman code with more than 7 bits of padding", broken(), b"\x00\x03x-a\x82\x8f\xff"),
        after("5.2: Huffman code padded by zeros", broken(), b"\x00\x03x-a\x81\x8c"),
        after("5.2: Huffman code that contains EOS", broken(), b"\x00\x03x-a\x84\xff\xff\xff\xff"),
        after("6.1: index 0", broken(), b"\x80"),
        after("5.1: an integer without an end", broken(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        after("5.1: an integer that overflows", broken(), b"\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        after("5.2: a string longer than its block", broken(), b"\x00\x03x-a\x7eb"),
        after("6.2: a literal without a value", broken(), b"\x00\x03x-a"),
    ]
}

//! What is wrong with the `h2` crate (0.4) that Narthex does not mend. Each case here is checked to fail still, so that it is noticed
//! when it is mended.

use narthex_tests::h2::conformance::Known;

pub(crate) const KNOWN: Known = Known { codes: CODES, defects: DEFECTS };

/// The connection ends with GOAWAY as it has to, but `h2` says PROTOCOL_ERROR whatever it was: its HPACK decoder and its
/// states know no other code.
const CODES: &[&str] = &[
    "2.3.3: a name's index beyond the tables",
    "2.3.3: an index beyond the tables",
    "2.3.3: an index far beyond the tables",
    "4.2: an index that a smaller table no longer has",
    "4.2: the table's size changes at a block's end",
    "4.3: a field block that cannot be decoded",
    "4.3: a field block that ends within a literal",
    "4.3: trailers that cannot be decoded",
    "5.1: an integer that overflows",
    "5.1: an integer without an end",
    "5.1: half-closed: DATA",
    "5.1: half-closed: HEADERS",
    "5.2: Huffman code padded by zeros",
    "5.2: Huffman code that contains EOS",
    "5.2: Huffman code with more than 7 bits of padding",
    "5.2: a string longer than its block",
    "6.1: DATA of a stream that is not open",
    "6.1: index 0",
    "6.2: a literal without a value",
    "6.3: a table larger than the server allows",
    "6.5.2: INITIAL_WINDOW_SIZE above 2^31-1",
];

/// A case's name, and why it fails.
const DEFECTS: &[(&str, &str)] = &[
    ("8.3.1: a :path with a fragment", "http::Uri drops the fragment before Narthex sees it"),
    ("8.3: a pseudo-field in trailers", "h2 drops it before Narthex sees it"),
];

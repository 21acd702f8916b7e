//! Text as apps send it: the keys repeat, the values do not.

use std::fmt::Write;

/// Exactly so many bytes.
pub(crate) fn of_size(size: usize) -> String {
    let mut text = String::from("[");
    // Any sequence without a short period will do, and it is the same in every run.
    let mut state = 1_u32;
    while text.len() < size {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (id, price, symbol) = (state >> 20, state >> 12 & 0xffff, char::from(b'A' + (state >> 27) as u8 % 26));
        let _ = write!(text, "{{\"id\":{id},\"symbol\":\"{symbol}{symbol}X\",\"price\":{price}.25,\"side\":\"buy\"}},");
    }
    text.truncate(size);
    text
}

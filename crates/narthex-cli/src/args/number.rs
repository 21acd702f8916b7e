//! Numbers as netsh takes them.

/// A decimal number, or a hexadecimal one after `0x`.
///
/// # Errors
/// What is expected instead.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let most = u64::MAX >> (64 - 8 * size_of::<T>().clamp(1, 8));
        format!("expected a whole number from 0 to {most}, decimal or 0x and hexadecimal")
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_range() {
        assert_eq!(number::<u16>("0xffff"), Ok(u16::MAX));
        assert!(number::<u16>("65536").unwrap_err().contains("0 to 65535,"));
        assert_eq!(number::<u64>("0xffffffffffffffff"), Ok(u64::MAX));
        assert!(number::<u64>("0x+1").unwrap_err().contains(&format!("0 to {},", u64::MAX)));
    }
}

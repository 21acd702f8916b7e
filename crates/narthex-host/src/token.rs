//! What is shown to prove who one is.

use std::fs::File;
use std::io::{self, Read};

/// 128 random bits from the OS, in hexadecimal digits.
///
/// # Errors
/// If the OS has none to give.
pub fn random_token() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

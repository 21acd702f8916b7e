//! How far back compressed data may refer.

/// A window of 2^9 to 2^15 bytes, as its exponent. The default is 15, as where nothing is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

/// A window that DEFLATE cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} window bits: there may be 9 to 15")]
pub struct WindowBitsError(pub u8);

impl WindowBits {
    /// 2^9: 512 bytes.
    pub const MIN: Self = Self(9);
    /// 2^15: 32 KiB.
    pub const MAX: Self = Self(15);
    /// How many different ones there are.
    pub(crate) const COUNT: usize = 7;

    /// The window of 2^`bits` bytes.
    ///
    /// # Errors
    ///
    /// `bits` is not 9 to 15. (RFC 7692 also has 8, which zlib cannot write.)
    pub const fn new(bits: u8) -> Result<Self, WindowBitsError> {
        match bits {
            9..=15 => Ok(Self(bits)),
            _ => Err(WindowBitsError(bits)),
        }
    }

    /// The exponent.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The place in an array of [`Self::COUNT`].
    pub(crate) const fn index(self) -> usize {
        (self.0 - Self::MIN.0) as usize
    }
}

impl Default for WindowBits {
    fn default() -> Self {
        Self::MAX
    }
}

//! What is wrong with the `h2` crate that Narthex cannot mend. Each is checked to fail still.

/// A case's name, and why it fails.
pub(crate) const DEFECTS: &[(&str, &str)] = &[];

//! What a client publishes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::rejection::Rejection;

/// What a client wants to say on a channel, for [`Channels::may_publish`](super::Channels::may_publish).
#[derive(Clone, Debug)]
pub struct Publication {
    pub(super) channel: String,
    pub(super) data: Box<RawValue>,
}

impl Publication {
    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// What is said, as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.data.get()
    }

    /// What is said.
    ///
    /// # Errors
    /// If it is no `T`. The client is told what is wrong with it.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        serde_json::from_str(self.json())
            .map_err(|error| Rejection::malformed(format!("the data is not what it should be: {error}")))
    }

    /// The same publication, saying something else.
    ///
    /// # Errors
    /// If it cannot be written as JSON, as a map whose keys are not strings.
    pub fn with_data(self, data: impl Serialize) -> Result<Self, Rejection> {
        match to_raw_value(&data) {
            Ok(data) => Ok(Self { data, ..self }),
            Err(error) => {
                tracing::error!(%error, "what was to be published cannot be written as JSON");
                Err(Rejection::coded("failed", "the server could not write this"))
            }
        }
    }
}

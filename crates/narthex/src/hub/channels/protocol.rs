//! The protocol's messages as JSON. docs/channels.md describes them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::rejection::Rejection;
use super::topic::{Epoch, Position};
use crate::hub::peer::PeerId;

/// What a client sends. Members that its operation does not have, and those that nobody knows, are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    pub(super) op: String,
    pub(super) id: Option<u64>,
    channel: Option<String>,
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    pub(super) since: Option<Position>,
    #[serde(default)]
    pub(super) last: usize,
    #[serde(default)]
    pub(super) presence: bool,
    pub(super) code: Option<String>,
    pub(super) text: Option<String>,
}

impl Incoming {
    pub(super) fn parse(text: &str) -> Result<Self, Rejection> {
        serde_json::from_str(text).map_err(|error| Rejection::malformed(format!("this is no message of the protocol: {error}")))
    }

    pub(super) fn channel(&mut self) -> Result<String, Rejection> {
        self.channel.take().ok_or_else(|| missing("channel"))
    }

    pub(super) fn name(&mut self) -> Result<String, Rejection> {
        self.name.take().ok_or_else(|| missing("name"))
    }

    pub(super) fn needs_id(&self) -> Result<u64, Rejection> {
        self.id.ok_or_else(|| missing("id"))
    }

    pub(super) fn needs_data(&mut self) -> Result<Box<RawValue>, Rejection> {
        self.data.take().ok_or_else(|| missing("data"))
    }

    /// What is not there is null.
    pub(super) fn data(&mut self) -> Box<RawValue> {
        self.data.take().unwrap_or_else(|| RawValue::NULL.to_owned())
    }
}

/// That something is null is not that it is not there.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

fn missing(member: &str) -> Rejection {
    Rejection::malformed(format!("the member {member:?} is missing"))
}

/// What a server sends.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Outgoing<'a> {
    Welcome {
        peer: PeerId,
    },
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a str>,
        data: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<PeerId>,
        #[serde(flatten)]
        position: Option<Position>,
    },
    Subscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        channel: &'a str,
        #[serde(flatten)]
        position: Option<Position>,
        /// Whether all is there that came after `since`. Absent: nobody asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        /// How many messages follow that were kept. `position` is before them.
        #[serde(skip_serializing_if = "Option::is_none")]
        replayed: Option<usize>,
        #[serde(flatten)]
        members: Option<Members<'a>>,
    },
    Unsubscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        channel: &'a str,
    },
    Published {
        id: u64,
        channel: &'a str,
        #[serde(flatten)]
        position: Option<Position>,
    },
    Presence {
        id: u64,
        channel: &'a str,
        #[serde(flatten)]
        members: Members<'a>,
    },
    Joined {
        channel: &'a str,
        #[serde(flatten)]
        member: Member<'a>,
    },
    Left {
        channel: &'a str,
        peer: PeerId,
    },
    Request {
        id: u64,
        name: &'a str,
        data: &'a RawValue,
    },
    Reply {
        id: u64,
        data: &'a RawValue,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        code: &'a str,
        text: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct Members<'a> {
    pub(super) members: Vec<Member<'a>>,
    /// How many there are: the list may be shorter.
    pub(super) total: usize,
}

#[derive(Serialize)]
pub(super) struct Member<'a> {
    pub(super) peer: PeerId,
    pub(super) info: &'a RawValue,
}

impl Outgoing<'_> {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a message of the protocol can be written as JSON")
    }
}

impl Serialize for PeerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // One that this server cannot have given is as good as one that it has forgotten.
        Ok(String::deserialize(deserializer)?.parse().unwrap_or(Self::UNKNOWN))
    }
}

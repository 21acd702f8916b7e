//! The forms in which a message goes out. Each is built once, when the first peer needs it, and shared by all.

use std::cell::OnceCell;
use std::sync::Arc;

use narthex_ws::Broadcast as Frames;
use narthex_ws::deflate::Compressors;
use serde_json::value::RawValue;

use super::Speaks;
use super::protocol::Outgoing;
use super::topic::At;
use crate::hub::message::Message;
use crate::hub::outbox::Shared;
use crate::hub::peer::{Peer, PeerId};

/// A message of the channel protocol that many get.
pub(in crate::hub) struct Envelope {
    pub(in crate::hub) frames: Frames,
    /// Where it stands in its channel's history.
    pub(in crate::hub) at: Option<At>,
}

impl Envelope {
    pub(super) fn new(outgoing: &Outgoing<'_>, at: Option<At>, compressors: Option<Arc<Compressors>>) -> Self {
        Self { frames: Frames::text(&outgoing.text(), compressors), at }
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self { frames: Frames::text(text, None), at: None }
    }
}

/// A message, in as many forms as somebody needs.
pub(in crate::hub) struct Forms<'a> {
    message: &'a Message,
    channel: Option<&'a str>,
    /// The data of the envelope, if it is not the message's text.
    data: Option<&'a RawValue>,
    from: Option<PeerId>,
    at: Option<At>,
    compressors: Option<Arc<Compressors>>,
    raw: OnceCell<Frames>,
    envelope: OnceCell<Arc<Envelope>>,
}

impl<'a> Forms<'a> {
    pub(in crate::hub) fn new(message: &'a Message, channel: Option<&'a str>, compressors: Option<Arc<Compressors>>) -> Self {
        Self { message, channel, data: None, from: None, at: None, compressors, raw: OnceCell::new(), envelope: OnceCell::new() }
    }

    pub(in crate::hub) fn data(self, data: Option<&'a RawValue>, from: Option<PeerId>) -> Self {
        Self { data, from, ..self }
    }

    pub(in crate::hub) fn at(self, at: At) -> Self {
        Self { at: Some(at), ..self }
    }

    /// What this peer gets. `None`: it cannot be told this.
    pub(in crate::hub) fn for_peer(&self, peer: &Peer) -> Option<Shared> {
        match (peer.speaks(), self.message) {
            (Speaks::Raw, _) | (Speaks::Channels, Message::Binary(_)) => Some(Shared::Message(self.raw().clone())),
            (_, Message::Text(_)) => Some(Shared::Envelope(Arc::clone(self.envelope()?))),
            (Speaks::Events, Message::Binary(_)) => None,
        }
    }

    fn raw(&self) -> &Frames {
        self.raw.get_or_init(|| match self.message {
            Message::Text(text) => Frames::text(text, self.compressors.clone()),
            Message::Binary(bytes) => Frames::binary(bytes, self.compressors.clone()),
        })
    }

    /// `None`: the message is binary.
    pub(in crate::hub) fn envelope(&self) -> Option<&Arc<Envelope>> {
        let text = self.message.as_text()?;
        Some(self.envelope.get_or_init(|| {
            let quoted;
            let data = match self.data {
                Some(data) => data,
                None => {
                    quoted = serde_json::value::to_raw_value(text).expect("a string can be written as JSON");
                    &quoted
                }
            };
            let outgoing =
                Outgoing::Message { channel: self.channel, data, from: self.from, position: self.at.as_ref().map(At::position) };
            Arc::new(Envelope::new(&outgoing, self.at.clone(), self.compressors.clone()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(shared: Option<Shared>) -> Vec<u8> {
        shared.unwrap().frames().data().to_vec()
    }

    fn address(shared: Option<Shared>) -> *const u8 {
        shared.unwrap().frames().data().as_ptr()
    }

    #[test]
    fn each_form_is_built_once_for_whom_it_is() {
        let message = Message::from("say \"hi\"");
        let forms = Forms::new(&message, Some("c"), None);
        assert_eq!(bytes(forms.for_peer(&Peer::alone(Speaks::Raw))), b"say \"hi\"");
        let envelope = br#"{"op":"message","channel":"c","data":"say \"hi\""}"#;
        assert_eq!(bytes(forms.for_peer(&Peer::alone(Speaks::Channels))), envelope);
        for speaks in [Speaks::Raw, Speaks::Channels, Speaks::Events] {
            assert_eq!(address(forms.for_peer(&Peer::alone(speaks))), address(forms.for_peer(&Peer::alone(speaks))));
        }
        let [channels, events] = [Speaks::Channels, Speaks::Events].map(|speaks| address(forms.for_peer(&Peer::alone(speaks))));
        assert_eq!(channels, events);
    }

    #[test]
    fn binary_has_no_envelope() {
        let message = Message::from(vec![1, 2]);
        let forms = Forms::new(&message, Some("c"), None);
        assert_eq!(bytes(forms.for_peer(&Peer::alone(Speaks::Channels))), [1, 2]);
        assert!(forms.for_peer(&Peer::alone(Speaks::Events)).is_none() && forms.envelope().is_none());
    }
}

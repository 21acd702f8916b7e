//! The head of a response, as HTTP.sys takes it: fields that it knows have places of their own, others are in a list, and those it knows
//! that come more than once are in lists beside.

use std::collections::BTreeMap;
use std::ptr;

use windows_sys::Win32::Networking::HttpServer::{
    HTTP_DATA_CHUNK, HTTP_KNOWN_HEADER, HTTP_MULTIPLE_KNOWN_HEADERS, HTTP_RESPONSE_INFO, HTTP_RESPONSE_V2, HTTP_UNKNOWN_HEADER,
    HTTP_VERSION, HttpResponseInfoTypeMultipleKnownHeaders,
};

use crate::names;
use crate::response::Head;

/// The structures of a head. They point to each other, and to the [`Head`] that they were made from.
pub(super) struct RawHead {
    response: Box<HTTP_RESPONSE_V2>,
    unknown: Vec<HTTP_UNKNOWN_HEADER>,
    several: Vec<Vec<HTTP_KNOWN_HEADER>>,
    lists: Vec<HTTP_MULTIPLE_KNOWN_HEADERS>,
    infos: Vec<HTTP_RESPONSE_INFO>,
}

impl RawHead {
    /// `None` if a field is longer than HTTP.sys takes. Wine's looks at no lists: there, all but the first are among the unknown.
    pub(super) fn new(head: &Head, opaque: bool, wine: bool) -> Option<Self> {
        let response = Box::<HTTP_RESPONSE_V2>::default();
        let mut raw = Self { response, unknown: Vec::new(), several: Vec::new(), lists: Vec::new(), infos: Vec::new() };
        let base = &mut raw.response.Base;
        base.Version = HTTP_VERSION { MajorVersion: 1, MinorVersion: 1 };
        base.StatusCode = head.status;
        base.ReasonLength = length(head.reason.as_bytes())?;
        base.pReason = head.reason.as_ptr();
        let mut known = BTreeMap::<usize, Vec<(&[u8], HTTP_KNOWN_HEADER)>>::new();
        for (name, value) in head.fields.iter() {
            // HTTP.sys has no `Connection: upgrade` in its own place.
            let number = names::response_field(name).filter(|_| !(opaque && name.eq_ignore_ascii_case(b"connection")));
            let value = HTTP_KNOWN_HEADER { RawValueLength: length(value)?, pRawValue: value.as_ptr() };
            match number {
                Some(number) => known.entry(number).or_default().push((name, value)),
                None => raw.unknown.push(unknown(name, value)?),
            }
        }
        for (number, values) in known {
            raw.place(number, &values, wine)?;
        }
        raw.connect()?;
        Some(raw)
    }

    fn place(&mut self, number: usize, values: &[(&[u8], HTTP_KNOWN_HEADER)], wine: bool) -> Option<()> {
        if values.len() > 1 && !wine {
            self.lists.push(HTTP_MULTIPLE_KNOWN_HEADERS {
                HeaderId: i32::try_from(number).ok()?,
                Flags: 0,
                KnownHeaderCount: u16::try_from(values.len()).ok()?,
                KnownHeaders: ptr::null_mut(),
            });
            self.several.push(values.iter().map(|(_, value)| *value).collect());
            return Some(());
        }
        let ((_, first), others) = values.split_first()?;
        *self.response.Base.Headers.KnownHeaders.get_mut(number)? = *first;
        for (name, value) in others {
            self.unknown.push(unknown(name, *value)?);
        }
        Some(())
    }

    /// Points from one structure to the other, when none of them moves any more.
    fn connect(&mut self) -> Option<()> {
        for (list, several) in self.lists.iter_mut().zip(&mut self.several) {
            list.KnownHeaders = several.as_mut_ptr();
        }
        let info = |list: &mut HTTP_MULTIPLE_KNOWN_HEADERS| HTTP_RESPONSE_INFO {
            Type: HttpResponseInfoTypeMultipleKnownHeaders,
            Length: size_of::<HTTP_MULTIPLE_KNOWN_HEADERS>() as u32,
            pInfo: ptr::from_mut(list).cast(),
        };
        self.infos = self.lists.iter_mut().map(info).collect();
        self.response.ResponseInfoCount = u16::try_from(self.infos.len()).ok()?;
        self.response.pResponseInfo = if self.infos.is_empty() { ptr::null_mut() } else { self.infos.as_mut_ptr() };
        self.response.Base.Headers.UnknownHeaderCount = u16::try_from(self.unknown.len()).ok()?;
        self.response.Base.Headers.pUnknownHeaders = self.unknown.as_mut_ptr();
        Some(())
    }

    /// Adds the body that goes with it.
    pub(super) fn set_chunks(&mut self, chunks: &mut [HTTP_DATA_CHUNK]) -> Option<()> {
        self.response.Base.EntityChunkCount = u16::try_from(chunks.len()).ok()?;
        self.response.Base.pEntityChunks = if chunks.is_empty() { ptr::null_mut() } else { chunks.as_mut_ptr() };
        Some(())
    }

    pub(super) fn as_ptr(&self) -> *const HTTP_RESPONSE_V2 {
        ptr::from_ref(&*self.response)
    }
}

fn unknown(name: &[u8], value: HTTP_KNOWN_HEADER) -> Option<HTTP_UNKNOWN_HEADER> {
    let HTTP_KNOWN_HEADER { RawValueLength, pRawValue } = value;
    Some(HTTP_UNKNOWN_HEADER { NameLength: length(name)?, RawValueLength, pName: name.as_ptr(), pRawValue })
}

/// A length, if HTTP.sys's structures have room for it.
pub(super) fn length(text: &[u8]) -> Option<u16> {
    u16::try_from(text.len()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&[u8], &[u8])], opaque: bool, wine: bool) -> Option<(u16, u16, [u16; 30], Vec<u16>)> {
        let head = Head { status: 200, reason: "OK", fields: fields.iter().copied().collect() };
        let raw = RawHead::new(&head, opaque, wine)?;
        let headers = &raw.response.Base.Headers;
        let counts = raw.lists.iter().map(|list| list.KnownHeaderCount).collect();
        Some((
            headers.UnknownHeaderCount,
            raw.response.ResponseInfoCount,
            headers.KnownHeaders.map(|known| known.RawValueLength),
            counts,
        ))
    }

    const COOKIES: [(&[u8], &[u8]); 4] =
        [(b"set-cookie", b"a=1"), (b"x-own", b"x"), (b"Set-Cookie", b"b=22"), (b"etag", b"\"t\"")];

    #[test]
    fn fields_that_come_more_than_once_are_in_a_list_and_for_wine_among_the_unknown() {
        let (unknown, infos, places, counts) = head(&COOKIES, false, false).unwrap();
        assert_eq!((unknown, infos, places[27], places[22], counts), (1, 1, 0, 3, vec![2]));
        let (unknown, infos, places, counts) = head(&COOKIES, false, true).unwrap();
        assert_eq!((unknown, infos, places[27], places[22], counts), (2, 0, 3, 3, vec![]));
    }

    #[test]
    fn an_upgrade_has_its_connection_field_among_the_unknown() {
        let fields: [(&[u8], &[u8]); 2] = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")];
        let (unknown, _, places, _) = head(&fields, true, false).unwrap();
        assert_eq!((unknown, places[1], places[7]), (1, 0, 9));
        assert_eq!(head(&fields, false, false).unwrap().2[1], 7);
    }

    #[test]
    fn a_field_that_is_longer_than_http_sys_takes_is_not_sent_short() {
        assert!(head(&[(b"x-long", &vec![b'x'; 65_535])], false, false).is_some());
        assert!(head(&[(b"x-long", &vec![b'x'; 65_536])], false, false).is_none());
    }
}

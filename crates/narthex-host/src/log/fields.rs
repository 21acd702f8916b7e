//! The fields of an access log's line, by their W3C names.

use super::spec::LogError;

/// A field. The order is that of a line, and HTTP.sys's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Date,
    Time,
    SiteName,
    ComputerName,
    ServerIp,
    Method,
    UriStem,
    UriQuery,
    ServerPort,
    UserName,
    ClientIp,
    Version,
    UserAgent,
    Cookie,
    Referer,
    Host,
    Status,
    Substatus,
    Win32Status,
    BytesSent,
    BytesReceived,
    TimeTaken,
    StreamId,
    RequestId,
}

use Field::*;

const NAMES: [(Field, &str); 24] = [
    (Date, "date"),
    (Time, "time"),
    (SiteName, "s-sitename"),
    (ComputerName, "s-computername"),
    (ServerIp, "s-ip"),
    (Method, "cs-method"),
    (UriStem, "cs-uri-stem"),
    (UriQuery, "cs-uri-query"),
    (ServerPort, "s-port"),
    (UserName, "cs-username"),
    (ClientIp, "c-ip"),
    (Version, "cs-version"),
    (UserAgent, "cs(User-Agent)"),
    (Cookie, "cs(Cookie)"),
    (Referer, "cs(Referer)"),
    (Host, "cs-host"),
    (Status, "sc-status"),
    (Substatus, "sc-substatus"),
    (Win32Status, "sc-win32-status"),
    (BytesSent, "sc-bytes"),
    (BytesReceived, "cs-bytes"),
    (TimeTaken, "time-taken"),
    (StreamId, "streamid"),
    (RequestId, "x-request-id"),
];

/// How much of a wrong name is shown, in characters.
const LONGEST_SHOWN: usize = 64;

/// The fields that a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldSet(u32);

impl FieldSet {
    /// What IIS has HTTP.sys log unless told otherwise.
    pub(super) const DEFAULT: Self = Self::of(&[
        Date,
        Time,
        ServerIp,
        Method,
        UriStem,
        UriQuery,
        ServerPort,
        UserName,
        ClientIp,
        UserAgent,
        Referer,
        Status,
        Substatus,
        Win32Status,
        TimeTaken,
    ]);

    const fn of(fields: &[Field]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < fields.len() {
            bits |= 1 << fields[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    /// The fields with these names, in any order and case. None of them is [`DEFAULT`](Self::DEFAULT).
    ///
    /// # Errors
    /// If a name is not a field's.
    pub(super) fn parse(names: &[String]) -> Result<Self, LogError> {
        if names.is_empty() {
            return Ok(Self::DEFAULT);
        }
        let mut set = Self(0);
        for name in names {
            let Some((field, _)) = NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)) else {
                return Err(LogError::UnknownField { name: name.chars().take(LONGEST_SHOWN).collect(), known: known() });
            };
            set.0 |= Self::of(&[*field]).0;
        }
        Ok(set)
    }

    pub(super) fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }

    /// The names, as `#Fields:` lists them.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(field, _)| self.has(*field)).map(|(_, name)| *name)
    }
}

fn known() -> String {
    NAMES.map(|(_, name)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_stands_at_its_own_place() {
        for (index, (field, _)) in NAMES.iter().enumerate() {
            assert_eq!(*field as usize, index);
        }
    }

    #[test]
    fn names_come_back_in_file_order_whatever_the_order_and_case() {
        let names = ["TIME-TAKEN", "cs(user-agent)", "date"].map(String::from);
        let set = FieldSet::parse(&names).unwrap();
        assert_eq!(set.names().collect::<Vec<_>>(), ["date", "cs(User-Agent)", "time-taken"]);
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_known_ones() {
        let error = FieldSet::parse(&["cs-uri\n".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"cs-uri\\n\"") && error.contains("cs-uri-stem"), "{error}");
    }
}

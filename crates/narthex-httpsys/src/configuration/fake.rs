//! A configuration in memory, for tests on any OS.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Configuration, Entry, Key, Kind};
use crate::Code;

/// A configuration in memory.
#[derive(Debug, Default)]
pub struct FakeConfiguration {
    entries: Mutex<Vec<Entry>>,
    denies: bool,
}

impl FakeConfiguration {
    /// One that a process without an administrator's rights sees: everything can be read, and nothing changed.
    #[must_use]
    pub fn denying() -> Self {
        Self { denies: true, ..Self::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowed(&self) -> Result<MutexGuard<'_, Vec<Entry>>, Code> {
        if self.denies { Err(Code::ACCESS_DENIED) } else { Ok(self.entries()) }
    }
}

impl Configuration for FakeConfiguration {
    fn add(&self, entry: &Entry) -> Result<(), Code> {
        let mut entries = self.allowed()?;
        let key = entry.key();
        match entries.iter_mut().find(|other| other.key() == key) {
            Some(other) if matches!(key.kind(), Kind::Timeout | Kind::CacheParam) => *other = entry.clone(),
            Some(_) => return Err(Code::ALREADY_EXISTS),
            None => entries.push(entry.clone()),
        }
        Ok(())
    }

    fn update(&self, entry: &Entry) -> Result<(), Code> {
        let mut entries = self.allowed()?;
        let key = entry.key();
        let found = entries.iter_mut().find(|other| other.key() == key).ok_or(Code::FILE_NOT_FOUND)?;
        *found = entry.clone();
        Ok(())
    }

    fn delete(&self, key: &Key) -> Result<(), Code> {
        let mut entries = self.allowed()?;
        let before = entries.len();
        entries.retain(|entry| entry.key() != *key);
        if entries.len() == before { Err(Code::FILE_NOT_FOUND) } else { Ok(()) }
    }

    fn list(&self, kind: Kind) -> Result<Vec<Entry>, Code> {
        Ok(self.entries().iter().filter(|entry| entry.key().kind() == kind).cloned().collect())
    }

    fn sid(&self, account: &str) -> Result<String, Code> {
        match account {
            "Everyone" => Ok("S-1-1-0".to_owned()),
            "BUILTIN\\Users" => Ok("S-1-5-32-545".to_owned()),
            _ => Err(Code::NONE_MAPPED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Timer;
    use super::*;

    #[test]
    fn what_was_added_is_there_until_it_is_deleted() {
        let fake = FakeConfiguration::default();
        let entry = Entry::UrlAcl { url: "http://+:80/".to_owned(), sddl: "D:(A;;GX;;;WD)".to_owned() };
        assert_eq!(fake.add(&entry), Ok(()));
        assert_eq!(fake.add(&entry), Err(Code::ALREADY_EXISTS));
        assert_eq!(fake.list(Kind::UrlAcl), Ok(vec![entry.clone()]));
        assert_eq!(fake.list(Kind::IpListen), Ok(Vec::new()));
        assert_eq!(fake.delete(&entry.key()), Ok(()));
        assert_eq!(fake.delete(&entry.key()), Err(Code::FILE_NOT_FOUND));
    }

    #[test]
    fn a_timer_is_replaced_and_nothing_is_changed_without_rights() {
        let (fake, denying) = (FakeConfiguration::default(), FakeConfiguration::denying());
        for seconds in [30, 60] {
            assert_eq!(fake.add(&Entry::Timeout(Timer::HeaderWait, seconds)), Ok(()));
        }
        assert_eq!(fake.list(Kind::Timeout), Ok(vec![Entry::Timeout(Timer::HeaderWait, 60)]));
        assert_eq!(denying.add(&Entry::Timeout(Timer::HeaderWait, 1)), Err(Code::ACCESS_DENIED));
        assert_eq!(denying.list(Kind::Timeout), Ok(Vec::new()));
    }
}

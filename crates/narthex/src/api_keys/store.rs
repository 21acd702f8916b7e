//! The keys on disk: a redb database. What was acknowledged is there, whenever the process or the machine dies: every change is one
//! transaction, its entry of the audit log included, and is on disk before it counts.

use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::record::{ApiKey, AuditEntry};

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// So many entries of the audit log are kept.
const AUDITED: u64 = 100_000;

pub(super) struct Store {
    /// `None`: it could not be opened again after it had failed.
    database: RwLock<Option<Database>>,
    open: Opening,
}

type Opening = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// A key's hash, and what is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) hash: [u8; 32],
    pub(super) key: ApiKey,
    /// It is revoked here and may not be so on disk.
    #[serde(skip)]
    pub(super) is_unsaved: bool,
}

/// What one transaction does.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) put: Vec<Entry>,
    pub(super) removed: Vec<String>,
    pub(super) audit: Vec<AuditEntry>,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        Self::open_by(Box::new(move || Database::create(&path)))
    }

    pub(super) fn open_by(open: Opening) -> Result<Self, StoreError> {
        let database = open().map_err(redb::Error::from)?;
        let transaction = database.begin_write().map_err(redb::Error::from)?;
        transaction.open_table(KEYS).map_err(redb::Error::from)?;
        transaction.open_table(AUDIT).map_err(redb::Error::from)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(Self { database: RwLock::new(Some(database)), open })
    }

    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked until the old one is closed.
        *database = None;
        *database = Some((self.open)().map_err(redb::Error::from)?);
        Ok(())
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let database = self.database();
        let transaction = opened(&database)?.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(KEYS).map_err(redb::Error::from)?;
        let mut entries = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (_, value) = row.map_err(redb::Error::from)?;
            entries.push(serde_json::from_slice(value.value())?);
        }
        Ok(entries)
    }

    /// All of it, or nothing. One change at a time.
    ///
    /// A database that has failed once, as on a disk that is full, refuses all else until it is opened again. A commit that has
    /// failed may be there all the same; to make the change again does no more than to enter it twice in the audit log.
    pub(super) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        match self.write(changes) {
            Err(StoreError::Database(error)) if has_latched(&error) => {
                tracing::warn!("the file of API keys is opened again, since it has failed: {error}");
                self.reopen()?;
                self.write(changes)
            }
            done => done,
        }
    }

    fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        let database = self.database();
        // A commit is durable by default: it returns after fsync.
        let transaction = opened(&database)?.begin_write().map_err(redb::Error::from)?;
        {
            let mut keys = transaction.open_table(KEYS).map_err(redb::Error::from)?;
            for entry in &changes.put {
                let text = serde_json::to_vec(entry)?;
                keys.insert(entry.key.id.as_str(), text.as_slice()).map_err(redb::Error::from)?;
            }
            for id in &changes.removed {
                keys.remove(id.as_str()).map_err(redb::Error::from)?;
            }
        }
        audit(&transaction, &changes.audit)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    /// The latest entries, the last one first.
    pub(super) fn audit_log(&self, of: Option<&str>, most: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let database = self.database();
        let transaction = opened(&database)?.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(AUDIT).map_err(redb::Error::from)?;
        let mut found = Vec::new();
        for row in table.iter().map_err(redb::Error::from)?.rev() {
            let (_, value) = row.map_err(redb::Error::from)?;
            let entry: AuditEntry = serde_json::from_slice(value.value())?;
            if found.len() == most {
                break;
            }
            if of.is_none_or(|id| entry.key == id) {
                found.push(entry);
            }
        }
        Ok(found)
    }
}

fn opened(database: &Option<Database>) -> Result<&Database, StoreError> {
    database.as_ref().ok_or_else(|| redb::Error::DatabaseClosed.into())
}

fn has_latched(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed)
}

fn audit(transaction: &WriteTransaction, entries: &[AuditEntry]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(AUDIT).map_err(redb::Error::from)?;
    let last = table.last().map_err(redb::Error::from)?.map(|(number, _)| number.value());
    let first = last.map_or(0, |last| last + 1);
    for (number, entry) in (first..).zip(entries) {
        let text = serde_json::to_vec(entry)?;
        table.insert(number, text.as_slice()).map_err(redb::Error::from)?;
    }
    while table.len().map_err(redb::Error::from)? > AUDITED {
        table.pop_first().map_err(redb::Error::from)?;
    }
    Ok(())
}

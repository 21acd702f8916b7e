//! The keys on disk: a redb database. What was acknowledged is there, whenever the process or the machine dies: every change is one
//! transaction, its entry of the audit log included, and is on disk before it counts.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::record::{ApiKey, AuditEntry};

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// So many entries of the audit log are kept.
const AUDITED: u64 = 100_000;

pub(super) struct Store(Database);

/// A key's hash, and what is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) hash: [u8; 32],
    pub(super) key: ApiKey,
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
        let database = Database::create(path).map_err(redb::Error::from)?;
        let transaction = database.begin_write().map_err(redb::Error::from)?;
        transaction.open_table(KEYS).map_err(redb::Error::from)?;
        transaction.open_table(AUDIT).map_err(redb::Error::from)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(Self(database))
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let transaction = self.0.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(KEYS).map_err(redb::Error::from)?;
        let mut entries = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (_, value) = row.map_err(redb::Error::from)?;
            entries.push(serde_json::from_slice(value.value())?);
        }
        Ok(entries)
    }

    /// All of it, or nothing.
    pub(super) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        // A commit is durable by default: it returns after fsync.
        let transaction = self.0.begin_write().map_err(redb::Error::from)?;
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
        let transaction = self.0.begin_read().map_err(redb::Error::from)?;
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

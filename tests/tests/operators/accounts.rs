//! Users for tests. Only root can become another one.

use crate::operators::machine::Account;

/// Two users and a group that no machine need have. Far from those of containers' users.
pub(crate) const ANNA: Account = Account { uid: 4_200_001, gid: 4_200_001 };
pub(crate) const BERT: Account = Account { uid: 4_200_002, gid: 4_200_002 };
pub(crate) const DEVELOPERS: u32 = 4_200_009;

/// Whether other users' programs can be started here. Says so if not: then the caller checks what one user can see.
pub(crate) fn can_be_others(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("{test}: not root, so there is one user only; checked is what that one can see");
    }
    root
}

//! The account at a CA: made once, kept, and made again if the CA has forgotten it.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use instant_acme::{Account, ExternalAccountKey, NewAccount};

use super::client::Client;
use super::store::{SavedAccount, Store};
use super::trouble::Trouble;
use crate::config::AcmeSettings;

/// The account, made if there is none. The caller sees to it that only one asks at a time: two would make two.
pub(super) async fn open(settings: &AcmeSettings, store: &Store, client: &Client) -> Result<Account, Trouble> {
    let file = store.account_file(&settings.directory);
    let saved = store.account(&settings.directory).map_err(|error| {
        let file = file.display();
        Trouble::new(format!("cannot read the account in {file}: {error}; move the file away, and the host makes a new account"))
    })?;
    let builder = Account::builder_with_http(Box::new(client.clone()));
    match saved {
        Some(SavedAccount { contact, credentials }) => {
            let account = builder.from_credentials(credentials).await;
            let account = account.map_err(|error| Trouble::of("opening the account", &error, client))?;
            if contact != settings.contact {
                tell_contact(&account, settings, store, client).await?;
            }
            Ok(account)
        }
        None => {
            let contact = urls(settings);
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            let new =
                NewAccount { contact: &contact, terms_of_service_agreed: settings.terms_agreed, only_return_existing: false };
            let external = external(settings)?;
            let made = builder.create(&new, settings.directory.clone(), external.as_ref()).await;
            let (account, credentials) = made.map_err(|error| Trouble::of("making an account", &error, client))?;
            let saved = SavedAccount { contact: settings.contact.clone(), credentials };
            store.keep_account(&settings.directory, &saved).map_err(|error| not_kept(&error, &file.display()))?;
            tracing::info!("the host has an account at {} now: {}", settings.directory, account.id());
            Ok(account)
        }
    }
}

async fn tell_contact(account: &Account, settings: &AcmeSettings, store: &Store, client: &Client) -> Result<(), Trouble> {
    let contact = urls(settings);
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let told = account.update_contacts(&contact).await;
    told.map_err(|error| Trouble::of("telling the CA the contact", &error, client))?;
    let unreadable = |error| not_kept(&error, &store.account_file(&settings.directory).display());
    if let Some(saved) = store.account(&settings.directory).map_err(unreadable)? {
        let saved = SavedAccount { contact: settings.contact.clone(), ..saved };
        store.keep_account(&settings.directory, &saved).map_err(unreadable)?;
    }
    Ok(())
}

fn urls(settings: &AcmeSettings) -> Vec<String> {
    settings.contact.iter().map(|address| format!("mailto:{address}")).collect()
}

pub(super) fn not_kept(error: &std::io::Error, path: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(format!("cannot write {path}: {error}; let the host's user write there, and see that the disk has room"))
}

fn external(settings: &AcmeSettings) -> Result<Option<ExternalAccountKey>, Trouble> {
    let (id, file) = match (&settings.eab_key_id, &settings.eab_key_file) {
        (None, None) => return Ok(None),
        (Some(id), Some(file)) => (id, file),
        _ => return Err(Trouble::new("acme_eab_key_id and acme_eab_key_file go together: set both, or none")),
    };
    let unusable =
        |what: String| Trouble::new(format!("the file of acme_eab_key_file, {}, cannot be used: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    let engine = if text.trim().ends_with('=') { &URL_SAFE } else { &URL_SAFE_NO_PAD };
    let key = engine.decode(text.trim()).map_err(|error| unusable(format!("it is not base64url ({error})")))?;
    Ok(Some(ExternalAccountKey::new(id.clone(), &key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_account_has_an_identifier_and_a_key_in_base64url() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("eab.key");
        let with = |id: Option<&str>, text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let eab_key_file = text.map(|_| file.clone());
            let settings = AcmeSettings { eab_key_id: id.map(str::to_owned), eab_key_file, ..AcmeSettings::default() };
            external(&settings).map(|key| key.is_some()).map_err(|trouble| trouble.message)
        };
        assert_eq!(with(None, None), Ok(false));
        assert_eq!(with(Some("kid"), Some("zWND-_M6eQ\n")), Ok(true));
        assert_eq!(with(Some("kid"), Some("eg==")), Ok(true));
        assert!(with(Some("kid"), None).unwrap_err().contains("go together"));
        assert!(with(Some("kid"), Some("not base64!")).unwrap_err().contains("base64url"));
    }
}

//! netsh's spelling: `key=value` after a verb becomes `--key=value` before clap sees it, so that there is one definition of
//! every parameter.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::refused::{KEYS, refuse};

/// Every verb and parameter, with netsh's spelling of them in the help.
pub(super) fn definition<A: CommandFactory>() -> Command {
    let mut definition = A::command();
    for verb in ["show", "add", "update", "delete"] {
        definition = definition.mut_subcommand(verb, |verb| {
            let objects: Vec<_> = verb.get_subcommands().map(|object| object.get_name().to_owned()).collect();
            objects.iter().fold(verb, |verb, object| verb.mut_subcommand(object, with_netsh_spelling_in_help))
        });
    }
    definition
}

/// What the words of a command line mean.
///
/// # Errors
/// A [`clap::Error`] if they cannot be understood, and also where help or the version is asked for.
pub(super) fn understood<A: CommandFactory + FromArgMatches>(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<A> {
    let mut definition = definition::<A>();
    definition.build();
    let words = with_netsh_spelling_replaced(words, &definition)?;
    let matches = definition.try_get_matches_from_mut(words)?;
    Ok(A::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))?)
}

/// The words with every `key=value` replaced that `definition` has a parameter for.
///
/// # Errors
/// A [`clap::Error`] that names the keys, if a key is none of them. Another error for verbs of netsh that are settings here.
fn with_netsh_spelling_replaced(
    words: impl IntoIterator<Item = OsString>,
    definition: &Command,
) -> anyhow::Result<Vec<OsString>> {
    let words: Vec<OsString> = words.into_iter().collect();
    refuse(&words)?;
    let mut verb = definition;
    let mut is_value = false;
    let mut replaced = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    replaced.extend(words.next());
    while let Some(word) = words.next() {
        // Keys and verbs are plain ASCII; what is not even text is a path.
        let Some(text) = word.to_str() else {
            is_value = false;
            replaced.push(word);
            continue;
        };
        if text == "--" && !is_value {
            replaced.push(word);
            replaced.extend(words);
            break;
        }
        if let Some(inner) = verb.find_subcommand(text) {
            verb = inner;
            replaced.push(word);
        } else if std::mem::take(&mut is_value) {
            replaced.push(word);
        } else if text.starts_with('-') {
            refuse_key(verb, text.trim_start_matches('-').split('=').next().unwrap_or_default())?;
            is_value = takes_next_word(verb, text);
            replaced.push(word);
        } else {
            replaced.push(option(verb, text)?.or_else(|| flag(verb, text)).unwrap_or(word));
        }
    }
    Ok(replaced)
}

/// Tells below a verb's help how netsh would have its parameters typed.
fn with_netsh_spelling_in_help(verb: Command) -> Command {
    let spelled = |argument: &Arg| {
        let name = argument.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
        format!("{}={name}", key(argument))
    };
    let parameters =
        verb.get_arguments().filter(|argument| argument.get_action().takes_values() && argument.get_id() != "socket");
    let line = parameters.map(spelled).collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return verb;
    }
    verb.after_help(format!("In netsh's spelling: {line}"))
}

/// Whether `word` is an option whose value is the next word.
fn takes_next_word(verb: &Command, word: &str) -> bool {
    let Some(name) = word.strip_prefix("--") else { return false };
    verb.get_arguments().any(|argument| argument.get_long() == Some(name) && argument.get_action().takes_values())
}

/// `key=value` as an option of the verb, or as the value of its positional argument. `None`: the word is something else.
fn option(verb: &Command, word: &str) -> Result<Option<OsString>, clap::Error> {
    let Some((key, value)) = word.split_once('=') else { return Ok(None) };
    if let Some(name) = keys(verb).find(|name| name.eq_ignore_ascii_case(key)) {
        let is_positional = verb.get_positionals().any(|argument| argument.get_id() == name);
        return Ok(Some(if is_positional { value.to_owned() } else { format!("--{name}={value}") }.into()));
    }
    // A positional argument may have `=` in it, as a URL's query does; but that comes after more than letters.
    if verb.get_positionals().next().is_some() && !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(None);
    }
    if verb.has_subcommands() {
        return Ok(None);
    }
    refuse_key(verb, key)?;
    Err(unknown_key(verb, key))
}

/// A switch that is typed as a word of its own, such as `self-signed`.
fn flag(verb: &Command, word: &str) -> Option<OsString> {
    if verb.get_name() != "sslcert" {
        return None;
    }
    let is = |argument: &&Arg| !argument.get_action().takes_values() && argument.get_long() == Some(word);
    verb.get_arguments().find(is).map(|_| format!("--{word}").into())
}

/// Whether it is one of netsh's keys for which there is something else here.
fn refuse_key(verb: &Command, key: &str) -> Result<(), clap::Error> {
    let refused = KEYS.iter().find(|(name, _)| verb.get_name() == "sslcert" && name.eq_ignore_ascii_case(key));
    let Some((name, instead)) = refused else { return Ok(()) };
    let message = format!("`sslcert` has no {name}: {instead}");
    Err(verb.clone().error(ErrorKind::UnknownArgument, message))
}

fn unknown_key(verb: &Command, key: &str) -> clap::Error {
    let keys: Vec<_> = keys(verb).map(|key| format!("{key}=")).collect();
    let known = match keys.as_slice() {
        [] => "it has no keys".to_owned(),
        keys => format!("its keys are {}", keys.join(", ")),
    };
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
    let message = format!("`{name}` has no key {key:?}: {known}");
    verb.clone().error(ErrorKind::UnknownArgument, message)
}

/// The names of the parameters that have values.
fn keys(verb: &Command) -> impl Iterator<Item = &str> {
    verb.get_arguments().filter(|argument| argument.get_action().takes_values()).map(key)
}

fn key(argument: &Arg) -> &str {
    argument.get_long().unwrap_or_else(|| argument.get_id().as_str())
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::tests::parsed;

    #[test]
    fn a_wrong_key_is_told_with_those_that_exist() {
        let text = parsed("narthex add urlacl ulr=http://+:80/ user=web").unwrap_err().to_string();
        let keys = "url=, user=, group=, everyone=, listen=, delegate=, sddl=, socket=";
        assert!(text.contains("`narthex add urlacl` has no key \"ulr\"") && text.contains(keys), "{text}");
        assert!(text.contains("Usage: narthex add urlacl"), "{text}");
    }

    #[test]
    fn help_has_both_spellings() {
        let text = parsed("narthex add timeout --help").unwrap_err().to_string();
        assert!(text.contains("--timeouttype <TYPE>") && text.contains("spelling: timeouttype=TYPE value=SECONDS\n"), "{text}");
        assert!(!parsed("narthex show iplisten --help").unwrap_err().to_string().contains("netsh"));
    }

    #[test]
    fn flags_have_no_netsh_spelling() {
        assert!(parsed("narthex show iplisten json=yes").unwrap_err().to_string().contains("no key \"json\""));
    }

    #[test]
    fn what_netsh_updates_and_this_does_not_is_told_with_the_way_to_change_it() {
        for (line, said) in [
            ("narthex update sslpropertyex ipport=0.0.0.0:443 propertyid=0", "settingtype=http2_initial_window"),
            ("narthex show sslpropertyex", "settingtype=http2_initial_window"),
            ("narthex update urlacl url=http://+:80/", "delete it and add it again"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.downcast_ref::<clap::Error>().is_none(), "{line}");
            assert!(error.to_string().contains(said), "{line}: {error}");
        }
        assert!(parsed("narthex update --help").unwrap_err().to_string().contains("sslcert"));
    }

    #[test]
    fn the_word_after_an_option_is_its_value_whatever_it_looks_like() {
        let error = parsed("narthex show urlacl --url user=web").map(|_| ());
        assert!(error.is_ok(), "{error:?}");
        assert!(parsed("narthex show urlacl -- url=x").is_err());
    }

    #[test]
    fn a_path_need_not_be_text() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let path = OsString::from_vec(b"/s\xff".to_vec());
        let words = [OsString::from("narthex"), "dump".into(), "--socket".into(), path.clone()];
        let socket = super::super::SocketArgument { socket: Some(path.into()) };
        assert_eq!(super::super::parse(words).unwrap(), super::super::Command::Dump(socket));
    }
}

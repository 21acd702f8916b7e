//! netsh's verbs: each makes a question of what was typed, asks the host, and prints its answer.

mod cache;
mod cacheparam;
mod explain;
mod iplisten;
mod servicestate;
mod setting;
mod sslcert;
mod timeout;
mod urlacl;

use narthex_host::admin::{AdminError, Answer, Question};
use serde::Serialize;

use crate::admin::ask;
use crate::args::{Add, Asking, Delete, Flush, RestartArguments, Show, SocketArgument, Update};
use crate::output::{print, print_exactly, print_json};

pub(crate) use explain::run as explain;

/// `narthex show`.
pub(crate) fn show(what: Show) -> anyhow::Result<()> {
    match what {
        Show::Servicestate(typed) => servicestate::show(&typed),
        Show::Urlacl(typed) => urlacl::show(typed),
        Show::Iplisten(typed) => iplisten::show(&typed),
        Show::Timeout(typed) => timeout::show(&typed),
        Show::Cacheparam(typed) => cacheparam::show(&typed),
        Show::Setting(typed) => setting::show(typed),
        Show::Sslcert(typed) => sslcert::show(typed),
        Show::Cachestate(typed) => cache::show(typed),
    }
}

/// `narthex add`.
pub(crate) fn add(what: Add) -> anyhow::Result<()> {
    match what {
        Add::Urlacl(typed) => urlacl::add(typed),
        Add::Iplisten(typed) => command(&typed.asking, &Question::AddIplisten { address: typed.ipaddress }),
        Add::Timeout(typed) => {
            command(&typed.asking, &Question::AddTimeout { timer: typed.timeouttype.into(), seconds: typed.value })
        }
        Add::Cacheparam(typed) => {
            command(&typed.asking, &Question::AddCacheparam { param: typed.kind.into(), value: typed.value })
        }
        Add::Setting(typed) => command(&typed.asking, &Question::AddSetting { name: typed.settingtype, value: typed.value }),
        Add::Sslcert(typed) => sslcert::add(typed),
    }
}

/// `narthex update`.
pub(crate) fn update(what: Update) -> anyhow::Result<()> {
    match what {
        Update::Sslcert(typed) => sslcert::update(typed),
        Update::Queue(typed) => command(&typed.asking, &Question::UpdateQueue { id: typed.id, state: typed.state.into() }),
    }
}

/// `narthex delete`.
pub(crate) fn delete(what: Delete) -> anyhow::Result<()> {
    match what {
        Delete::Urlacl(typed) => command(&typed.asking, &Question::DeleteUrlacl { url: typed.url }),
        Delete::Iplisten(typed) => command(&typed.asking, &Question::DeleteIplisten { address: typed.ipaddress }),
        Delete::Timeout(typed) => command(&typed.asking, &Question::DeleteTimeout { timer: typed.timeouttype.into() }),
        Delete::Cacheparam(typed) => command(&typed.asking, &Question::DeleteCacheparam { param: typed.kind.into() }),
        Delete::Setting(typed) => command(&typed.asking, &Question::DeleteSetting { name: typed.settingtype }),
        Delete::Sslcert(typed) => sslcert::delete(typed),
        Delete::Cache(typed) => {
            command(&typed.asking, &Question::DeleteCache { url: typed.url, recursive: typed.recursive.is_yes() })
        }
    }
}

/// `narthex flush`.
pub(crate) fn flush(what: &Flush) -> anyhow::Result<()> {
    match what {
        Flush::Logbuffer(asking) => command(asking, &Question::FlushLogbuffer),
    }
}

/// `narthex reload`.
pub(crate) fn reload(asking: &Asking) -> anyhow::Result<()> {
    command(asking, &Question::Reload)
}

/// `narthex restart`.
pub(crate) fn restart(typed: RestartArguments) -> anyhow::Result<()> {
    command(&typed.asking, &Question::RestartQueue { name: typed.queue })
}

/// `narthex dump`: the host writes the script, quoted for `sh`.
pub(crate) fn dump(socket: &SocketArgument) -> anyhow::Result<()> {
    match ask(socket, &Question::Dump)? {
        Answer::Script(script) => print_exactly(script.trim_end_matches('\n')),
        _ => return Err(AdminError::Unexpected.into()),
    }
    Ok(())
}

/// Has something done and prints what the host says of it.
fn command(asking: &Asking, question: &Question) -> anyhow::Result<()> {
    let Answer::Done(said) = ask(&asking.socket, question)? else { return Err(AdminError::Unexpected.into()) };
    if asking.json {
        return print_json(&serde_json::json!({ "done": said }));
    }
    print(said.trim_end());
    Ok(())
}

/// Prints an answer, as JSON or as a table.
fn answer(asking: &Asking, value: &impl Serialize, table: impl FnOnce() -> String) -> anyhow::Result<()> {
    if asking.json {
        return print_json(value);
    }
    print(&table());
    Ok(())
}

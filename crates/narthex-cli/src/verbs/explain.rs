//! `narthex explain`: where a URL goes, and why.

use narthex_host::admin::{AdminError, Answer, Question};

use super::answer;
use crate::accounts;
use crate::admin::ask;
use crate::args::ExplainArguments;

/// Asks the host and prints what it says.
pub(crate) fn run(typed: ExplainArguments) -> anyhow::Result<()> {
    let user = typed.user.as_deref().map(accounts::user).transpose()?;
    let question = Question::Explain { url: typed.url, local: typed.local, user };
    let Answer::Explanation { text, detail } = ask(&typed.asking.socket, &question)? else {
        return Err(AdminError::Unexpected.into());
    };
    answer(&typed.asking, &detail, || text.trim_end().to_owned())
}

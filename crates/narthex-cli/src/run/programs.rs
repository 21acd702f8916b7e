//! What programs there are: from the command line or a file, complete and checked before anything is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use narthex::{PrefixSpec, UrlPrefix};

use crate::args::{self, Listen, ProgramArguments, RunArguments, Variable};

/// All programs of a `narthex run`, by name.
pub(super) type Programs = BTreeMap<String, Program>;

/// A program, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// In their complete form, where they have one: a port of 0 has not.
    pub(super) prefixes: Vec<String>,
    pub(super) instances: u16,
    /// What its processes are started with.
    pub(super) launch: Launch,
    pub(super) gate: Gate,
    pub(super) drain: Duration,
    pub(super) watch: Vec<PathBuf>,
    pub(super) give_up_after: Option<u32>,
}

/// What processes are started with, and kept by. Another one means other processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) command: Vec<String>,
    pub(super) env: Vec<Variable>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) listen: Listen,
    pub(super) health: Option<String>,
    pub(super) health_every: Duration,
    pub(super) ready_within: Duration,
    pub(super) stop_within: Duration,
    pub(super) timeout: Duration,
}

/// How requests get to the program. Another one means another registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) keep_prefix: bool,
    pub(super) queue: Option<String>,
    pub(super) on_demand: bool,
    pub(super) idle: Option<Duration>,
    pub(super) wait: Duration,
    pub(super) max_waiting: u32,
    /// `None`: the host's. An inner `None`: any.
    pub(super) max_body: Option<Option<u64>>,
}

impl Program {
    /// Makes a program of what was typed, or written in a file that is in `directory`.
    fn resolve(typed: ProgramArguments, directory: Option<&Path>) -> anyhow::Result<Self> {
        ensure!(!typed.prefix.is_empty(), "it has no prefix: write prefix = \"http://+:80/blog/\"");
        let prefixes = typed.prefix.iter().map(|text| complete(text)).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            typed.command.first().is_some_and(|program| !program.is_empty()),
            "its command is empty: write command = [\"node\", \"server.js\"]"
        );
        if let Some(health) = &typed.health {
            args::path(health).map_err(|problem| anyhow::anyhow!("health = {health:?}: {problem}"))?;
        }
        ensure!(typed.health.is_some() || typed.health_every.is_none(), "health_every without health: say which path to ask");
        ensure!(typed.on_demand || typed.idle.is_none(), "idle without on_demand: nothing would start the program again");
        let instances = typed.instances.unwrap_or(1);
        ensure!((1..=256).contains(&instances), "instances = {instances}: there may be 1 to 256");
        let max_waiting = typed.max_waiting.unwrap_or(1000);
        ensure!((1..=65_535).contains(&max_waiting), "max_waiting = {max_waiting}: it may be 1 to 65535");
        ensure!(typed.give_up_after != Some(0), "give_up_after = 0: leave it out to never give up");
        let placed = |path: PathBuf| directory.map_or_else(|| path.clone(), |directory| directory.join(&path));
        let time = |typed: Option<args::Span>, default| typed.map_or(Duration::from_secs(default), |span| span.0);
        Ok(Self {
            prefixes,
            instances,
            launch: Launch {
                command: typed.command,
                env: typed.env,
                cwd: typed.cwd.map(placed).or_else(|| directory.map(Path::to_owned)),
                listen: typed.listen.unwrap_or_default(),
                health: typed.health,
                health_every: time(typed.health_every, 10).max(Duration::from_millis(10)),
                ready_within: time(typed.ready_within, 60),
                stop_within: time(typed.stop_within, 10),
                timeout: time(typed.timeout, 60),
            },
            gate: Gate {
                keep_prefix: typed.keep_prefix,
                queue: typed.queue,
                on_demand: typed.on_demand,
                idle: typed.idle.map(|idle| idle.0),
                wait: time(typed.wait, 30),
                max_waiting,
                max_body: typed.max_body.map(|bytes| (bytes > 0).then_some(bytes)),
            },
            drain: time(typed.drain, 30),
            watch: typed.watch.into_iter().map(placed).collect(),
            give_up_after: typed.give_up_after,
        })
    }
}

impl Program {
    /// Where links begin that the program writes: the first prefix's path without its last slash.
    pub(super) fn base_path(&self) -> String {
        let spec = self.prefixes.first().and_then(|prefix| prefix.parse::<PrefixSpec>().ok());
        spec.map(|spec| spec.path().trim_end_matches('/').to_owned()).unwrap_or_default()
    }
}

/// A prefix in its complete form, by which it is known again.
fn complete(text: &str) -> anyhow::Result<String> {
    let spec: PrefixSpec = text.parse().with_context(|| format!("prefix {text:?}"))?;
    Ok(spec.resolve().as_ref().map_or_else(|| spec.to_string(), UrlPrefix::to_string))
}

/// The program of a command line without a file.
pub(super) fn typed(arguments: RunArguments) -> anyhow::Result<(String, Program)> {
    let Some(program) = arguments.program else { bail!("there is no program: write its command after `--`") };
    let name = arguments.name.unwrap_or_else(|| name_of(&program.command));
    Ok((name, Program::resolve(program, None)?))
}

/// What a command is called if nobody says: `server` for `node /srv/blog/server.js`, `true` for `/bin/true`.
fn name_of(command: &[String]) -> String {
    const INTERPRETERS: [&str; 10] = ["node", "python", "python3", "ruby", "perl", "php", "deno", "bun", "sh", "bash"];
    let stem = |word: &String| Path::new(word).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let program = command.first().map(stem).unwrap_or_default();
    let script = command.iter().skip(1).find(|word| !word.starts_with('-') && word.contains('.')).map(stem);
    let chosen = script.filter(|_| INTERPRETERS.contains(&program.as_str())).unwrap_or(program);
    args::name(&chosen).unwrap_or_else(|_| "app".to_owned())
}

/// The programs of a file.
pub(super) fn read(file: &Path) -> anyhow::Result<Programs> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let path = std::path::absolute(file).with_context(|| format!("cannot find {}", file.display()))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    parse(&text, directory).with_context(|| file.display().to_string())
}

fn parse(text: &str, directory: &Path) -> anyhow::Result<Programs> {
    let tables: BTreeMap<String, ProgramArguments> = toml_edit::de::from_str(text)?;
    ensure!(
        !tables.is_empty(),
        "there is no program in it: write a table for each, as in\n[blog]\nprefix = \"http://+:80/blog/\"\ncommand = [\"node\", \"server.js\"]"
    );
    let mut programs = Programs::new();
    for (name, typed) in tables {
        args::name(&name).map_err(|problem| anyhow::anyhow!("[{name}]: {problem}"))?;
        let program = Program::resolve(typed, Some(directory)).with_context(|| format!("[{name}]"))?;
        for prefix in &program.prefixes {
            if let Some((other, _)) = programs.iter().find(|(_, other)| other.prefixes.contains(prefix)) {
                bail!("[{name}] and [{other}] both have the prefix {prefix}: only one program can");
            }
        }
        programs.insert(name, program);
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Program {
        parse(text, Path::new("/etc/apps")).unwrap().remove("blog").unwrap()
    }

    fn problem(text: &str) -> String {
        format!("{:#}", parse(text, Path::new("/etc/apps")).expect_err(text))
    }

    #[test]
    fn a_table_has_a_prefix_and_a_command_and_all_else_has_defaults() {
        let blog = parsed("[blog]\nprefix = \"http://+/blog\"\ncommand = [\"node\", \"server.js\"]");
        assert_eq!(blog.prefixes, ["http://+:80/blog/"]);
        assert_eq!(blog.base_path(), "/blog");
        assert_eq!(blog.launch.cwd.as_deref(), Some(Path::new("/etc/apps")));
        assert_eq!((blog.instances, blog.launch.listen, blog.gate.idle), (1, Listen::Port, None));
        assert_eq!((blog.gate.wait, blog.gate.max_waiting, blog.gate.keep_prefix), (Duration::from_secs(30), 1000, false));
    }

    #[test]
    fn paths_are_the_files_own_and_texts_may_be_lists() {
        let blog = parsed(
            "[blog]\nprefix = [\"http://+:80/a/\", \"http://+:81/b/\"]\ncommand = [\"x\"]\ncwd = \"blog\"\nwatch = \"restart.txt\"\n\
             env = { A = \"1\" }\nlisten = \"fd\"\nmax_body = 0\non_demand = true\nidle = \"5m\"",
        );
        assert_eq!(blog.prefixes.len(), 2);
        assert_eq!(blog.launch.cwd.as_deref(), Some(Path::new("/etc/apps/blog")));
        assert_eq!(blog.watch, [Path::new("/etc/apps/restart.txt")]);
        assert_eq!(blog.launch.env, [Variable { name: "A".into(), value: "1".into() }]);
        assert_eq!((blog.launch.listen, blog.gate.max_body), (Listen::Fd, Some(None)));
        assert_eq!(blog.gate.idle, Some(Duration::from_secs(300)));
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_what_to_write() {
        let blog = |lines: &str| format!("[blog]\nprefix = \"http://+:80/blog/\"\ncommand = [\"x\"]\n{lines}");
        for (text, parts) in [
            (String::new(), vec!["no program", "[blog]"]),
            (blog("comand = 1"), vec!["line 4", "comand", "unknown field"]),
            (blog("wait = \"5\""), vec!["line 4", "30s"]),
            (blog("instances = 0"), vec!["[blog]", "1 to 256"]),
            (blog("env = { \"A=B\" = \"1\" }"), vec!["line 4", "A=B"]),
            (blog("idle = \"5m\""), vec!["[blog]", "on_demand"]),
            (blog("health = \"x\""), vec!["[blog]", "/healthz"]),
            ("[blog]\nprefix = \"http://+:80/\"\ncommand = \"node x\"".to_owned(), vec!["line 3", "[\"node\", \"server.js\"]"]),
            ("[blog]\nprefix = \"x\"\ncommand = [\"x\"]".to_owned(), vec!["[blog]", "\"x\""]),
            ("[blog]\ncommand = [\"x\"]".to_owned(), vec!["prefix"]),
            (blog("[\"a b\"]\nprefix = \"http://+:80/c/\"\ncommand = [\"x\"]"), vec!["[a b]", "letters"]),
            (blog("[b]\nprefix = \"http://+/blog\"\ncommand = [\"x\"]"), vec!["[b]", "[blog]", "http://+:80/blog/"]),
        ] {
            let problem = problem(&text);
            for part in parts {
                assert!(problem.contains(part), "{part:?} is not in {problem}");
            }
        }
    }

    #[test]
    fn a_program_without_a_name_is_called_after_its_script_or_its_file() {
        let name = |line: &str| name_of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(name("node /srv/blog/server.js"), "server");
        assert_eq!(name("python3 -u app.py --port 1.5"), "app");
        assert_eq!(name("/usr/bin/gunicorn app.wsgi"), "gunicorn");
        assert_eq!(name("node"), "node");
        assert_eq!(name("/a/ä"), "app");
    }
}

//! Services of systemd: unit files, and `systemctl`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::program::{Program, as_typed};
use super::{Outcome, Scope, Service, ServiceError, Verb, unit};

/// A service manager: the machine's, or a user's.
pub(super) struct Systemd {
    pub(super) scope: Scope,
    /// Where its unit files are; those for accounts and directories are beside the machine's.
    pub(super) units: PathBuf,
    pub(super) sysusers: PathBuf,
    pub(super) tmpfiles: PathBuf,
    /// Found in `PATH`, unless it is a test's.
    pub(super) programs: Option<PathBuf>,
    /// Root has rights, and there is a systemd to talk to.
    pub(super) checks: bool,
}

impl Systemd {
    pub(super) fn here(scope: Scope) -> Result<Self, ServiceError> {
        let units = match scope {
            Scope::System => "/etc/systemd/system".into(),
            Scope::User => {
                let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
                let config = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
                let config = config.or_else(|| set("HOME").map(|home| home.join(".config")));
                config.ok_or(ServiceError::NoHome)?.join("systemd/user")
            }
        };
        let (sysusers, tmpfiles) = ("/etc/sysusers.d".into(), "/etc/tmpfiles.d".into());
        Ok(Self { scope, units, sysusers, tmpfiles, programs: None, checks: true })
    }

    pub(super) fn perform(&self, service: &Service, verb: &Verb) -> Result<Outcome, ServiceError> {
        match verb {
            Verb::Install { print, arguments, .. } => {
                let program = Program::this(service, arguments)?;
                let files = unit::files(service, self.scope, &program)?;
                if *print {
                    return Ok(printed(&files));
                }
                self.check(service, verb)?;
                program.check_place(self.scope)?;
                if let Some(account) = service.account.as_deref().filter(|_| self.checks && self.scope == Scope::System) {
                    check_account(account)?;
                }
                self.install(service, &files)
            }
            Verb::Uninstall { purge, .. } => self.check(service, verb).and_then(|()| self.uninstall(service, *purge)),
            Verb::Start(_) => self.check(service, verb).and_then(|()| self.start(service)),
            Verb::Stop(_) => self.check(service, verb).and_then(|()| self.stop(service)),
            Verb::Status(_) => self.status(service),
        }
    }

    /// What would go wrong with a message that nobody understands.
    fn check(&self, service: &Service, verb: &Verb) -> Result<(), ServiceError> {
        if !self.checks {
            return Ok(());
        }
        if !sd_notify::booted().unwrap_or(false) {
            return Err(ServiceError::NoServiceManager(as_typed(service)));
        }
        if self.scope == Scope::System && !rustix::process::geteuid().is_root() {
            return Err(ServiceError::NotRoot { verb: verb.word(), command: format!("{} {}", as_typed(service), verb.word()) });
        }
        if self.scope == Scope::User {
            let state = self.run("systemctl", &["show", "--property=Version"])?;
            if !state.status.success() {
                let user = std::env::var("USER").unwrap_or_else(|_| "$USER".to_owned());
                return Err(ServiceError::NoUserManager(user));
            }
        }
        Ok(())
    }

    fn install(&self, service: &Service, files: &[(String, String)]) -> Result<Outcome, ServiceError> {
        if let Some(unit) = self.of_package(&service.name)? {
            self.must("systemctl", &[&["enable"], &names(files)[..]].concat())?;
            let start = self.typed(service, "start");
            return Ok(Outcome::new(vec![format!("a package has installed it: {unit}; to start it now: {start}")]));
        }
        let mut said = Vec::new();
        let mut changed = false;
        for (name, text) in files {
            let path = self.place(name);
            let is_new = !matches!(fs::read_to_string(&path), Ok(present) if present == *text);
            if is_new {
                write(&path, text)?;
            }
            changed |= is_new;
            said.push(format!("{} {}", if is_new { "wrote" } else { "unchanged:" }, path.display()));
            match kind(name) {
                Kind::Account => self.must("systemd-sysusers", &[&path.to_string_lossy()])?,
                Kind::Directories => self.must("systemd-tmpfiles", &["--create", &path.to_string_lossy()])?,
                Kind::Unit => {}
            }
        }
        self.must("systemctl", &["daemon-reload"])?;
        let units = names(files);
        self.must("systemctl", &[&["enable"], &units[..]].concat())?;
        let when = if self.scope == Scope::System { "the machine starts" } else { "you log in" };
        said.push(format!("{} starts when {when}; to start it now: {}", service.name, self.typed(service, "start")));
        if self.scope == Scope::User {
            said.push("to let it run while you are not logged in: sudo loginctl enable-linger \"$USER\"".to_owned());
        }
        if changed && self.is_active(&service.name)? {
            let option = self.scope.option();
            said.push(format!("it still runs as it was; to have it anew: systemctl{option} restart {}", service.name));
        }
        Ok(Outcome::new(said))
    }

    fn uninstall(&self, service: &Service, purge: bool) -> Result<Outcome, ServiceError> {
        let present = self.present(service);
        if let Some(unit) = self.of_package(&service.name)? {
            let stop = self.typed(service, "stop");
            return Err(ServiceError::OfPackage { name: service.name.clone(), unit, stop });
        }
        if present.is_empty() {
            return Ok(Outcome::new(vec![format!("{} is not installed: there is nothing to remove", service.name)]));
        }
        let mut said = Vec::new();
        let units: Vec<&str> = present.iter().map(String::as_str).filter(|name| kind(name) == Kind::Unit).collect();
        self.must("systemctl", &[&["disable", "--now"], &units[..]].concat())?;
        said.push(format!("stopped {}", units.join(", ")));
        let kept = self.data(&service.name)?;
        if purge {
            // Without such directories there is nothing to clean, which is an error to it.
            let services = units.iter().filter(|unit| unit.ends_with(".service"));
            for unit in services {
                let cleaned = self.run("systemctl", &["clean", "--what=all", unit])?;
                if cleaned.status.success() {
                    said.push(format!("removed {kept}"));
                }
            }
        }
        for name in &present {
            let path = self.place(name);
            fs::remove_file(&path).map_err(|source| ServiceError::File { what: "remove", path: path.clone(), source })?;
            said.push(format!("removed {}", path.display()));
        }
        self.must("systemctl", &["daemon-reload"])?;
        // Nothing is theirs any more.
        for account in service.units.iter().filter(|unit| purge && kind(&unit.name) == Kind::Account).flat_map(unit::accounts) {
            if self.run("userdel", &[account])?.status.success() {
                said.push(format!("removed the user {account}"));
            }
        }
        // What failed once would be listed as such for ever.
        let _ = self.run("systemctl", &[&["reset-failed"], &units[..]].concat());
        if !purge && !kept.is_empty() {
            said.push(format!("kept its data: {kept} (`uninstall --purge` removes that too)"));
        }
        Ok(Outcome::new(said))
    }

    fn start(&self, service: &Service) -> Result<Outcome, ServiceError> {
        let units = self.installed(service)?;
        let (name, option) = (&service.name, self.scope.option());
        let started = self.run("systemctl", &[&["start"], &strs(&units)[..]].concat())?;
        if started.status.success() {
            return Ok(Outcome::new(vec![format!("{name} runs and is ready")]));
        }
        let log = self.run("journalctl", &["--unit", name, "--lines=3", "--no-pager", "--output=cat", "--quiet"]);
        Err(ServiceError::Failed {
            name: name.clone(),
            message: said(&started),
            log: log.map(|log| String::from_utf8_lossy(&log.stdout).trim_end().to_owned()).unwrap_or_default(),
            command: format!("journalctl{option} --unit {name}"),
        })
    }

    fn stop(&self, service: &Service) -> Result<Outcome, ServiceError> {
        let units = self.installed(service)?;
        self.must("systemctl", &[&["stop"], &strs(&units)[..]].concat())?;
        Ok(Outcome::new(vec![format!("{} is stopped", service.name)]))
    }

    fn status(&self, service: &Service) -> Result<Outcome, ServiceError> {
        let name = &service.name;
        if self.checks && !sd_notify::booted().unwrap_or(false) {
            return Err(ServiceError::NoServiceManager(as_typed(service)));
        }
        let state = self.property(name, &["LoadState"])?;
        if state != "loaded" {
            return Ok(Outcome::with_code(vec![format!("{name} is not installed")], 4));
        }
        let of = |property: &str| self.property(name, &[property]);
        let active = of("ActiveState")?;
        let mut lines = vec![format!("{name} is {active} ({})", of("SubState")?)];
        if active == "active" {
            lines.push(format!("process {} since {}", of("MainPID")?, of("ActiveEnterTimestamp")?));
        } else if active == "failed" {
            lines.push(format!("why: {}; journalctl{} --unit {name}", of("Result")?, self.scope.option()));
        }
        lines.push(format!("{}: {}", of("UnitFileState")?, of("FragmentPath")?));
        Ok(Outcome::with_code(lines, if active == "active" { 0 } else { 3 }))
    }

    /// The files of the service that are there.
    fn present(&self, service: &Service) -> Vec<String> {
        let own = service.units.iter().filter(|unit| unit.scope == self.scope).map(|unit| unit.name.clone());
        let made = std::iter::once(format!("{}.service", service.name));
        let mut names: Vec<String> = own.chain(made).filter(|name| self.place(name).exists()).collect();
        names.dedup();
        names.sort();
        names.dedup();
        names
    }

    /// Where its unit is, if that is not one that is written here.
    fn of_package(&self, name: &str) -> Result<Option<String>, ServiceError> {
        let path = self.property(name, &["FragmentPath"])?;
        Ok(Some(path).filter(|path| !path.is_empty() && !Path::new(path).starts_with(&self.units)))
    }

    /// The units of the service, if it is installed, be it by a package.
    fn installed(&self, service: &Service) -> Result<Vec<String>, ServiceError> {
        let mut units = self.present(service);
        units.retain(|name| kind(name) == Kind::Unit);
        if units.is_empty() && self.property(&service.name, &["LoadState"])? == "loaded" {
            let given = service.units.iter().filter(|unit| unit.scope == self.scope && kind(&unit.name) == Kind::Unit);
            units = given.map(|unit| unit.name.clone()).collect();
            if units.is_empty() {
                units.push(format!("{}.service", service.name));
            }
        }
        if units.is_empty() {
            return Err(ServiceError::NotInstalled { name: service.name.clone(), command: self.typed(service, "install") });
        }
        Ok(units)
    }

    fn place(&self, name: &str) -> PathBuf {
        match kind(name) {
            Kind::Account => self.sysusers.join(Path::new(name).with_extension("conf")),
            Kind::Directories => self.tmpfiles.join(Path::new(name).with_extension("conf")),
            Kind::Unit => self.units.join(name),
        }
    }

    /// What to type for a verb.
    fn typed(&self, service: &Service, verb: &str) -> String {
        // Root needs no sudo, and may not have it.
        let sudo = if self.scope == Scope::System && !rustix::process::geteuid().is_root() { "sudo " } else { "" };
        format!("{sudo}{} {verb}{}", as_typed(service), self.scope.option())
    }

    /// Which files the service has written, by its own account.
    fn data(&self, name: &str) -> Result<String, ServiceError> {
        let mut places = Vec::new();
        for (property, below) in
            [("StateDirectory", "/var/lib"), ("LogsDirectory", "/var/log"), ("ConfigurationDirectory", "/etc")]
        {
            let names = self.property(name, &[property])?;
            let place = |name: &str| match self.scope {
                Scope::System => format!("{below}/{name}"),
                Scope::User => name.to_owned(),
            };
            let there = |place: &String| self.scope == Scope::User || Path::new(place).exists();
            places.extend(names.split_whitespace().map(place).filter(there));
        }
        Ok(places.join(", "))
    }

    fn is_active(&self, name: &str) -> Result<bool, ServiceError> {
        Ok(self.property(name, &["ActiveState"])? == "active")
    }

    fn property(&self, name: &str, properties: &[&str]) -> Result<String, ServiceError> {
        let list = format!("--property={}", properties.join(","));
        let shown = self.run("systemctl", &["show", "--value", &list, &format!("{name}.service")])?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
    }

    fn must(&self, program: &str, arguments: &[&str]) -> Result<(), ServiceError> {
        let output = self.run(program, arguments)?;
        if output.status.success() {
            return Ok(());
        }
        Err(ServiceError::Refused { command: format!("{program} {}", arguments.join(" ")), message: said(&output) })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Output, ServiceError> {
        let path = self.programs.as_ref().map_or_else(|| program.into(), |directory| directory.join(program));
        let mut command = Command::new(&path);
        if self.scope == Scope::User {
            command.arg("--user");
        }
        command.args(arguments).stdin(Stdio::null()).env("SYSTEMD_COLORS", "0").env("LC_ALL", "C.UTF-8");
        command.output().map_err(|source| ServiceError::File { what: "run", path, source })
    }
}

#[derive(PartialEq, Eq)]
enum Kind {
    Unit,
    Account,
    Directories,
}

fn kind(name: &str) -> Kind {
    match Path::new(name).extension().and_then(|suffix| suffix.to_str()) {
        Some("sysusers") => Kind::Account,
        Some("tmpfiles") => Kind::Directories,
        _ => Kind::Unit,
    }
}

fn names(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).filter(|name| kind(name) == Kind::Unit).collect()
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if text.is_empty() { output.status.to_string() } else { text }
}

fn printed(files: &[(String, String)]) -> Outcome {
    match files {
        [(_, text)] => Outcome::new(vec![text.trim_end().to_owned()]),
        files => Outcome::new(files.iter().map(|(name, text)| format!("# --- {name}\n{}", text.trim_end())).collect()),
    }
}

/// Whoever is killed meanwhile leaves no half of a unit.
fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    let new = path.with_extension("new");
    let replace = || -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&new, text)?;
        fs::rename(&new, path)
    };
    replace().map_err(|source| {
        let _ = fs::remove_file(&new);
        ServiceError::File { what: "write", path: path.to_owned(), source }
    })
}

fn check_account(account: &str) -> Result<(), ServiceError> {
    // The same look-up that systemd makes, name services included.
    let found = Command::new("getent").args(["passwd", account]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match found {
        Ok(status) if !status.success() => Err(ServiceError::NoSuchAccount(account.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! The text of a systemd unit.
//!
//! It is made here, and not by a crate: those that install services write units with no sandbox, no notifications and no watchdog,
//! do not quote paths, and know neither sockets nor accounts.

use std::fmt::Write as _;
use std::path::Path;

use super::program::Program;
use super::{Scope, Service, ServiceError};

/// A file to install instead of the unit that is made.
#[derive(Clone, Debug)]
pub(super) struct UnitFile {
    pub(super) scope: Scope,
    pub(super) name: String,
    pub(super) text: String,
}

/// Where `@PROGRAM@` is, in a unit that was given.
const PLACE: &str = "@PROGRAM@";

/// What keeps a service of the machine from everything that it does not need. Each line is in `systemd.exec(5)`.
///
/// `ProcSubset=pid` is not among them: the sysctls that say which ports are free are in `/proc/sys`. Nor is `PrivateUsers=`, in
/// which a capability to open low ports is none.
const SANDBOX: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
UMask=0027
";

/// What also a user's service manager can do, since it takes no privilege.
const FILTERS: &str = "\
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
";

/// The files of a service, by name: those that were given, else the unit that is made.
pub(super) fn files(service: &Service, scope: Scope, program: &Program) -> Result<Vec<(String, String)>, ServiceError> {
    let given = service.units.iter().filter(|unit| unit.scope == scope);
    let command = command_line(program)?;
    let path = command_line(&Program { path: program.path.clone(), arguments: Vec::new() })?;
    let mut files: Vec<_> = given.map(|unit| (unit.name.clone(), unit.text.replace(PLACE, &path))).collect();
    if files.is_empty() {
        files.push((format!("{}.service", service.name), text(service, scope, &command, &program.path)?));
    }
    Ok(files)
}

/// The users that a sysusers file makes.
pub(super) fn accounts(file: &UnitFile) -> impl Iterator<Item = &str> {
    file.text.lines().filter_map(|line| line.strip_prefix("u ")?.split_whitespace().next())
}

fn text(service: &Service, scope: Scope, command: &str, program: &Path) -> Result<String, ServiceError> {
    let Service { name, .. } = service;
    let system = scope == Scope::System;
    let description = literal(service.description.as_deref().unwrap_or(name));
    let shown = program.file_name().unwrap_or_default().to_string_lossy();
    let option = scope.option();
    let mut unit = format!(
        "# Written by `{shown} install{option}`, which writes it again; `systemctl{option} edit {name}` changes it for good.\n\
         [Unit]\n\
         Description={description}\n"
    );
    let mut line = |line: &str| {
        unit.push_str(line);
        unit.push('\n');
    };
    if system {
        // An app that starts before the host would open the port itself, and have it when the host wants it.
        line("Wants=network-online.target\nAfter=network-online.target narthex.socket narthex.service");
    } else {
        line("After=narthex.socket narthex.service");
    }
    // What is missing today, a reservation or a mount, may be there tomorrow.
    line("StartLimitIntervalSec=0");
    line("\n[Service]\nType=notify");
    line(&format!("ExecStart={command}"));
    for (name, value) in &service.environment {
        line(&format!("Environment={}", quoted(&format!("{name}={value}"))));
    }
    line("Restart=on-failure\nRestartSec=2");
    line(&format!("TimeoutStopSec={}", service.stop_timeout.as_secs().max(1)));
    if !service.watchdog.is_zero() {
        line(&format!("WatchdogSec={}", service.watchdog.as_secs().max(1)));
    }
    line("LimitNOFILE=65536");
    line(&format!("StateDirectory={name}\nWorkingDirectory=%S/{name}"));
    if system {
        match &service.account {
            Some(account) => line(&format!("User={}", literal(account))),
            None => line("DynamicUser=yes"),
        }
        let capability = if service.low_ports { "CAP_NET_BIND_SERVICE" } else { "" };
        line(&format!("\nCapabilityBoundingSet={capability}\nAmbientCapabilities={capability}"));
        line(SANDBOX.trim_end());
        for directory in &service.writable {
            let path = directory.to_str().filter(|text| !text.chars().any(char::is_control));
            let path = path.ok_or_else(|| ServiceError::NotText(directory.clone()))?;
            line(&format!("ReadWritePaths={}", quoted(path)));
        }
    } else {
        line("\nNoNewPrivileges=yes");
    }
    line(FILTERS.trim_end());
    line(&format!("\n[Install]\nWantedBy={}", if system { "multi-user.target" } else { "default.target" }));
    Ok(unit)
}

/// A program with its arguments as `ExecStart=` reads it back (`systemd.service(5)`, "Command lines").
fn command_line(program: &Program) -> Result<String, ServiceError> {
    let mut line = String::new();
    for (index, text) in program.texts()?.into_iter().enumerate() {
        // Variables are not replaced in the program's own path.
        let text = if index == 0 { text.to_owned() } else { text.replace('$', "$$") };
        let _ = write!(line, "{}{}", if index == 0 { "" } else { " " }, word(&text));
    }
    Ok(line)
}

/// A word that has to be quoted only if it is not plain.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@$".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", literal(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Without what systemd would replace.
fn literal(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn program(path: &str, arguments: &[&str]) -> Program {
        Program { path: path.into(), arguments: arguments.iter().map(Into::into).collect() }
    }

    fn only(service: &Service, scope: Scope) -> String {
        let mut files = files(service, scope, &program("/usr/local/bin/shop", &["--port", "80"])).unwrap();
        assert_eq!(files.len(), 1);
        let (name, text) = files.remove(0);
        assert_eq!(name, "shop.service");
        text
    }

    #[test]
    fn what_is_typed_reaches_the_program_as_it_was() {
        let typed = program("/opt/my shop/sh%op", &["a b", "$HOME", "50%", "say \"hi\"", "back\\slash", "", "--plain=/x"]);
        assert_eq!(
            command_line(&typed).unwrap(),
            r#""/opt/my shop/sh%%op" "a b" $$HOME "50%%" "say \"hi\"" "back\\slash" "" --plain=/x"#
        );
        assert!(matches!(command_line(&program("/a\nExecStartPre=/b", &[])), Err(ServiceError::NotText(_))));
    }

    #[test]
    fn a_service_of_the_machine_is_nobody_and_may_do_little() {
        let unit = only(&Service::new("shop").environment("RUST_LOG", "a\"b%"), Scope::System);
        for line in [
            "Type=notify",
            "ExecStart=/usr/local/bin/shop --port 80",
            "Environment=\"RUST_LOG=a\\\"b%%\"",
            "DynamicUser=yes",
            "CapabilityBoundingSet=",
            "ProtectSystem=strict",
            "NoNewPrivileges=yes",
            "WatchdogSec=30",
            "TimeoutStopSec=15",
            "WantedBy=multi-user.target",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line} in\n{unit}");
        }
    }

    #[test]
    fn what_a_service_asks_for_it_gets() {
        let service = Service::new("shop").account("web").low_ports(true).writable("/srv/my shop");
        let service = service.stop_timeout(Duration::from_secs(90)).watchdog(Duration::ZERO).description("100% shop");
        let unit = only(&service, Scope::System);
        for line in [
            "User=web",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            "ReadWritePaths=\"/srv/my shop\"",
            "TimeoutStopSec=90",
            "Description=100%% shop",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line} in\n{unit}");
        }
        assert!(!unit.contains("WatchdogSec") && !unit.contains("DynamicUser"), "{unit}");
    }

    #[test]
    fn a_users_service_asks_for_nothing_that_only_root_has() {
        let unit = only(&Service::new("shop").low_ports(true), Scope::User);
        for part in ["User=", "Capabilit", "ProtectSystem", "network-online", "multi-user"] {
            assert!(!unit.contains(part), "{part} in\n{unit}");
        }
        assert!(unit.contains("WantedBy=default.target") && unit.contains("SystemCallFilter="), "{unit}");
    }

    #[test]
    fn given_units_go_before_the_one_that_is_made() {
        let service = Service::new("shop").unit_file(Scope::System, "shop.service", "ExecStart=@PROGRAM@ host\n");
        let service = service.unit_file(Scope::System, "shop.socket", "ListenStream=/run/shop\n");
        let files = files(&service, Scope::System, &program("/opt/a b", &[])).unwrap();
        assert_eq!(files[0], ("shop.service".to_owned(), "ExecStart=\"/opt/a b\" host\n".to_owned()));
        assert_eq!(files[1].0, "shop.socket");
    }
}

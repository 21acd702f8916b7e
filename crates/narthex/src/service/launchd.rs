//! Services of launchd, the service manager of macOS.
//!
//! The crate `service-manager` knows where property lists are and how `launchctl` is asked. What is in the list is ours: the crate's
//! own has no log, and the few files that launchd allows by default.
#![cfg_attr(not(target_os = "macos"), allow(dead_code, reason = "elsewhere only its tests are run"))]

use std::fmt::Write as _;

use super::program::Program;
use super::{Scope, Service, ServiceError};

/// The property list of a service.
fn property_list(service: &Service, scope: Scope, program: &Program) -> Result<String, ServiceError> {
    let name = escaped(&service.name);
    let mut list = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n\
         \t<key>Label</key>\n\t<string>{name}</string>\n\
         \t<key>ProgramArguments</key>\n\t<array>\n"
    );
    // Writing to a string does not fail.
    for text in program.texts()? {
        let _ = writeln!(list, "\t\t<string>{}</string>", escaped(text));
    }
    list.push_str("\t</array>\n");
    if !service.environment.is_empty() {
        list.push_str("\t<key>EnvironmentVariables</key>\n\t<dict>\n");
        for (name, value) in &service.environment {
            let _ = writeln!(list, "\t\t<key>{}</key>\n\t\t<string>{}</string>", escaped(name), escaped(value));
        }
        list.push_str("\t</dict>\n");
    }
    if let Some(account) = service.account.as_deref().filter(|_| scope == Scope::System) {
        let _ = writeln!(list, "\t<key>UserName</key>\n\t<string>{}</string>", escaped(account));
    }
    if scope == Scope::System {
        let _ = writeln!(list, "\t<key>StandardErrorPath</key>\n\t<string>/var/log/{name}.log</string>");
    }
    let _ = write!(
        list,
        "\t<key>RunAtLoad</key>\n\t<true/>\n\
         \t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>\n\
         \t<key>ThrottleInterval</key>\n\t<integer>1</integer>\n\
         \t<key>ExitTimeOut</key>\n\t<integer>{}</integer>\n\
         \t<key>SoftResourceLimits</key>\n\t<dict>\n\t\t<key>NumberOfFiles</key>\n\t\t<integer>65536</integer>\n\t</dict>\n\
         </dict>\n</plist>\n",
        service.stop_timeout.as_secs().max(1)
    );
    Ok(list)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(target_os = "macos")]
pub(super) use manager::perform;

#[cfg(target_os = "macos")]
mod manager {
    use std::io;

    use service_manager::{
        LaunchdServiceManager, RestartPolicy, ServiceInstallCtx, ServiceLabel, ServiceManager, ServiceStartCtx, ServiceStatus,
        ServiceStatusCtx, ServiceStopCtx, ServiceUninstallCtx,
    };

    use super::super::program::as_typed;
    use super::super::{Outcome, Verb};
    use super::{Program, Scope, Service, ServiceError, property_list};

    pub(in super::super) fn perform(service: &Service, verb: &Verb) -> Result<Outcome, ServiceError> {
        let scope = verb.scope();
        let (name, command) = (&service.name, format!("{} {}{}", as_typed(service), verb.word(), scope.option()));
        let launchd = LaunchdServiceManager { user: scope == Scope::User, ..LaunchdServiceManager::default() };
        let label = ServiceLabel { qualifier: None, organization: None, application: name.clone() };
        let refused = |error: io::Error| ServiceError::Refused { command: "launchctl".to_owned(), message: error.to_string() };
        let done = |line: String| Ok(Outcome::new(vec![line]));
        let is_root = rustix::process::geteuid().is_root();
        let changes = !matches!(verb, Verb::Status(_) | Verb::Install { print: true, .. });
        if scope == Scope::System && !is_root && changes {
            return Err(ServiceError::NotRoot { verb: verb.word(), command });
        }
        let is_there = || launchd.status(ServiceStatusCtx { label: label.clone() }).map_err(refused);
        let installed = || match is_there()? {
            ServiceStatus::NotInstalled => {
                let command = format!("{} install{}", as_typed(service), scope.option());
                Err(ServiceError::NotInstalled { name: name.clone(), command })
            }
            there => Ok(there),
        };
        match verb {
            Verb::Install { print, arguments, .. } => {
                let program = Program::this(service, arguments)?;
                let list = property_list(service, scope, &program)?;
                if *print {
                    return done(list);
                }
                let install = ServiceInstallCtx {
                    label: label.clone(),
                    program: program.path,
                    args: program.arguments,
                    contents: Some(list),
                    username: None,
                    working_directory: None,
                    environment: None,
                    autostart: true,
                    restart_policy: RestartPolicy::default(),
                };
                launchd.install(install).map_err(refused)?;
                let place = if scope == Scope::System { "/Library/LaunchDaemons" } else { "~/Library/LaunchAgents" };
                done(format!("wrote {place}/{name}.plist; {name} runs, and starts by itself from now on"))
            }
            Verb::Uninstall { .. } => match is_there()? {
                ServiceStatus::NotInstalled => done(format!("{name} is not installed: there is nothing to remove")),
                _ => {
                    launchd.uninstall(ServiceUninstallCtx { label }).map_err(refused)?;
                    done(format!("{name} is stopped, and its property list removed"))
                }
            },
            Verb::Start(_) => {
                installed()?;
                launchd.start(ServiceStartCtx { label }).map_err(refused)?;
                done(format!("{name} is started"))
            }
            Verb::Stop(_) => {
                installed()?;
                launchd.stop(ServiceStopCtx { label }).map_err(refused)?;
                done(format!("{name} is stopped"))
            }
            Verb::Status(_) => Ok(match is_there()? {
                ServiceStatus::NotInstalled => Outcome::with_code(vec![format!("{name} is not installed")], 4),
                ServiceStatus::Stopped(_) => Outcome::with_code(vec![format!("{name} does not run")], 3),
                ServiceStatus::Running => Outcome::new(vec![format!("{name} runs")]),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_list_names_the_program_and_brings_it_back_if_it_fails() {
        let service = Service::new("shop").environment("GREETING", "a < b & c").account("_www");
        let program = Program { path: "/opt/my shop".into(), arguments: vec!["--title=<b>".into()] };
        let list = property_list(&service, Scope::System, &program).unwrap();
        for part in [
            "<key>Label</key>\n\t<string>shop</string>",
            "<string>/opt/my shop</string>\n\t\t<string>--title=&lt;b&gt;</string>",
            "<key>GREETING</key>\n\t\t<string>a &lt; b &amp; c</string>",
            "<key>SuccessfulExit</key>\n\t\t<false/>",
            "<key>UserName</key>\n\t<string>_www</string>",
        ] {
            assert!(list.contains(part), "{part} in\n{list}");
        }
        let users = property_list(&service, Scope::User, &program).unwrap();
        assert!(!users.contains("UserName") && !users.contains("/var/log"), "{users}");
    }
}

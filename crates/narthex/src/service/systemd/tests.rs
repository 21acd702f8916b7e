//! Installing and removing against a `systemctl` that writes down what it is asked.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

struct Stage {
    directory: TempDir,
    systemd: Systemd,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let script = "#!/bin/sh\n\
            here=$(dirname \"$0\")\n\
            echo \"$(basename \"$0\") $*\" >> \"$here/asked\"\n\
            case \"$*\" in\n\
            *LoadState*) cat \"$here/load\" 2>/dev/null || echo not-found ;;\n\
            *ActiveState*) cat \"$here/active\" 2>/dev/null || echo inactive ;;\n\
            *=StateDirectory*) echo shop ;;\n\
            *FragmentPath*) cat \"$here/unit\" 2>/dev/null ;;\n\
            'start '*) test ! -e \"$here/refuse\" || { echo 'Job failed.' >&2; exit 1; } ;;\n\
            *--unit*) echo 'cannot register http://+:80/: it is taken' ;;\n\
            esac\n";
        std::fs::create_dir(at("bin")).unwrap();
        for name in ["systemctl", "journalctl", "systemd-sysusers", "systemd-tmpfiles", "userdel"] {
            let path = at("bin").join(name);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let systemd = Systemd {
            scope: Scope::System,
            units: at("units"),
            sysusers: at("sysusers.d"),
            tmpfiles: at("tmpfiles.d"),
            programs: Some(at("bin")),
            checks: false,
        };
        Self { directory, systemd }
    }

    fn says(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join("bin").join(name), text).unwrap();
    }

    /// What was asked since the last time, without looks.
    fn asked(&self) -> Vec<String> {
        let path = self.directory.path().join("bin/asked");
        let asked = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(&path);
        asked.lines().filter(|line| !line.contains(" show ")).map(str::to_owned).collect()
    }

    fn install(&self, service: &Service) -> Outcome {
        // A test's own program may be anywhere.
        let program = Program { path: "/usr/local/bin/shop".into(), arguments: vec![] };
        self.systemd.install(service, &unit::files(service, Scope::System, &program).unwrap()).unwrap()
    }

    fn units(&self) -> Vec<String> {
        let found = std::fs::read_dir(&self.systemd.units).into_iter().flatten();
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn installing_says_what_it_wrote_and_a_second_time_changes_nothing() {
    let stage = Stage::new();
    let first = stage.install(&Service::new("shop")).to_string();
    assert!(first.contains(&format!("wrote {}/shop.service", stage.systemd.units.display())), "{first}");
    assert_eq!(stage.asked(), ["systemctl daemon-reload", "systemctl enable shop.service"]);
    let path = stage.systemd.units.join("shop.service");
    let written = std::fs::read_to_string(&path).unwrap();
    let second = stage.install(&Service::new("shop")).to_string();
    assert!(second.contains("unchanged: "), "{second}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
}

#[test]
fn what_runs_is_not_restarted_by_installing_but_its_user_is_told() {
    let stage = Stage::new();
    stage.install(&Service::new("shop"));
    stage.says("active", "active");
    let said = stage.install(&Service::new("shop").low_ports(true)).to_string();
    assert!(said.contains("systemctl restart shop"), "{said}");
    assert!(!stage.asked().iter().any(|line| line.contains("restart")));
}

#[test]
fn uninstalling_leaves_nothing_and_can_be_done_again() {
    let stage = Stage::new();
    stage.install(&Service::new("shop"));
    stage.asked();
    let said = stage.systemd.uninstall(&Service::new("shop"), false).unwrap().to_string();
    assert_eq!(stage.units(), [""; 0]);
    assert!(said.starts_with("stopped shop.service\nremoved "), "{said}");
    assert_eq!(
        stage.asked(),
        ["systemctl disable --now shop.service", "systemctl daemon-reload", "systemctl reset-failed shop.service"]
    );
    let again = stage.systemd.uninstall(&Service::new("shop"), false).unwrap().to_string();
    assert!(again.contains("not installed"), "{again}");
    assert_eq!(stage.asked(), [""; 0]);
}

#[test]
fn purging_has_the_services_files_removed_while_its_unit_is_there() {
    let stage = Stage::new();
    stage.install(&Service::new("shop"));
    stage.asked();
    stage.systemd.uninstall(&Service::new("shop"), true).unwrap();
    assert!(stage.asked().contains(&"systemctl clean --what=all shop.service".to_owned()));
}

#[test]
fn a_service_of_several_files_has_them_all_installed_and_removed() {
    let stage = Stage::new();
    let service = Service::new("shop");
    let service = ["shop.service", "shop.socket", "shop.sysusers", "shop.tmpfiles"]
        .into_iter()
        .fold(service, |service, name| service.unit_file(Scope::System, name, "u shop - \"Shop\"\n"));
    stage.install(&service);
    let (sysusers, tmpfiles) = (stage.systemd.sysusers.join("shop.conf"), stage.systemd.tmpfiles.join("shop.conf"));
    assert_eq!(
        stage.asked(),
        [
            &format!("systemd-sysusers {}", sysusers.display())[..],
            &format!("systemd-tmpfiles --create {}", tmpfiles.display()),
            "systemctl daemon-reload",
            "systemctl enable shop.service shop.socket",
        ]
    );
    stage.systemd.start(&service).unwrap();
    assert_eq!(stage.asked(), ["systemctl start shop.service shop.socket"]);
    stage.systemd.uninstall(&service, true).unwrap();
    assert!(stage.asked().contains(&"userdel shop".to_owned()));
    assert!(!sysusers.exists() && !tmpfiles.exists());
    assert_eq!(stage.units(), [""; 0]);
}

#[test]
fn what_is_not_installed_cannot_be_started_or_stopped() {
    let stage = Stage::new();
    for verb in [Verb::Start(Scope::System), Verb::Stop(Scope::System)] {
        let error = stage.systemd.perform(&Service::new("shop"), &verb).unwrap_err();
        assert!(matches!(error, ServiceError::NotInstalled { .. }) && error.to_string().contains("install"), "{error}");
    }
    let status = stage.systemd.perform(&Service::new("shop"), &Verb::Status(Scope::System)).unwrap();
    assert_eq!(status.exit_code(), 4);
}

#[test]
fn a_unit_that_a_package_has_brought_is_left_to_it_but_started_too() {
    let stage = Stage::new();
    stage.says("load", "loaded");
    stage.says("unit", "/lib/systemd/system/shop.service");
    let said = stage.install(&Service::new("shop")).to_string();
    assert!(said.contains("a package has installed it"), "{said}");
    assert_eq!((stage.units(), stage.asked()), (vec![], vec!["systemctl enable shop.service".to_owned()]));
    let error = stage.systemd.uninstall(&Service::new("shop"), false).unwrap_err();
    assert!(matches!(error, ServiceError::OfPackage { .. }) && error.to_string().contains("apt remove shop"), "{error}");
    stage.systemd.perform(&Service::new("shop"), &Verb::Start(Scope::System)).unwrap();
    assert_eq!(stage.asked(), ["systemctl start shop.service"]);
}

#[test]
fn a_service_that_does_not_start_has_its_last_words_told() {
    let stage = Stage::new();
    stage.install(&Service::new("shop"));
    stage.says("refuse", "");
    let error = stage.systemd.start(&Service::new("shop")).unwrap_err().to_string();
    assert!(error.contains("Job failed.") && error.contains("cannot register http://+:80/: it is taken"), "{error}");
}

#[test]
fn the_status_says_by_its_code_whether_the_service_runs() {
    let stage = Stage::new();
    stage.says("load", "loaded");
    for (state, code) in [("active", 0), ("inactive", 3), ("failed", 3)] {
        stage.says("active", state);
        let status = stage.systemd.status(&Service::new("shop")).unwrap();
        assert_eq!(status.exit_code(), code, "{state}");
        assert!(status.to_string().contains(&format!("shop is {state}")), "{status}");
    }
}

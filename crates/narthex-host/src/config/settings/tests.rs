use super::*;

#[test]
fn every_setting_has_its_own_name_and_keeps_its_default_through_text_and_file() {
    for (index, setting) in SETTINGS.iter().enumerate() {
        let (mut typed, mut read) = (Settings::default(), Settings::default());
        setting.set(&mut typed, &setting.default_text()).unwrap();
        setting.read(&mut read, &setting.toml(&Settings::default())).unwrap();
        assert_eq!((typed, read), (Settings::default(), Settings::default()), "{}", setting.name);
        assert_eq!(Setting::find(setting.name).unwrap().name, setting.name);
        assert!(!SETTINGS[..index].iter().any(|other| other.name == setting.name));
    }
}

#[test]
fn registry_names_and_any_case_find_the_setting() {
    for (typed, name) in [
        ("MaxRequestBytes", "max_request_bytes"),
        ("UriMaxUriBytes", "max_cache_response_size"),
        ("urienablecache", "response_cache"),
        ("URISCAVENGERPERIOD", "scavenger_period"),
        ("UrlSegmentMaxCount", "url_segment_max_count"),
        ("EnableErrorLogging", "error_log"),
        ("queue-length", "queue_length"),
    ] {
        assert_eq!(Setting::find(typed).map(|setting| setting.name), Ok(name), "{typed}");
    }
    let error = Setting::find("queue_lenght").unwrap_err();
    assert!(error.contains("did you mean queue_length?"), "{error}");
}

#[test]
fn every_number_has_its_range_and_takes_its_ends() {
    for setting in SETTINGS {
        let Kind::Number { least, most, .. } = setting.kind else { continue };
        let mut settings = Settings::default();
        for end in [least, most] {
            setting.set(&mut settings, &end.to_string()).unwrap();
            assert_eq!(setting.get(&settings), end.to_string(), "{}", setting.name);
        }
        let below = least.checked_sub(1).map_or("-1".to_owned(), |below| below.to_string());
        for wrong in [below, (most + 1).to_string(), "many".to_owned(), "+5000".to_owned(), String::new()] {
            let error = setting.set(&mut settings, &wrong).unwrap_err();
            assert!(error.contains(setting.name) && error.contains(&least.to_string()), "{error}");
        }
        assert_eq!(setting.get(&settings), most.to_string());
    }
}

#[test]
fn values_are_typed_as_netsh_takes_them() {
    for (name, typed, shown) in [
        ("max_request_bytes", "0x4000", "16384"),
        ("response_cache", "0", "false"),
        ("single_acceptor", "Yes", "true"),
        ("max_connections", "automatic", "automatic"),
        ("error_log_rollover", "Weekly", "weekly"),
        ("access_log_fields", "date, time,cs(User-Agent)", "date,time,cs(User-Agent)"),
        ("log_directory", "/var/log/web", "/var/log/web"),
        ("access_log_site", "shop-1", "shop-1"),
        ("cooking", "httpsys", "httpsys"),
    ] {
        let (setting, mut settings) = (Setting::find(name).unwrap(), Settings::default());
        setting.set(&mut settings, typed).unwrap();
        assert_eq!(setting.get(&settings), shown, "{name}");
    }
    for (name, typed) in [
        ("log_directory", "logs"),
        ("access_log_site", "../etc"),
        ("access_log_site", "HTTPERR"),
        ("access_log_fields", "a,,b"),
        ("access_log_fields", "date,nonsense"),
    ] {
        assert!(Setting::find(name).unwrap().set(&mut Settings::default(), typed).is_err(), "{name}");
    }
}

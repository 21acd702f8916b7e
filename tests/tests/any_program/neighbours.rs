//! The programs of `examples/any-program` beside the demo, on its port.

use std::path::PathBuf;
use std::process::Command;

use narthex_tests::Process;
use narthex_tests::process::{built_program, narthex_program};
use serde_json::{Value, json};

use super::stage::{get, programs};

#[test]
fn a_node_a_python_and_a_rust_program_share_a_port_with_the_demo() {
    let mut demo = Process::start("demo", Command::new(narthex_program()).args(["demo", "--port", "0"]));
    let port = demo.line("Three processes share port ");
    let port: u16 = port.split('.').next().and_then(|port| port.parse().ok()).expect("the demo tells its port");
    let command = demo.line("  narthex show servicestate --socket ");
    let socket = PathBuf::from(command.trim());

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("apps.toml");
    let example = std::fs::read_to_string(programs().join("apps.toml")).unwrap();
    let rust = built_program("any-program", "any-program");
    let toml = example
        .replace(":8888/", &format!(":{port}/"))
        .replace(r#"["cargo", "run", "--quiet", "-p", "any-program"]"#, &format!("[{:?}]", rust.to_str().unwrap()))
        .replace("prefix =", &format!("cwd = {:?}\nprefix =", programs().to_str().unwrap()));
    assert!(!toml.contains("\"cargo\""), "the test does not wait for a build");
    std::fs::write(&file, toml).unwrap();

    let mut command = Command::new(narthex_program());
    command.args(["run", "--config"]).arg(&file).arg("--socket").arg(&socket);
    let mut run = Process::start("run", &mut command);
    for _ in 0..3 {
        run.line("ready ");
    }
    let address = ([127, 0, 0, 1], port).into();
    for program in ["node", "python", "rust"] {
        let about: Value = serde_json::from_slice(&get(address, &format!("/{program}/whoami")).body).unwrap();
        assert_eq!((&about["program"], &about["prefix"]), (&json!(program), &json!(format!("/{program}"))));
        assert!(get(address, &format!("/{program}/")).text().contains("<h1>"), "{program}");
    }
    for app in ["/app1/info", "/app2/info", "/"] {
        assert_eq!(get(address, app).status, 200, "{app}");
    }
    run.terminate();
    assert!(run.wait(super::stage::PATIENCE).success(), "{}", run.log());
    assert_eq!(get(address, "/app1/info").status, 200);
    demo.terminate();
    demo.wait(super::stage::PATIENCE);
}

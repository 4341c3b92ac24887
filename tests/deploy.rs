//! The files under `deploy/`: systemd verifies the units and rates their exposure as low.

#![allow(clippy::unwrap_used, reason = "a failed assumption is a failed test")]

use std::path::Path;
use std::process::{Command, Output};

/// The maximum accepted exposure, in tenths: systemd calls up to 2.0 "OK".
const MOST_EXPOSURE: &str = "20";

/// Writes the units with the binary under test in place of the installed one.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
    let mut seen = 0;
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "service" || extension == "socket") {
            let unit = std::fs::read_to_string(&path).unwrap();
            let unit = unit.replace("/usr/bin/rillgate", env!("CARGO_BIN_EXE_rillgate"));
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // Verifies a template as one of its instances.
            std::fs::write(folder.path().join(name.replace("@.", "@a.")), &unit).unwrap();
            std::fs::write(folder.path().join(name), unit).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
    folder
}

fn analyze(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).current_dir(folder).env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()));
    command.env("SYSTEMD_COLORS", "0").output().expect("systemd-analyze, which tests/run installs")
}

#[test]
fn systemd_accepts_the_units() {
    let folder = units();
    for unit in ["./rillgate.service", "./rillgate.socket", "./rillgate@a.service"] {
        let output = analyze(folder.path(), &["verify", "--man=no", unit]);
        assert!(output.status.success() && output.stderr.is_empty(), "{unit}: {output:?}");
    }
}

#[test]
fn the_services_meet_their_exposure_score() {
    let folder = units();
    for unit in ["./rillgate.service", "./rillgate@a.service"] {
        let threshold = format!("--threshold={MOST_EXPOSURE}");
        let output = analyze(folder.path(), &["security", "--offline=true", "--no-pager", &threshold, unit]);
        assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_documented_systemd_configuration_is_valid() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/README.md")).unwrap();
    let mut configurations = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).peekable();
    assert!(configurations.peek().is_some());
    for text in configurations {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rillgate.toml");
        std::fs::write(&path, text).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_rillgate")).arg("check").arg("--config").arg(&path).output().unwrap();
        assert!(output.status.success(), "{text}\n{output:?}");
    }
}

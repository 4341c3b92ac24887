//! Every command of the documentation is run, or is listed here with the reason why not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::blocks::{Block, blocks};
use super::fixture::DocsFixture;
use super::{pages, read, root};

/// Blocks that are not run: page, beginning of a `console` block, reason.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "cargo run --release -- demo", "a release build; tests/process.rs runs the demo and pastes its line"),
    ("README.md", "tests/run", "it would run itself"),
    ("README.md", "rillgate serve", "runs until it is ended; every test of the gateway starts it like this"),
    ("docs/load-testing.md", "cargo install oha", "takes minutes; tests/run installs it once, with these words"),
    ("docs/load-testing.md", "ulimit", "needs a hard limit that not every machine grants"),
    ("docs/containers.md", "docker build", "needs a container engine; tests/run --long builds and runs the image"),
    ("docs/containers.md", "docker run", "the same"),
    (
        "deploy/debian/README.md",
        "cargo install cargo-deb",
        "takes minutes; tests/run --long makes and installs the package",
    ),
    ("deploy/systemd/README.md", "install -m 0755 rillgate /usr/bin/", "installs into the system"),
    ("deploy/systemd/README.md", "install -m 0755 rillgate.new", "the same"),
    ("deploy/compose/README.md", "bash certs/generate.sh", "needs Docker"),
    ("deploy/compose/README.md", "for gateway in", "the same"),
    ("deploy/helm/rillgate/README.md", "helm install", "needs a cluster"),
    ("docs/kubernetes.md", "kubectl create secret", "the same"),
    (
        "deploy/prometheus/README.md",
        "prometheus --config.file",
        "runs until it is ended; the tests start it on a free port",
    ),
];

/// The time limit for all commands of one page.
const LONGEST: Duration = Duration::from_secs(90);

#[test]
fn every_skipped_command_is_listed_with_its_reason() {
    let mut unused: Vec<_> = NOT_RUN.iter().collect();
    for page in pages() {
        let name = page.display().to_string();
        for block in blocks(&read(&page)).into_iter().filter(|block| block.kind == "console") {
            let listed = |(file, beginning, _): &(&str, &str, &str)| *file == name && block.text.starts_with(beginning);
            assert!(NOT_RUN.iter().any(listed), "{name}:{}: not run, and not listed:\n{}", block.line, block.text);
            unused.retain(|entry| !listed(entry));
        }
    }
    assert!(unused.is_empty(), "listed, and in no page: {unused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_does_what_its_page_says() {
    let mut seen = 0;
    for page in pages() {
        let blocks = blocks(&read(&page));
        let commands = blocks.iter().filter(|block| block.kind == "sh").count();
        if commands > 0 {
            run(&page, &blocks).await;
        }
        seen += commands;
    }
    assert!(seen >= 15, "only {seen} blocks of commands");
}

/// Runs a page's blocks in order, in one shell, so that a later one may use an earlier one's variables.
async fn run(page: &Path, blocks: &[Block]) {
    let asks_prometheus = blocks.iter().any(|block| block.kind == "sh" && block.text.contains("127.0.0.1:9090"));
    let fixture = DocsFixture::new(asks_prometheus).await;
    for file in blocks.iter().filter(|block| block.kind == "toml") {
        if let Some(name) = &file.name {
            std::fs::write(fixture.folder.path().join(name), fixture.translate(&file.text)).unwrap();
        }
    }
    let mut script = "set -eu\nexec 2>&1\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    for block in blocks.iter().filter(|block| block.kind == "sh") {
        script += &format!("echo '{}'\n{}", marker(block), fixture.translate(&block.text));
    }

    let binary = Path::new(env!("CARGO_BIN_EXE_rillgate")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", binary.display(), root().join("target/tools/bin").display());
    let child = Command::new("bash")
        .args(["-c", &script])
        .current_dir(fixture.folder.path())
        .env("PATH", path)
        .env("TOKEN", &fixture.token)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = tokio::time::timeout(LONGEST, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{}: not done within {LONGEST:?}", page.display())).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {}; the last block failed:\n{text}", page.display(), output.status);

    let mut last = None;
    for block in blocks {
        match (block.kind.as_str(), block.name.as_deref()) {
            ("sh", _) => last = Some(block),
            ("text", Some("output")) => {
                let commands = last.unwrap_or_else(|| panic!("{}:{}: output of nothing", page.display(), block.line));
                let printed = text.split(&marker(commands)).nth(1).unwrap().split("@@ ").next().unwrap();
                if let Err(line) = is_printed(&block.text, printed) {
                    panic!("{}:{}: no line `{line}` in\n{printed}", page.display(), block.line);
                }
            }
            _ => {}
        }
    }
}

fn marker(block: &Block) -> String {
    format!("@@ line {} @@", block.line)
}

/// Checks that the expected lines occur in the output, in their order; `…` matches anything.
///
/// # Errors
/// The first expected line that does not occur.
fn is_printed(promise: &str, printed: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    for wanted in promise.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
        if !lines.any(|line| matches(wanted.trim(), line.trim())) {
            return Err(wanted.to_owned());
        }
    }
    Ok(())
}

fn matches(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || wanted.ends_with('…')
}

#[test]
fn expected_output_is_matched_in_order() {
    let printed = "Summary:\n  Total:\t12 ms\n  [200] 20 responses\n";
    assert_eq!(is_printed("Summary:\n…\n  [200] … responses\n", printed), Ok(()));
    assert_eq!(is_printed("Total:…\n", printed), Ok(()));
    assert!(is_printed("[401] … responses\n", printed).is_err());
    assert!(is_printed("[200] 20\n", printed).is_err());
    assert!(is_printed("[200] 20 responses\nSummary:\n", printed).is_err());
}

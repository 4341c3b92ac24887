//! The binary as a process: exit codes, the command line, logs, reload, the demo.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

#[path = "gateway/support/mod.rs"]
mod support;

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::client::Client;
use support::figures::metric;
use support::origin::{Emission, Origin};
use support::process::Process;
use support::server::{Rillgate, wait_listening};
use support::setup::Setup;
use support::wait::{DEADLINE, eventually};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

fn run(arguments: &[&str]) -> Output {
    Rillgate::command().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_and_version_exit_0_and_invalid_arguments_exit_2() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["help"], &["token", "--help"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("Usage:"), "{arguments:?}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(text(&version.stdout), format!("rillgate {}\n", env!("CARGO_PKG_VERSION")));

    for arguments in
        [&[][..], &["fly"], &["serve", "--fast"], &["demo", "--port", "70000"], &["token"], &["serve", "x"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_schema_is_a_json_schema() {
    let output = run(&["schema"]);

    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for table in ["server", "listeners", "limits", "upstreams", "routes", "issuers", "admin"] {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
}

#[test]
fn completions_and_manual_pages_are_made_from_the_arguments() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("doctor"), "{shell}");
    }
    let script = text(&run(&["completions", "bash"]).stdout);
    let typed = "\nCOMP_WORDS=(rillgate ser) COMP_CWORD=1; _rillgate rillgate ser rillgate; echo ${COMPREPLY[@]}";
    let bash = Command::new("bash").args(["-c", &(script + typed)]).output().unwrap();
    assert_eq!(text(&bash.stdout), "serve\n", "{bash:?}");

    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", &folder.path().display().to_string()]).status.code(), Some(0));
    for (page, words) in [("rillgate.1", "78 invalid configuration"), ("rillgate-serve.1", "RILLGATE_CONFIG")] {
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(page.contains(words), "{page}");
    }
}

#[test]
fn a_token_is_minted_with_the_given_claims() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("hmac.key");
    std::fs::write(&key, [7; 32]).unwrap();
    let key = key.display().to_string();

    let output = run(&[
        "token",
        "--key",
        &key,
        "--issuer",
        "https://id.example/",
        "--audience",
        "rillgate",
        "--subject",
        "someone",
        "--ttl",
        "5m",
    ]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let token = text(&output.stdout);
    let parts: Vec<_> = token.trim().split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, parts[1]).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&"https://id.example/".into(), &"someone".into()));

    let missing = run(&["token", "--key", "/does/not/exist", "--issuer", "i", "--audience", "a"]);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing.stderr));
    assert!(text(&missing.stderr).contains("/does/not/exist"));
}

#[test]
fn check_and_serve_refuse_the_same_files_with_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let good = Setup::for_origin("http://127.0.0.1:9").toml();
    let files = [
        ("syntax", "[server\n".to_owned()),
        ("empty", String::new()),
        ("unknown", good.replace("[limits]", "[limits]\nconections = 5")),
        ("types", good.replace("[limits]", "[limits]\nconnections = \"many\"\nstall_timeout = 5")),
        ("certificate", good.replace("[[routes]]", "tls = 1\n[[routes]]")),
        ("proxies", Setup::for_origin("http://127.0.0.1:9").listener("trusted_proxies = [\"127.0.0.1/32\"]").toml()),
        ("two", good.replace("auth = \"public\"", "").replace("http://127.0.0.1:9", "ftp://127.0.0.1:9")),
        (
            "missing",
            Setup::for_origin("http://127.0.0.1:9")
                .listener("tls = { certificates = [{ chain = \"no.pem\", key = \"no.key\" }] }")
                .toml(),
        ),
        (
            "no key",
            Setup::for_origin("http://127.0.0.1:9")
                .listener("tls = { certificates = [{ chain = \"hello.pem\", key = \"hello.pem\" }] }")
                .toml(),
        ),
    ];
    std::fs::write(folder.path().join("hello.pem"), "hello").unwrap();
    for (name, toml) in files {
        let path = folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, toml).unwrap();
        let path = path.display().to_string();

        let [checked, served] = ["check", "serve"].map(|command| run(&[command, "--config", &path]));

        assert_eq!((checked.status.code(), served.status.code()), (Some(78), Some(78)), "{name}");
        assert_eq!(text(&checked.stderr), text(&served.stderr), "{name}");
        assert!(text(&checked.stderr).contains(&path), "{name}: {}", text(&checked.stderr));
    }
    for command in ["check", "serve"] {
        let absent = run(&[command, "--config", "/does/not/exist.toml"]);
        assert_eq!(absent.status.code(), Some(78));
        assert!(text(&absent.stderr).contains("/does/not/exist.toml"));
    }

    let path = folder.path().join("good.toml");
    std::fs::write(&path, good).unwrap();
    let checked = run(&["check", "--config", &path.display().to_string()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(!checked.stdout.is_empty(), "a summary");
    let from_environment = Rillgate::command().arg("check").env("RILLGATE_CONFIG", &path).output().unwrap();
    assert_eq!(from_environment.status.code(), Some(0));
}

#[test]
fn a_port_in_use_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = folder.path().join("rillgate.toml");
    let toml = Setup::for_origin("http://127.0.0.1:9").toml();
    std::fs::write(&path, toml.replacen("127.0.0.1:0\"\n\n[upstreams", &format!("{address}\"\n\n[upstreams"), 1))
        .unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains(&address), "the listener's address is replaced");

    let output = run(&["serve", "--config", &path.display().to_string()]);

    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_health_check_tells_ready_from_draining_and_from_gone() {
    let gateway = Setup::for_origin("http://127.0.0.1:9").server("drain = { notice = \"60s\" }").start().await;
    let admin = gateway.admin().to_string();
    let health = |arguments: &[&str]| {
        let output = run(&[&["health"], arguments].concat());
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.code(), text(&said).trim().to_owned())
    };
    assert_eq!(health(&["--admin", &admin]), (Some(0), "ready".to_owned()));
    assert_eq!(health(&["--admin", &admin, "--live"]), (Some(0), "live".to_owned()));

    // Of the file, only the address is read: the running gateway has refused the rest.
    let file = gateway.rewrite(&format!("[[ruotes]]\n[admin]\naddress = \"{admin}\"\nhosts = 5\n"));
    let file = file.display().to_string();
    assert_eq!(health(&["--config", &file]), (Some(0), "ready".to_owned()));

    gateway.signal("TERM");
    eventually(DEADLINE, || async { health(&["--admin", &admin]) == (Some(1), "not ready: draining".to_owned()) })
        .await;
    assert_eq!(health(&["--admin", &admin, "--live"]), (Some(0), "live".to_owned()), "a restart would cut the drain");

    gateway.kill().await;
    let (status, said) = health(&["--config", &file]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("cannot ask the admin port at {admin}")), "{said}");
}

#[test]
fn a_health_check_without_an_address_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rillgate.toml");
    for (toml, said) in [
        ("[server]", "there is no [admin]"),
        ("[admin]\naddress = \"127.0.0.1:0\"", "--admin"),
        ("[admin]\naddress = 5", "expected an IP address and a port"),
        ("[admin", "rillgate.toml"),
    ] {
        std::fs::write(&path, toml).unwrap();
        let output = run(&["health", "--config", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{toml}");
        assert!(text(&output.stderr).contains(said), "{toml}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn json_logs_are_one_object_per_line_and_dependencies_are_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rillgate.toml");
    std::fs::write(&path, Setup::for_origin("http://127.0.0.1:9").toml()).unwrap();
    let mut command = Rillgate::command();
    command.args(["serve", "--log-format", "json", "--config"]).arg(&path);
    let process = Process::start(&mut command);
    let listening = wait_listening(&process, 2).await;
    let _ = Client::http1(listening[0].address).subscribe("/prices?follow=false", &[]).await;

    process.signal("TERM");
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(0));

    for line in process.log() {
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(entry["level"].is_string() && entry["timestamp"].is_string(), "{line}");
        let target = entry["target"].as_str().unwrap_or_default();
        assert!(target.starts_with("rillgate"), "RILLGATE_LOG=debug is for rillgate alone: {line}");
    }
}

#[tokio::test]
async fn a_reload_adds_a_route_and_an_invalid_file_changes_nothing() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let gateway = setup.start().await;
    let client = Client::http2(gateway.address());
    let mut open = client.subscribe("/prices", &[]).await;
    origin.wait_open(1).await;
    assert_eq!(client.subscribe("/news/today", &[]).await.status, 404);

    gateway.rewrite(&setup.toml().replace("[[routes]]", "[[ruotes]]"));
    gateway.signal("HUP");
    gateway.wait_line("configuration not reloaded", DEADLINE).await;
    assert_eq!(client.subscribe("/news/today", &[]).await.status, 404);
    assert_eq!(metric(&gateway, "config_reloads_total", &["result=\"refused\""]).await, 1.0);

    let more = "[[routes]]\nname = \"news\"\npath = \"/news/{day}\"\nupstream = \"origin\"\nauth = \"public\"";
    gateway.rewrite(&setup.clone().server("workers = 7").limits("streams = 7").after(more).toml());
    gateway.signal("HUP");
    gateway.wait_line("configuration reloaded", DEADLINE).await;
    let without_effect: Vec<_> = gateway.log().into_iter().filter(|line| line.contains("restart")).collect();
    assert!(matches!(without_effect.as_slice(), [line] if line.contains("table=\"server\"")), "{without_effect:?}");
    let mut news = client.subscribe("/news/today", &[]).await;
    assert_eq!(news.status, 200);
    assert_eq!(metric(&gateway, "config_reloads_total", &["result=\"ok\""]).await, 1.0);

    origin.wait_open(2).await;
    origin.emit(Emission::event("1", "", "to all"));
    assert_eq!(open.next_event(DEADLINE).await.data, "to all");
    assert_eq!(news.next_event(DEADLINE).await.data, "to all");
}

#[tokio::test]
async fn a_reload_opens_new_always_open_streams_and_releases_former_ones() {
    let (before, after) = (Origin::start().await, Origin::start().await);
    let setup = |origin: &Origin| {
        let always = "[[routes]]\nname = \"always\"\npath = \"/news/today\"\nupstream = \"origin\"\nauth = \"public\"\n\
                      open = \"always\"\ndelivery.linger = \"10ms\"";
        Setup::for_origin(&origin.url()).after(always)
    };
    let gateway = setup(&before).start().await;
    before.wait_open(1).await;

    gateway.rewrite(&setup(&after).toml());
    gateway.signal("HUP");

    after.wait_open(1).await;
    eventually(DEADLINE, || async { before.connections().open == 0 }).await;
    // An unchanged route keeps its connection.
    gateway.signal("HUP");
    eventually(DEADLINE, || async { metric(&gateway, "config_reloads_total", &["result=\"ok\""]).await == 2.0 }).await;
    assert_eq!(after.requests().len(), 1);
    assert_eq!(after.connections().open, 1);
}

/// Starts a demo on a free port. Returns the process, the port and the command line to copy.
async fn demo() -> (Process, u16, String) {
    let process = Process::start(Rillgate::command().args(["demo", "--port", "0"]));
    let listening = wait_listening(&process, 2).await;
    let line = process.wait_line("curl -", DEADLINE).await;
    let demo = listening.iter().find(|listener| listener.tls).expect("the demo's own listener");
    (process, demo.address.port(), line.trim().to_owned())
}

#[tokio::test]
async fn the_demo_has_an_admin_port() {
    let (process, _port, _line) = demo().await;
    let told = process.wait_line("http://127.0.0.1:", DEADLINE).await;
    let status_page = told.split(' ').find(|word| word.starts_with("http://127")).expect("a URL");

    let fetched =
        tokio::process::Command::new("curl").args(["-sS", "--max-time", "20", status_page]).output().await.unwrap();

    let page = String::from_utf8(fetched.stdout).unwrap();
    assert!(page.contains("<title>") && page.contains("streams"), "{page}");
    process.signal("INT");
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(0));
}

#[tokio::test]
async fn the_printed_command_of_the_demo_shows_events_within_a_second() {
    let (process, port, line) = demo().await;
    assert!(line.contains(&format!("https://localhost:{port}/")), "{line}");

    for protocol in ["", "--http1.1", "--http2"] {
        let pasted = line.replacen("curl ", &format!("exec curl {protocol} "), 1);
        let began = Instant::now();
        let mut shell = tokio::process::Command::new("sh")
            .args(["-c", &pasted])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.starts_with("data:") {
                    return;
                }
            }
            panic!("curl ended without an event: {pasted}");
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("an event");
        // One second on an idle machine; tests run in parallel with others.
        assert!(began.elapsed() < Duration::from_secs(5), "{protocol}: {:?}", began.elapsed());
    }

    process.signal("INT");
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_serves_its_page_and_cleans_up() {
    let (process, port, _line) = demo().await;
    let folder = process.wait_line("configuration:", DEADLINE).await;
    let config = std::path::PathBuf::from(folder.rsplit(' ').next().unwrap());
    assert!(config.exists(), "{config:?}");

    let mut curl = tokio::process::Command::new("curl")
        .args(["-sSk", "-i", "--max-time", "20", &format!("https://localhost:{port}/")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut page = String::new();
    curl.stdout.take().unwrap().read_to_string(&mut page).await.unwrap();
    assert!(curl.wait().await.unwrap().success());
    let head = page.split("\r\n\r\n").next().unwrap().to_lowercase();
    assert!(head.contains(" 200") && head.contains("text/html"), "{head}");
    assert!(page.contains("<script") && page.contains("curl"), "a page that reads streams, and the line to paste");

    let config_of_demo = config.display().to_string();
    let checked = Command::new(env!("CARGO_BIN_EXE_rillgate")).args(["check", "--config", &config_of_demo]).output();
    assert_eq!(checked.unwrap().status.code(), Some(0), "what the demo runs on is an ordinary configuration");
    process.signal("TERM");
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(0));
    eventually(DEADLINE, || async { !config.exists() }).await;
}

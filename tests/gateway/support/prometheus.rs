//! A real Prometheus from Debian that scrapes a gateway every other second, and its promtool.
//!
//! Always true: it listens on a port that the system chose, keeps its data in a temporary folder, and is stopped when
//! dropped. Values are queried over its HTTP API, as a dashboard does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::process::Process;
use super::raw::Raw;
use super::wait::{DEADLINE, eventually};

/// A running Prometheus with the rules of `deploy/prometheus`.
pub struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// A series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// Returns the folder `deploy/prometheus`.
pub fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

impl Prometheus {
    /// Starts a Prometheus that scrapes this admin port as `deploy/prometheus` does, but more often.
    pub async fn scraping(admin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for rules in ["recording.yml", "alerts.yml"] {
            std::fs::copy(deployed().join(rules), folder.path().join(rules)).unwrap();
        }
        let config = std::fs::read_to_string(deployed().join("prometheus.yml")).unwrap();
        let config = config.replace("127.0.0.1:9464", &admin.to_string());
        let config = config.replace(" 15s", " 2s").replace(" 10s", " 2s");
        assert!(config.contains(&admin.to_string()) && config.contains("scrape_interval: 2s"), "{config}");
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();

        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let process = Process::start(&mut command);
        let line = process.wait_line("msg=\"Listening on\"", DEADLINE).await;
        let address = line.split("address=").nth(1).and_then(|rest| rest.trim().parse().ok()).expect("an address");
        let prometheus = Self { address, _process: process, _folder: folder };
        eventually(DEADLINE, || async {
            prometheus.query("up").await.is_ok_and(|up| up.iter().any(|sample| sample.value == 1.0))
        })
        .await;
        prometheus
    }

    /// Returns the address of its HTTP API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Evaluates an expression now; the error is Prometheus' own, for invalid PromQL.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        // HTTP/1.0 gives a response without chunks, to the end of the connection.
        let request = format!("GET /api/v1/query?{query} HTTP/1.0\r\n\r\n");
        let text = Raw::exchange(&Client::http1(self.address), request.as_bytes()).await;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let answer: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {text}"))?;
        match (answer["status"].as_str(), answer["data"]["resultType"].as_str()) {
            (Some("success"), Some("vector")) => Ok(samples(&answer["data"]["result"])),
            (Some("success"), Some("scalar")) => {
                let value = number(&answer["data"]["result"][1]);
                Ok(vec![Sample { labels: BTreeMap::new(), value }])
            }
            _ => Err(answer["error"].as_str().unwrap_or(body).to_owned()),
        }
    }

    /// Returns the sum of an expression's values; 0 if there are none.
    pub async fn sum(&self, expression: &str) -> f64 {
        let samples = self.query(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
        samples.iter().map(|sample| sample.value).sum()
    }
}

fn samples(result: &Value) -> Vec<Sample> {
    let one = |series: &Value| Sample {
        labels: serde_json::from_value(series["metric"].clone()).expect("labels"),
        value: number(&series["value"][1]),
    };
    result.as_array().expect("a vector").iter().map(one).collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a number as Prometheus writes it")
}

/// Runs promtool in `deploy/prometheus` with this input, and returns its output.
///
/// # Panics
/// Panics with its output if it reports a problem.
pub fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(deployed())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; tests/run installs it with Prometheus"));
    child.stdin.take().expect("piped above").write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {}\n{text}", output.status);
    text
}

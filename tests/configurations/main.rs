//! Whole configurations, drawn from the schema's own bounds, in front of upstreams that do odd things.
//!
//!     cargo test --test configurations                                        some hundred draws
//!     RILLGATE_DRAWS=10000 cargo test --test configurations                   as many as one likes
//!     RILLGATE_SEED=7 cargo test --test configurations                        what seed 7 draws
//!     RILLGATE_SEED=7 RILLGATE_DRAW=123 cargo test --test configurations      its draw 123 alone
//!
//! The test looks for a class of defects: arithmetic on configured and received numbers. So gateways run in this process,
//! where no panic of any thread can hide, and each one has to answer, to survive and to drain. A new key is included
//! without a change here.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run tasks of their own, and a failed assumption is a failed test"
)]

mod ask;
mod draw;
mod odd;
#[path = "../gateway/support/mod.rs"]
mod support;
mod trial;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rillgate::auth::mint::{SigningKey, TokenSpec, mint};
use tracing_subscriber::EnvFilter;

use crate::odd::Upstream;
use crate::support::certificates::Authority;
use crate::trial::{Outcome, SharedFixture, play};

/// The number of draws without RILLGATE_DRAWS.
const DRAWS: u64 = 400;
/// The number of concurrent draws; most of a draw is waiting.
const AT_A_TIME: usize = 16;

/// The panics of this process. Never held across an await.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn random_configurations_and_upstreams_never_break_the_gateway() {
    let seed = setting("RILLGATE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let draws = setting("RILLGATE_DRAWS").unwrap_or(DRAWS);
    let draws = setting("RILLGATE_DRAW").map_or(0..draws, |one| one..one + 1);
    report(&format!("{} draws, RILLGATE_SEED={seed}", draws.end - draws.start));
    watch_panics_and_logs();
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();

    let figures = runtime.block_on(run(seed, draws));

    report(&format!("{figures} in {:.0} s", began.elapsed().as_secs_f64()));
    assert!(figures.wrong.is_empty(), "{} draws went wrong. The first:\n{}", figures.wrong.len(), figures.wrong[0]);
    assert!(PANICS.lock().is_empty());
    assert!(figures.refused <= figures.draws, "most of what is drawn is refused: {figures}");
    assert!(figures.statuses.get(&200).is_some_and(|count| *count as u64 * 4 > figures.draws), "{figures}");
}

/// The sum of all outcomes.
#[derive(Debug, Default)]
struct Figures {
    draws: u64,
    refused: u64,
    mended: u64,
    statuses: BTreeMap<u16, usize>,
    unawaited: usize,
    upstream_requests: usize,
    wrong: Vec<String>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { draws, refused, mended, statuses, unawaited, upstream_requests, wrong } = self;
        write!(
            f,
            "{draws} draws ({mended} mended, {refused} more refused), {upstream_requests} upstream requests, answers {statuses:?}, \
             {unawaited} not waited for, {} wrong",
            wrong.len()
        )
    }
}

async fn run(seed: u64, draws: std::ops::Range<u64>) -> Figures {
    let fixture = Arc::new(fixture());
    let figures = Arc::new(Mutex::new(Figures::default()));
    let next = Arc::new(AtomicU64::new(draws.start));
    let players = (0..AT_A_TIME).map(|_| {
        let (fixture, figures, next) = (fixture.clone(), figures.clone(), next.clone());
        tokio::spawn(async move {
            let upstream = Upstream::start().await;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= draws.end {
                    return;
                }
                let panics = PANICS.lock().len();
                let played = play(seed.wrapping_mul(1 << 20).wrapping_add(number), &fixture, &upstream).await;
                let panicked = PANICS.lock()[panics..].join("\n");
                figures.lock().add(number, played.map_err(|account| account.to_string()), &panicked);
            }
        })
    });
    for player in players.collect::<Vec<_>>() {
        player.await.unwrap();
    }
    Arc::into_inner(figures).expect("all players have left").into_inner()
}

impl Figures {
    fn add(&mut self, number: u64, played: Result<Outcome, String>, panicked: &str) {
        self.draws += 1;
        let wrong = match played {
            Ok(outcome) => {
                self.refused += outcome.refused as u64;
                self.mended += outcome.mended as u64;
                outcome.statuses.iter().for_each(|status| *self.statuses.entry(*status).or_default() += 1);
                self.unawaited += outcome.unawaited;
                self.upstream_requests += outcome.upstream_requests;
                (!panicked.is_empty()).then(|| "it, or another draw under way, panicked".to_owned())
            }
            Err(wrong) => Some(wrong),
        };
        if let Some(wrong) = wrong {
            report(&format!("RILLGATE_DRAW={number}: {}\n{panicked}", wrong.lines().next().unwrap_or_default()));
            self.wrong.push(format!("RILLGATE_DRAW={number}: {wrong}\n{panicked}"));
        }
    }
}

fn fixture() -> SharedFixture {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let identity = authority.server();
    let secret = "s".repeat(32);
    for (name, content) in
        [("server.pem", &identity.chain_pem), ("server.key", &identity.key_pem), ("hmac.key", &secret)]
    {
        std::fs::write(files.path().join(name), content).unwrap();
    }
    let claims = serde_json::json!({ "scope": "read write", "level": 3, "name": "a", "streams": ["/*", "/x/*", "/w"] });
    let order = TokenSpec {
        issuer: "https://id.test/".into(),
        audience: vec!["rillgate".into()],
        subject: Some("somebody".into()),
        ttl: Duration::from_secs(3600),
        claims: claims.as_object().unwrap().clone(),
        kid: None,
        typ: None,
    };
    rillgate::auth::install_provider();
    let token = mint(&SigningKey::read(secret.as_bytes(), None).unwrap(), &order, SystemTime::now()).unwrap();
    SharedFixture { schema: rillgate::config::schema(), files, tls: Arc::new(authority.client_config()), token }
}

/// Records every panic of this process, and every log line that reports one. Lines are formatted as in production, and
/// discarded.
fn watch_panics_and_logs() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.lock().push(panic.to_string());
        default(panic);
    }));
    tracing_subscriber::fmt().with_env_filter(EnvFilter::new("rillgate=debug")).with_writer(|| Lines).init();
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if memchr::memmem::find(line, b"panicked").is_some() {
            PANICS.lock().push(String::from_utf8_lossy(line).into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Prints a line that the test harness does not capture.
fn report(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

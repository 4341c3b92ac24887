//! The wall clock is set while responses are open.
//!
//! The clock of the gateway's process alone is set, by a library that is loaded before the system's.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::fixture::{AuthFixture, PROTOCOLS, bearer, in_seconds, route, token};
use crate::support::origin::Emission;
use crate::support::server::Rillgate;
use crate::support::subscription::Ending;
use crate::support::wait::DEADLINE;

/// The library: the wall clock is an hour ahead while a file exists. All other clocks are the system's.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*system_clock)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = system_clock(clock, now);
    if (clock == CLOCK_REALTIME && access(getenv("CLOCK_IS_SET"), F_OK) == 0) {
        now->tv_sec += 3600;
    }
    return result;
}
"#;

/// A wall clock that can be set an hour ahead.
struct WallClock {
    folder: TempDir,
}

impl WallClock {
    fn build() -> Self {
        let clock = Self { folder: tempfile::tempdir().unwrap() };
        let source = clock.path("clock.c");
        std::fs::write(&source, LIBRARY).unwrap();
        // The crate's own dependencies need a C compiler as well.
        let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
        compiler.args(["-shared", "-fPIC", "-o"]).arg(clock.path("clock.so")).arg(source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        clock
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn start(&self, config: &str) -> Rillgate {
        let [library, file] = [self.path("clock.so"), self.path("set")].map(|path| path.display().to_string());
        Rillgate::start_with(config, &[("LD_PRELOAD", &library), ("CLOCK_IS_SET", &file)]).await
    }

    fn set(&self) {
        std::fs::write(self.path("set"), "").unwrap();
    }
}

#[tokio::test]
async fn responses_end_when_the_wall_clock_is_set_past_the_expiry_of_their_tokens() {
    let (fixture, clock) = (AuthFixture::new().await, WallClock::build());
    let gateway = clock.start(&fixture.config_with_main("0s", &route("prices", "/prices/{symbol}", ""))).await;
    let of = |seconds: f64| bearer(&token(&json!({ "exp": in_seconds(seconds) })));
    let (expiring, lasting) = (of(1800.0), of(7200.0));
    let (mut ending, mut remaining) = (Vec::new(), Vec::new());
    for client in PROTOCOLS.map(|protocol| fixture.client(protocol, &gateway)) {
        ending.push(client.subscribe("/prices/x", &[("authorization", &expiring)]).await);
        remaining.push(client.subscribe("/prices/x", &[("authorization", &lasting)]).await);
    }

    clock.set();

    for mut subscription in ending {
        assert_eq!(subscription.ending(DEADLINE).await, Ending::Clean);
    }
    gateway.wait_line("the system clock was set", DEADLINE).await;
    fixture.origin.emit(Emission::event("1", "price", "42"));
    for mut subscription in remaining {
        assert_eq!(subscription.next_event(DEADLINE).await.data, "42");
    }
    for client in PROTOCOLS.map(|protocol| fixture.client(protocol, &gateway)) {
        let late = client.subscribe("/prices/x", &[("authorization", &expiring)]).await;
        assert_eq!(late.status.as_u16(), 401);
    }
}

//! A wall clock that differs from the machine's, for one process.
//!
//! A library that is loaded before the system's changes what the process is told. Always true: all other clocks are the
//! system's.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The library: the wall clock is ahead by some seconds, and by an hour more while a file exists.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*system_clock)(clockid_t, struct timespec *);
    if (!system_clock) {
        system_clock = dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = system_clock(clock, now);
    if (clock == CLOCK_REALTIME) {
        now->tv_sec += atol(getenv("CLOCK_AHEAD"));
        if (access(getenv("CLOCK_IS_SET"), F_OK) == 0) {
            now->tv_sec += 3600;
        }
    }
    return result;
}
"#;

/// A wall clock. It differs only for processes that have its environment.
pub struct WallClock {
    folder: TempDir,
}

impl WallClock {
    /// Builds the library.
    pub fn build() -> Self {
        let clock = Self { folder: tempfile::tempdir().unwrap() };
        let source = clock.path("clock.c");
        std::fs::write(&source, LIBRARY).unwrap();
        // The crate's own dependencies need a C compiler as well.
        let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clock.path("clock.so")).arg(source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        clock
    }

    /// Returns the variables for a process whose clock is ahead by these seconds, which may be negative.
    pub fn environment(&self, ahead: i64) -> [(&'static str, String); 3] {
        let path = |name| self.path(name).display().to_string();
        [("LD_PRELOAD", path("clock.so")), ("CLOCK_AHEAD", ahead.to_string()), ("CLOCK_IS_SET", path("set"))]
    }

    /// Sets the clock an hour ahead.
    pub fn set(&self) {
        std::fs::write(self.path("set"), "").unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

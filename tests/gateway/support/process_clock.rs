//! Clocks of one process that differ from the machine's: set to another time, or held while the process is stopped.
//!
//! A library that is loaded before the system's changes what the process is told.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

/// The library: two numbers in a file, which it maps, say by how many nanoseconds the wall clock is ahead, and by how
/// many all clocks are behind.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const volatile long long *numbers;

__attribute__((constructor)) static void map_numbers(void) {
    int file = open(getenv("PROCESS_CLOCK"), O_RDONLY | O_CLOEXEC);
    void *page = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) {
        abort();
    }
    numbers = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*system_clock)(clockid_t, struct timespec *);
    if (!system_clock) {
        system_clock = dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = system_clock(clock, now);
    if (numbers) {
        long long time = now->tv_sec * 1000000000LL + now->tv_nsec - numbers[1];
        time += clock == CLOCK_REALTIME ? numbers[0] : 0;
        now->tv_sec = time / 1000000000LL;
        now->tv_nsec = time % 1000000000LL;
    }
    return result;
}
"#;

/// The clocks of a process. They differ only for a process that has their environment.
pub struct ProcessClock {
    folder: TempDir,
    numbers: File,
    behind: Duration,
}

impl ProcessClock {
    /// Builds the library. The clocks are the machine's so far.
    pub fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("clock.c");
        std::fs::write(&source, LIBRARY).unwrap();
        // The crate's own dependencies need a C compiler as well.
        let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("clock.so")).arg(source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        std::fs::write(folder.path().join("numbers"), [0; 16]).unwrap();
        let numbers = File::options().write(true).open(folder.path().join("numbers")).unwrap();
        Self { folder, numbers, behind: Duration::ZERO }
    }

    /// Returns the variables for the process.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |name| self.folder.path().join(name).display().to_string();
        [("LD_PRELOAD", path("clock.so")), ("PROCESS_CLOCK", path("numbers"))]
    }

    /// Sets the wall clock ahead of the machine's by these seconds, which may be negative.
    pub fn set_wall_clock_ahead(&self, seconds: i64) {
        self.numbers.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0).unwrap();
    }

    /// Holds all clocks for a time that has just passed: those of a stopped process, or they would go backwards.
    pub fn hold(&mut self, held: Duration) {
        self.behind += held;
        let behind = i64::try_from(self.behind.as_nanos()).unwrap();
        self.numbers.write_all_at(&behind.to_ne_bytes(), 8).unwrap();
    }
}

//! The `process_*` metrics that Prometheus client libraries export, read from `/proc` when rendered.
//!
//! A value that cannot be read is omitted; on systems other than Linux that is all of them. Rendered here and not
//! through the recorder, whose counters are integers: processor time is not.

use std::fmt::Write as _;
use std::fs;

/// Renders the metrics in the text format, with a blank line after each.
pub(super) fn render() -> String {
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text));
    let boot_time = || fs::read_to_string("/proc/stat").ok().and_then(|text| field(&text, "btime"));
    let limits = || fs::read_to_string("/proc/self/limits").ok();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name| field(&status, name).map(|kilobytes| kilobytes * 1024.0);

    let facts = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            stat.as_ref().map(|stat| stat.cpu_ticks / TICKS_PER_SECOND),
        ),
        (
            "process_max_fds",
            "gauge",
            "Maximum number of open file descriptors.",
            limits().and_then(|text| max_fds(&text)),
        ),
        ("process_open_fds", "gauge", "Number of open file descriptors.", open_fds()),
        ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", kilobytes("VmRSS:")),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            stat.as_ref().and_then(|stat| Some(boot_time()? + stat.start_ticks / TICKS_PER_SECOND)),
        ),
        ("process_threads", "gauge", "Number of OS threads in the process.", field(&status, "Threads:")),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", kilobytes("VmSize:")),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in facts {
        if let Some(value) = value {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
    text
}

/// The times of `/proc/self/stat`, in ticks.
struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field, the program's name in parentheses, may contain spaces and parentheses itself.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1, and `rest` begins with field 3.
        let number = |position: usize| fields.get(position - 3)?.parse::<f64>().ok();
        Some(Self { cpu_ticks: number(14)? + number(15)?, start_ticks: number(22)? })
    }
}

/// Returns the first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the soft limit, or `None` if it is unlimited.
fn max_fds(limits: &str) -> Option<f64> {
    field(limits, "Max open files")
}

fn open_fds() -> Option<f64> {
    // Since Linux 6.2 the directory's size is the number of descriptors, which avoids listing a hundred thousand of
    // them.
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    if size > 0 {
        return Some(size as f64);
    }
    // Less the descriptor that reads the directory.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

/// `USER_HZ`. The kernel's interface fixes it at 100 on every architecture that Rust's standard library supports.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_a_parenthesis_does_not_shift_the_fields() {
        let text = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 4200 0 0";

        let stat = Stat::parse(text).unwrap();

        assert_eq!((stat.cpu_ticks, stat.start_ticks), (200.0, 4200.0));
    }

    #[test]
    fn an_unlimited_number_of_files_is_none() {
        assert_eq!(max_fds("Max open files            unlimited            unlimited            files\n"), None);
        assert_eq!(
            max_fds("Max open files            1024                 4096                 files\n"),
            Some(1024.0)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_process_metrics_are_rendered_on_linux() {
        let text = render();

        assert_eq!(text.matches("# HELP process_").count(), 7, "{text}");
    }
}

//! The memory of the process and of the machine, as the system reports it.

use std::fs;

/// Returns the smallest of the control group's limit (version 2, then 1) and the machine's memory. `None` if the
/// system reports neither.
pub fn available() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = own_group().and_then(|group| number(&format!("/sys/fs/cgroup{group}/memory.max")));
    let limits = [
        group,
        number("/sys/fs/cgroup/memory.max"),
        number("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        kilobytes("/proc/meminfo", "MemTotal:"),
    ];
    limits.into_iter().flatten().min()
}

/// Returns this process's control group, for systems where it is not the root of the visible hierarchy.
fn own_group() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(ToOwned::to_owned)
}

/// Returns the resident memory of the process in bytes.
pub(super) fn resident() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

fn kilobytes(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_and_available_memory_are_read_from_the_system() {
        let resident = resident().expect("/proc has it");

        assert!(available().expect("/proc has it") > resident);
    }
}

//! The cost of a server as the kernel counts it: CPU time and memory of a process and its children.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Stops a process: first with SIGTERM, and after a second with SIGKILL. The workers of nginx end when their master is told
/// to, not when it is killed.
pub fn stop(child: &mut Child) {
    let workers = tree(child.id());
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    if matches!(child.try_wait(), Ok(None)) {
        // Its workers would outlive it, with all their connections.
        for process in workers {
            let _ = Command::new("kill").arg("-KILL").arg(process.to_string()).status();
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Moves a thread to a core, or all threads of its process.
pub fn move_to_core(id: &str, moves_all: bool, core: &str) -> Outcome<()> {
    let moved = Command::new("taskset").args(moves_all.then_some("-a")).args(["-c", "-p", core, id]).output()?;
    match moved.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&moved.stderr).trim().into()),
    }
}

/// Kills all processes that this one has started, and those that they have started.
pub fn kill_children() {
    for process in tree(std::process::id()).into_iter().skip(1) {
        let _ = Command::new("kill").arg("-KILL").arg(process.to_string()).status();
    }
}

/// A process and all below it.
pub fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        next += 1;
        for task in tasks(process) {
            let children = fs::read_to_string(format!("{task}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    found
}

/// CPU seconds that these processes have used, to the nanosecond.
pub fn cpu_seconds(processes: &[u32]) -> f64 {
    let nanoseconds = |task: String| {
        let times = fs::read_to_string(format!("{task}/schedstat")).ok()?;
        times.split_whitespace().next()?.parse::<f64>().ok()
    };
    processes.iter().flat_map(|process| tasks(*process)).filter_map(nanoseconds).sum::<f64>() / 1e9
}

/// Memory that is theirs, shared pages in proportion, in KiB.
pub fn pss_kib(processes: &[u32]) -> Outcome<f64> {
    let mut sum = 0.0;
    for process in processes {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
        sum += line.trim().trim_end_matches("kB").trim().parse::<f64>()?;
    }
    Ok(sum)
}

/// Seconds for which a core was busy with anything.
pub fn core_seconds(core: usize) -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).ok_or("no such core")?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|ticks| ticks.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy: f64 = ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, t)| t).sum();
    Ok(busy / 100.0)
}

fn tasks(process: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path().display().to_string()).collect()
}

//! The micro-benches of the gateway's own package: run by cargo, and what criterion found out kept like the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::Outcome;
use crate::plan::Run;
use crate::report::rounded;

impl Run {
    /// Runs them on the server's core. They take minutes when the gateway has to be built for them first.
    pub fn micro(&mut self) -> Outcome<()> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let found = target.join("criterion");
        // What earlier benches have left is not of this run.
        let _ = fs::remove_dir_all(&found);
        let mut command = Command::new("taskset");
        command.arg("-c").arg(self.settings.core.to_string());
        command.args(["cargo", "bench", "--locked", "--quiet", "--profile", "dist"]);
        command.args(["--bench", "micro", "--", "--quick"]);
        if !command.status()?.success() {
            return Err("the micro-benches failed".into());
        }
        let mut rows = Vec::new();
        collect(&found, &mut rows)?;
        rows.sort_by_key(|row| row["what"].as_str().map(natural));
        rows.into_iter().for_each(|row| self.report.keep(row));
        Ok(())
    }
}

/// Numbers within a name count as numbers.
fn natural(name: &str) -> Vec<(bool, u64, String)> {
    name.split(' ')
        .map(|word| word.parse().map_or((true, 0, word.to_owned()), |number| (false, number, String::new())))
        .collect()
}

/// Every `new/estimates.json` below a folder, with the name that stands beside it.
fn collect(folder: &Path, rows: &mut Vec<Value>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "new") {
            let read = |name: &str| -> Outcome<Value> { Ok(serde_json::from_slice(&fs::read(path.join(name))?)?) };
            let what = read("benchmark.json")?["full_id"].as_str().ok_or("a bench without a name")?.replace('/', ": ");
            let nanoseconds = read("estimates.json")?["median"]["point_estimate"].as_f64().ok_or("no median")?;
            rows.push(json!({ "what": what, "nanoseconds": rounded(nanoseconds) }));
        } else {
            collect(&path, rows)?;
        }
    }
    Ok(())
}

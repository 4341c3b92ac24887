//! Versions of packages, as lock files have them.

use std::path::Path;

/// A package with its version in a lock file.
pub struct Locked {
    /// The path of the lock file, from the repository's root.
    pub file: &'static str,
    pub name: &'static str,
}

impl Locked {
    /// # Panics
    /// Panics if the lock file does not have the package.
    pub fn version(&self) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => {
                let lock: serde_json::Value = serde_json::from_str(&text).unwrap();
                let version = &lock["packages"][format!("node_modules/{}", self.name)]["version"];
                version.as_str().map(str::to_owned)
            }
            Some("lock") => {
                let lock: toml::Table = text.parse().unwrap();
                let packages = lock["package"].as_array().unwrap();
                let package = packages.iter().find(|package| package["name"].as_str() == Some(self.name));
                package.and_then(|package| package["version"].as_str()).map(str::to_owned)
            }
            _ => text.lines().find_map(|line| line.strip_prefix(self.name)?.strip_prefix("==")).map(str::to_owned),
        };
        found.unwrap_or_else(|| panic!("no {} in {}", self.name, path.display()))
    }
}

//! `rillgate check`: finds every error that would prevent `serve`, without serving.

use rillgate::Gateway;

use super::{ConfigFile, Outcome, print};

pub(super) fn run(file: &ConfigFile) -> Outcome {
    let config = file.load()?;
    Gateway::check(&config).map_err(|error| file.problem(&error))?;
    print(&config.summary().to_string())
}

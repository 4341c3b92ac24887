//! `rillgate explain`: shows step by step, without secrets, why a token may or may not read a path.

use std::time::{Duration, SystemTime};

use crate::Gateway;
use crate::auth::StepOutcome;
use clap::Args;

use super::{ConfigFile, Failure, Outcome, block_on, print};

/// The options of an explanation.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The path, as a client would request it, with its query where parameters are bound to the token.
    #[arg(long)]
    path: String,
    /// The host, for routes that are restricted to one.
    #[arg(long, default_value = "")]
    host: String,
    /// The token.
    #[arg(long, env = "RILLGATE_TOKEN", hide_env_values = true)]
    token: String,
}

/// The part of the decision that this process cannot know.
const POSTED_NOTE: &str = "note: revocations that were posted to a running gateway are not known here; \
                      GET /revocations on its admin port lists them";
/// The longest wait for keys from URLs.
const KEY_TIMEOUT: Duration = Duration::from_secs(10);

impl Explain {
    pub(super) fn run(self) -> Outcome {
        let config = self.file.load()?;
        let explained = Gateway::explain(&config, &self.host, &self.path, &self.token, SystemTime::now(), KEY_TIMEOUT);
        let explanation = block_on(explained)?.map_err(|error| self.file.problem(&error))?;
        match &explanation.route {
            Some(route) => print(&format!("route         {route} ({})", explanation.pattern))?,
            None => print(&format!("route         none matches {:?}", self.path))?,
        }
        for step in &explanation.steps {
            let held = match step.outcome {
                StepOutcome::Holds => "holds",
                StepOutcome::Fails => "FAILS",
            };
            print(&format!("{:<13} {held}  {}", step.rule, step.detail))?;
        }
        match explanation.refused {
            None => {
                print("admitted")?;
                let is_by_token = !explanation.steps.is_empty();
                if is_by_token { print(POSTED_NOTE) } else { Ok(()) }
            }
            Some(reason) => Err(Failure::Failed(format!("refused: {reason}"))),
        }
    }
}

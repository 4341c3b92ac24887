//! `rillgate explain`: why a token may read a path or may not, step by step and without secrets.

use std::time::{Duration, SystemTime};

use clap::Args;
use rillgate::Gateway;
use rillgate::auth::StepOutcome as Held;

use super::{ConfigFile, Failure, Outcome, block_on, print};

/// What is to be explained.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The path, as a client would ask for it, and its query where parameters are bound to the token.
    #[arg(long)]
    path: String,
    /// The host, for routes that are narrowed to one.
    #[arg(long, default_value = "")]
    host: String,
    /// The token.
    #[arg(long, env = "RILLGATE_TOKEN", hide_env_values = true)]
    token: String,
}

/// What this process cannot know.
const POSTED: &str = "note: revocations that were posted to a running gateway are not known here; \
                      GET /revocations on its admin port lists them";
/// How long keys may take to come from their URLs.
const KEYS: Duration = Duration::from_secs(10);

impl Explain {
    pub fn run(self) -> Outcome {
        let config = self.file.load()?;
        let explained = Gateway::explain(&config, &self.host, &self.path, &self.token, SystemTime::now(), KEYS);
        let explanation = block_on(explained)?.map_err(|error| self.file.problem(&error))?;
        match &explanation.route {
            Some(route) => print(&format!("route         {route} ({})", explanation.pattern))?,
            None => print(&format!("route         none matches {:?}", self.path))?,
        }
        for step in &explanation.steps {
            let held = match step.outcome {
                Held::Holds => "holds",
                Held::Fails => "FAILS",
            };
            print(&format!("{:<13} {held}  {}", step.rule, step.detail))?;
        }
        match explanation.refused {
            None => {
                print("admitted")?;
                let is_by_token = !explanation.steps.is_empty();
                if is_by_token { print(POSTED) } else { Ok(()) }
            }
            Some(reason) => Err(Failure::Failed(format!("refused: {reason}"))),
        }
    }
}

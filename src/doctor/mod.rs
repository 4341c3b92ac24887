//! The examination of a stream from outside: what stands between a client and the server changes what a client gets.
//!
//! Reads the stream several times at once, as a browser would and in two plainer ways, for a bounded time. Compares what
//! came, and when. Knows of the server only what its responses say, and never sees its configuration.
//!
//! | file | contents |
//! |---|---|
//! | `settings` | the URL, and what is sent with the requests |
//! | `connection` | TCP, TLS and HTTP to the URL's host |
//! | `content_decoder`, `stream_text` | the text of a response, and the heartbeats and events in it |
//! | `reading` | one response, and when its parts came |
//! | `observations` | all readings and further questions about one URL |
//! | `checks` | what each observation means |
//! | `finding`, `report` | the results |

mod checks;
mod connection;
mod content_decoder;
mod finding;
mod observations;
mod reading;
mod report;
mod settings;
mod stream_text;

pub use finding::{FindingKind, StreamFinding};
pub use report::Report;
pub use settings::{Settings, SettingsError};

use crate::runtime::tasks::Tasks;

/// Examines the stream of `settings`. Takes its reading time, and at most 20 s more.
///
/// # Errors
/// The stream cannot be read: there is no connection, no response, or one that is no event stream. Says why.
pub async fn examine(settings: &Settings, tasks: &Tasks) -> Result<Report, String> {
    let observations = observations::Observations::gather(settings, tasks).await?;
    Ok(Report::new(settings, &observations, checks::run(&observations)))
}

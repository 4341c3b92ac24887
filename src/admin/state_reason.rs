//! The reason why a stream is not live, in the words of docs/troubleshooting.md.
//!
//! Says what the state means. The upstream's own words are in `last_error`.

use crate::stream::{EventStream, Incompletion, OpenError, Phase};

/// Returns the reason why a stream is not live. `None` if it is.
pub(super) fn state_reason(stream: &EventStream) -> Option<&'static str> {
    let phase = stream.progress().phase;
    let is_stuck = matches!(phase, Phase::Retrying(_)) && stream.condition().is_stuck;
    Some(match phase {
        Phase::Live => return None,
        Phase::Retrying(_) if is_stuck => STUCK,
        Phase::Opening => OPENING,
        Phase::Retrying(None) => BROKEN_OFF,
        Phase::Retrying(Some(error)) | Phase::Refused(error) => of_error(&error),
        Phase::Complete => COMPLETE,
        Phase::Incomplete(Incompletion::Broken) => BROKEN,
        Phase::Incomplete(Incompletion::Stopped) => STOPPED,
    })
}

fn of_error(error: &OpenError) -> &'static str {
    match error {
        OpenError::Complete => COMPLETE,
        OpenError::NotFound(_) => NOT_FOUND,
        OpenError::RateLimited { .. } => BUSY,
        OpenError::Invalid(_) => WRONG,
        OpenError::Answered(_) => ANSWERED,
        OpenError::Unavailable { .. } => FAILING,
        OpenError::Unreachable(_) => UNREACHABLE,
        OpenError::ClosedEarly(_) => DROPPED,
        OpenError::Cluster(_) => CLUSTER,
        OpenError::TimedOut(_) => SILENT,
    }
}

const OPENING: &str = "the first connection attempt is in progress";
const BROKEN_OFF: &str = "the upstream's response ended or broke off, and the gateway connects again";
const UNREACHABLE: &str = "the upstream cannot be reached";
const DROPPED: &str = "the upstream closed the connection without an answer, as a balancer does whose backend is down";
const SILENT: &str = "the upstream accepted the connection and did not answer within open_timeout";
const FAILING: &str = "the upstream answered that it is unavailable, or with another server error";
const BUSY: &str = "the upstream answered 429 and is asked again later";
const NOT_FOUND: &str = "the upstream answered 404 or 410: it does not know the stream";
const WRONG: &str = "the upstream did not answer with an event stream";
const ANSWERED: &str = "the upstream's answer is no event stream, and clients got it as it is";
const CLUSTER: &str = "the engine that the gateways share is away";
const STUCK: &str = "the upstream fails in the same way at the same id, with no event in between";
const COMPLETE: &str = "the upstream has ended the stream, and what it sent is kept for replay";
const BROKEN: &str = "the producer broke off in the middle of an answer that a POST opened";
const STOPPED: &str = "a client stopped the stream with DELETE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_a_row_of_the_page_about_symptoms() {
        let page = include_str!("../../docs/troubleshooting.md").replace('`', "");
        let reasons = [
            OPENING,
            BROKEN_OFF,
            UNREACHABLE,
            DROPPED,
            SILENT,
            FAILING,
            BUSY,
            NOT_FOUND,
            WRONG,
            ANSWERED,
            CLUSTER,
            STUCK,
            COMPLETE,
            BROKEN,
            STOPPED,
        ];

        let missing: Vec<_> = reasons.iter().filter(|reason| !page.contains(&format!("| {reason} |"))).collect();

        assert!(missing.is_empty(), "docs/troubleshooting.md has no row for {missing:?}");
    }
}

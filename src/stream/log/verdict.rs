//! The outcome of a client's attempt to resume, in the words that clients receive.

use std::fmt;

use crate::sse::{EventId, Frame};

/// The outcome of starting to read a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeVerdict {
    /// The client sent no id. Only new events follow.
    Live,
    /// The client sent no id. Retained events follow, then new ones.
    Replay {
        /// The number of retained events that follow.
        missed: u64,
    },
    /// The id is in the log. The missed events follow, then new ones.
    Resumed {
        /// The number of missed events that follow.
        missed: u64,
    },
    /// Continuity is broken.
    Gap(Gap),
}

/// The reason for a break of continuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The id is older than the log.
    Evicted,
    /// The id was never seen.
    Unknown,
    /// The id was minted by an earlier incarnation of the stream.
    Restarted,
    /// The client fell off the log.
    Lagged,
    /// The upstream reconnected and did not prove that nothing was missed.
    Upstream,
    /// An event was larger than `max_event` and has been left out.
    TooLarge,
}

/// Encodes a verdict in the form that the route's clients receive. Returns `None` if the route reports nothing in-band.
pub type GapNotice = fn(ResumeVerdict, &EventId) -> Option<Frame>;

impl Gap {
    /// Parses a reason in the words of the protocol.
    pub fn from_reason(reason: &str) -> Option<Self> {
        let all = [Self::Evicted, Self::Unknown, Self::Restarted, Self::Lagged, Self::Upstream, Self::TooLarge];
        all.into_iter().find(|gap| gap.reason() == reason)
    }

    /// Returns the reason in the words of the protocol.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Unknown => "unknown",
            Self::Restarted => "restarted",
            Self::Lagged => "lagged",
            Self::Upstream => "upstream",
            Self::TooLarge => "too_large",
        }
    }
}

impl ResumeVerdict {
    /// Returns the data of a `rillgate.resume` event.
    pub fn json(self) -> String {
        match self {
            Self::Live => r#"{"resume":"live"}"#.to_owned(),
            Self::Replay { missed } => format!(r#"{{"resume":"replay","missed":{missed}}}"#),
            Self::Resumed { missed } => format!(r#"{{"resume":"resumed","missed":{missed}}}"#),
            Self::Gap(gap) => format!(r#"{{"resume":"gap","reason":"{}"}}"#, gap.reason()),
        }
    }
}

/// Writes the value of the `rillgate-resume` header and comment.
impl fmt::Display for ResumeVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::Replay { missed } => write!(f, "replay;missed={missed}"),
            Self::Resumed { missed } => write!(f, "resumed;missed={missed}"),
            Self::Gap(gap) => write!(f, "gap;reason={}", gap.reason()),
        }
    }
}

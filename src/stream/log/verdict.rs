//! How a client's wish to go on turned out, in the words that clients are told.

use std::fmt;

use crate::sse::{EventId, Frame};

/// The outcome of starting to read a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeVerdict {
    /// No id was sent; only what comes from now on follows.
    Live,
    /// No id was sent; so many events of the past follow.
    Replay {
        /// Events that follow.
        missed: u64,
    },
    /// The id is in the log; so many events follow, then live ones.
    Resumed {
        /// Events that follow.
        missed: u64,
    },
    /// Continuity is broken.
    Gap(Gap),
}

/// Why continuity is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The id is older than the log.
    Evicted,
    /// The id was never seen.
    Unknown,
    /// The id was minted by an earlier life of the stream.
    Restarted,
    /// The client fell off the log.
    Lagged,
    /// The upstream came back without proof that nothing was missed.
    Upstream,
    /// An event of the upstream's was larger than events may be, and has been left out.
    TooLarge,
}

/// Writes a verdict the way the route's clients are told it; `None` for routes that say nothing in-band.
pub type GapNotice = fn(ResumeVerdict, &EventId) -> Option<Frame>;

impl Gap {
    /// The word for it.
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
    /// The data of a `rillgate.resume` event.
    pub fn json(self) -> String {
        match self {
            Self::Live => r#"{"resume":"live"}"#.to_owned(),
            Self::Replay { missed } => format!(r#"{{"resume":"replay","missed":{missed}}}"#),
            Self::Resumed { missed } => format!(r#"{{"resume":"resumed","missed":{missed}}}"#),
            Self::Gap(gap) => format!(r#"{{"resume":"gap","reason":"{}"}}"#, gap.reason()),
        }
    }
}

/// The form of the `rillgate-resume` header and comment.
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

//! One thing that was found: its kind, what was seen, and what mends it.

use serde::Serialize;

/// One obstacle between a client and the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamFinding {
    /// The kind.
    pub kind: FindingKind,
    /// The observation, in a sentence.
    pub found: String,
    /// The remedy, in a sentence.
    pub remedy: &'static str,
}

/// The kinds of findings. Their names are stable, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Something collects the response before it passes it on.
    Buffering,
    /// The same, only where the response is compressed on the way.
    Compression,
    /// The response breaks off after a silence.
    IdleLimit,
    /// The response breaks off although bytes were coming.
    CutOff,
    /// `Last-Event-ID` does not arrive.
    LastEventId,
    /// There is no HTTP/2.
    Http1Only,
    /// The response does not ask proxies to pass it on piece by piece.
    Incremental,
    /// The certificate ends soon.
    Certificate,
    /// The page of this origin may not read the stream.
    Cors,
}

impl FindingKind {
    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buffering => "buffering",
            Self::Compression => "compression",
            Self::IdleLimit => "idle_limit",
            Self::CutOff => "cut_off",
            Self::LastEventId => "last_event_id",
            Self::Http1Only => "http1_only",
            Self::Incremental => "incremental",
            Self::Certificate => "certificate",
            Self::Cors => "cors",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_name_in_text_and_in_json() {
        for kind in [FindingKind::IdleLimit, FindingKind::Http1Only, FindingKind::Cors, FindingKind::LastEventId] {
            assert_eq!(serde_json::to_value(kind).expect("a string"), kind.as_str());
        }
    }
}

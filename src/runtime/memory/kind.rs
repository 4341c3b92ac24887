//! The kinds of memory that are counted.

/// A kind of memory. Label `kind` of `rillgate_memory_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryKind {
    /// Event logs with their indexes.
    Logs,
    /// Events that have been evicted from their logs while slow readers still hold them.
    Pinned,
    /// Histories that were read through from upstreams.
    Backlogs,
    /// HTTP/2 streams, and bytes that wait to be written to HTTP/2 connections.
    Http2,
    /// Pieces of bodies that were copied for HTTP/2 clients and wait for them.
    Bodies,
    /// Open streams without their logs: the task, the connection to the upstream and its buffers.
    Streams,
    /// Forwarded exchanges: the connection to the upstream and its buffers.
    Forwarded,
}

impl MemoryKind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Self; 7] =
        [Self::Logs, Self::Pinned, Self::Backlogs, Self::Http2, Self::Bodies, Self::Streams, Self::Forwarded];

    /// Returns the value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Pinned => "pinned",
            Self::Backlogs => "backlogs",
            Self::Http2 => "http2",
            Self::Bodies => "bodies",
            Self::Streams => "streams",
            Self::Forwarded => "forwarded",
        }
    }
}

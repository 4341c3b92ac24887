//! The script of an origin: requests as it saw them, answers as lists of bytes and cuts.
//!
//! Nothing here is validated: an origin must be able to send anything.

use std::sync::Arc;

use bytes::Bytes;

/// Chooses the answer to a request. The request's `number` tells the first from later ones.
pub type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A received request head.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers in their order, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The number of the request at this origin, from 0.
    pub number: usize,
}

impl Request {
    pub(super) fn parse(head: &str, number: usize) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut start = lines.next()?.split(' ');
        let (method, target) = (start.next()?.to_owned(), start.next()?.to_owned());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { method, target, headers, number })
    }

    /// Returns the first header with this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn last_event_id(&self) -> Option<&str> {
        self.header("last-event-id")
    }
}

/// The way to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Cleanly: the last chunk, TLS' close_notify, FIN.
    End,
    /// FIN alone, in the middle of the body; under TLS without close_notify.
    Fin,
    /// RST.
    Reset,
    /// A chunk is announced, part of it sent, then FIN.
    TruncatedChunk,
    /// Silently: segments are no longer acknowledged, as by a host that has lost its power.
    Vanish,
}

/// The framing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Chunked,
    /// The end of the connection ends the body.
    Close,
    /// Bytes are sent as given, including the head.
    Raw,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Pieces of the body in one write, each a chunk if the body is chunked.
    Body(Vec<Bytes>),
    Cut(Cut),
    /// Ends the script; emissions are not sent either.
    Silence,
}

/// An answer: a head, a scripted start of the body, and then all emissions of the origin.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) steps: Vec<Step>,
    /// Ends after the steps instead of waiting for emissions.
    pub(super) finite: bool,
}

impl Answer {
    /// Returns an answer with 200, text/event-stream, chunked, that stays open for emissions.
    pub fn stream() -> Self {
        let headers = vec![("content-type".into(), "text/event-stream".into())];
        Self { status: 200, headers, framing: Framing::Chunked, steps: Vec::new(), finite: false }
    }

    /// Returns an answer with this status, the body given with `then`, and an end.
    pub fn status(status: u16) -> Self {
        let headers = vec![("connection".into(), "close".into())];
        let framing = if status == 204 || status == 304 { Framing::Close } else { Framing::Chunked };
        Self { status, headers, framing, steps: Vec::new(), finite: true }
    }

    /// Reads the request and never answers.
    pub fn silence() -> Self {
        Self { status: 0, headers: Vec::new(), framing: Framing::Raw, steps: vec![Step::Silence], finite: false }
    }

    /// Reads the request and sends nothing until an emission, which is sent unchanged and has to start with a head.
    pub fn waiting() -> Self {
        Self { status: 0, headers: Vec::new(), framing: Framing::Raw, steps: Vec::new(), finite: false }
    }

    /// Sends these bytes instead of a head and a body; then ends.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        let steps = vec![Step::Body(vec![bytes.into()])];
        Self { status: 0, headers: Vec::new(), framing: Framing::Raw, steps, finite: true }
    }

    /// Sets a header, replacing one of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the body end with the connection.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self.header("connection", "close")
    }

    /// Adds body bytes as one chunk; empty bytes add nothing, not the last chunk.
    pub fn then(mut self, bytes: impl Into<Bytes>) -> Self {
        self.steps.push(Step::Body(vec![bytes.into()]));
        self
    }

    /// Sends the body's first `offset` bytes, then cuts the connection.
    pub fn then_cut_at(self, body: &[u8], offset: usize, how: Cut) -> Self {
        self.then(body[..offset].to_vec()).then_cut(how)
    }

    pub fn then_cut(mut self, how: Cut) -> Self {
        self.steps.push(Step::Cut(how));
        self
    }

    /// Sends nothing from here on, not even emissions; the connection stays open.
    pub fn then_silence(mut self) -> Self {
        self.steps.push(Step::Silence);
        self
    }

    pub(super) fn head(&self) -> Vec<u8> {
        if self.framing == Framing::Raw {
            return Vec::new();
        }
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.framing == Framing::Chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

//! The report of an examination, as text and as JSON.

use std::fmt;

use http::Version;
use serde::Serialize;

use super::finding::StreamFinding;
use super::observations::Observations;
use super::reading::{Ending, Reading, seconds};
use super::settings::Settings;

/// The result of an examination.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The URL.
    pub url: String,
    /// The version of HTTP that a browser gets: `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The time for which the stream was read, in seconds.
    pub seconds: f64,
    /// Heartbeats that a browser would have got in that time.
    pub heartbeats: u64,
    /// Events that a browser would have got in that time.
    pub events: u64,
    /// The findings. Empty: nothing stands between.
    pub findings: Vec<StreamFinding>,
    /// Other things that were seen, each in a sentence.
    pub notes: Vec<String>,
}

impl Report {
    pub(super) fn new(settings: &Settings, seen: &Observations, findings: Vec<StreamFinding>) -> Self {
        let browser = &seen.browser;
        Self {
            // The query may hold a token.
            url: settings.url[..url::Position::AfterPath].to_owned(),
            protocol: name(browser.version),
            seconds: (browser.elapsed.as_secs_f64() * 10.0).round() / 10.0,
            heartbeats: browser.heartbeats,
            events: browser.events,
            findings,
            notes: notes(seen),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, protocol, seconds, heartbeats, events, findings, notes } = self;
        writeln!(f, "{url}: {protocol}, heartbeats: {heartbeats}, events: {events}, in {seconds} s")?;
        for note in notes {
            writeln!(f, "note: {note}")?;
        }
        for StreamFinding { kind, found, remedy } in findings {
            writeln!(f, "{}: {found}\n    {remedy}", kind.as_str())?;
        }
        if findings.is_empty() { write!(f, "nothing found") } else { write!(f, "see docs/doctor.md") }
    }
}

/// Returns what else is worth knowing, and what could not be examined.
fn notes(seen: &Observations) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(coding) = seen.browser.coding() {
        notes.push(format!("the response is compressed ({coding})"));
    }
    if seen.verdict.is_none() {
        notes.push(
            "the server does not tell the outcome of a resume, so nothing is known about Last-Event-ID".to_owned(),
        );
    }
    if seen.browser.ending == Ending::Complete {
        notes.push(format!("the response was complete after {}", seconds(seen.browser.elapsed)));
    } else if seen.browser.ending == Ending::StillOpen && seen.browser.heartbeats == 0 {
        notes.push("no heartbeat came: read for longer than two of them take (--for)".to_owned());
    }
    if let Some(Reading { head: None, ending: Ending::Broken(reason), .. }) = &seen.http1 {
        notes.push(format!("there is no response over HTTP/1.1: {reason}"));
    }
    notes
}

fn name(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

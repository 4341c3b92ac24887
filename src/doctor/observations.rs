//! Everything that was seen of one URL: readings of the stream in several ways, and the answers to further questions.
//!
//! All of it happens at the same time, each on a connection of its own.

use std::time::{Duration, SystemTime};

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, COOKIE, ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::ClientConnection;
use super::reading::{Ending, Flow, Reading, ResponseHead, VERDICT_FIELD, seconds};
use super::settings::Settings;
use super::stream_text::StreamText;
use crate::runtime::tasks::Tasks;

/// The observations of one URL.
#[derive(Debug)]
pub(super) struct Observations {
    /// The time of the examination.
    pub(super) now: SystemTime,
    /// Whether the URL is `https`.
    pub(super) has_tls: bool,
    /// When the server's certificate ends.
    pub(super) certificate_end: Option<SystemTime>,
    /// As a browser reads it: the best version of HTTP, and any content coding.
    pub(super) browser: Reading,
    /// The same over HTTP/1.1, where the browser has HTTP/2.
    pub(super) http1: Option<Reading>,
    /// As the browser, without a content coding.
    pub(super) identity: Reading,
    /// Whether a `HEAD` request is answered, which no buffer holds back.
    pub(super) answers_head: bool,
    /// The outcome of a resume after an id that does not exist, if the server tells it.
    pub(super) verdict: Option<String>,
    /// The page whose origin the requests had.
    pub(super) page: Option<Page>,
}

/// A page of another origin, and what the server said to its browser.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) origin: HeaderValue,
    /// Whether requests have a cookie.
    pub(super) has_cookie: bool,
    /// The fields for which a browser asks beforehand. Empty: it does not ask.
    pub(super) asked_fields: Vec<HeaderName>,
    /// The answer to that. `None`: it was not asked, or there was no answer.
    pub(super) preflight: Option<(StatusCode, HeaderMap)>,
}

impl Observations {
    /// Makes all readings.
    ///
    /// # Errors
    /// There is no connection, no response, or one that is no event stream, with the reason as text.
    pub(super) async fn gather(settings: &Settings, tasks: &Tasks) -> Result<Self, String> {
        let mut connection = ClientConnection::open(settings, &BROWSER_VERSIONS, tasks).await?;
        let certificate_end = connection.certificate_end;
        let is_http2 = connection.version() == Version::HTTP_2;
        let deadline = Instant::now() + settings.duration;
        let http1 = async {
            match is_http2 {
                true => Some(read(settings, &[Version::HTTP_11], BROWSER_CODINGS, deadline, tasks).await),
                false => None,
            }
        };
        let (browser, http1, identity, answers_head, verdict, page) = tokio::join!(
            Reading::take(&mut connection, settings, BROWSER_CODINGS, deadline),
            http1,
            read(settings, &BROWSER_VERSIONS, "identity", deadline, tasks),
            answers_head(settings, tasks),
            resume_verdict(settings, deadline, tasks),
            Page::ask(settings, tasks),
        );
        let now = SystemTime::now();
        let has_tls = settings.url.scheme() == "https";
        let seen = Self { now, has_tls, certificate_end, browser, http1, identity, answers_head, verdict, page };
        match seen.failure() {
            Some(reason) => Err(reason),
            None => Ok(seen),
        }
    }

    /// Returns the readings, the browser's first.
    pub(super) fn readings(&self) -> impl Iterator<Item = &Reading> {
        [&self.browser, &self.identity].into_iter().chain(&self.http1)
    }

    /// Judges whether one of the readings came promptly, also by comparison with the others.
    pub(super) fn flow(&self, reading: &Reading) -> Flow {
        let flow = reading.flow();
        let has_text = self.readings().any(|other| other.first_text.is_some());
        if flow == Flow::Unknown && reading.ending == Ending::StillOpen && has_text {
            return Flow::Held("no text came, while another request for the same stream got it".to_owned());
        }
        flow
    }

    /// Returns the head of the browser's response, or of another if the browser got none.
    pub(super) fn head(&self) -> Option<&ResponseHead> {
        self.readings().find_map(|reading| reading.head.as_ref())
    }

    /// Says why nothing can be said about the stream.
    fn failure(&self) -> Option<String> {
        if let Some(refusal) = self.head().and_then(ResponseHead::refusal) {
            return Some(refusal);
        }
        match (&self.browser.head, &self.browser.ending) {
            (None, Ending::Broken(reason)) => Some(format!("no response: {reason}")),
            (None, _) if self.head().is_none() && !self.answers_head => {
                Some(format!("no response within {}", seconds(self.browser.elapsed)))
            }
            _ => None,
        }
    }
}

impl Page {
    /// Asks what a browser asks for a page of the origin in `settings`, if there is one.
    async fn ask(settings: &Settings, tasks: &Tasks) -> Option<Self> {
        let origin = settings.origin.clone()?;
        let is_asked = |name: &&HeaderName| !NOT_ASKED.contains(name);
        let asked_fields: Vec<_> = settings.fields.keys().filter(is_asked).cloned().collect();
        let asking = async {
            if asked_fields.is_empty() {
                return None;
            }
            let names: Vec<_> = asked_fields.iter().map(HeaderName::as_str).collect();
            let names = HeaderValue::try_from(names.join(",")).ok()?;
            let mut connection = ClientConnection::open(settings, &BROWSER_VERSIONS, tasks).await.ok()?;
            let mut request = settings.request(connection.version(), Method::OPTIONS, BROWSER_CODINGS);
            let fields = request.headers_mut();
            for name in settings.fields.keys() {
                fields.remove(name);
            }
            fields.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));
            fields.insert(ACCESS_CONTROL_REQUEST_HEADERS, names);
            let response = connection.send(request).await.ok()?;
            Some((response.status(), response.headers().clone()))
        };
        let preflight = timeout(QUESTION_TIMEOUT, asking).await.ok().flatten();
        Some(Self { origin, has_cookie: settings.fields.contains_key(COOKIE), asked_fields, preflight })
    }
}

/// Reads the stream on a connection of its own.
async fn read(
    settings: &Settings,
    offer: &[Version],
    codings: &'static str,
    deadline: Instant,
    tasks: &Tasks,
) -> Reading {
    match ClientConnection::open(settings, offer, tasks).await {
        Ok(mut connection) => Reading::take(&mut connection, settings, codings, deadline).await,
        Err(reason) => Reading { ending: Ending::Broken(reason), ..Reading::new(Version::HTTP_11) },
    }
}

/// Returns whether a `HEAD` request has any answer.
async fn answers_head(settings: &Settings, tasks: &Tasks) -> bool {
    let asking = async {
        let mut connection = ClientConnection::open(settings, &BROWSER_VERSIONS, tasks).await.ok()?;
        let request = settings.request(connection.version(), Method::HEAD, BROWSER_CODINGS);
        connection.send(request).await.ok()
    };
    timeout(QUESTION_TIMEOUT, asking).await.ok().flatten().is_some()
}

/// Resumes after an id that does not exist. Returns the outcome, if the server tells one.
async fn resume_verdict(settings: &Settings, deadline: Instant, tasks: &Tasks) -> Option<String> {
    let asking = async {
        let mut connection = ClientConnection::open(settings, &BROWSER_VERSIONS, tasks).await.ok()?;
        let mut request = settings.request(connection.version(), Method::GET, "identity");
        request.headers_mut().insert("last-event-id", HeaderValue::from_static(UNKNOWN_ID));
        let (head, mut content) = connection.send(request).await.ok()?.into_parts();
        let told = head.headers.get(VERDICT_FIELD)?.to_str().ok()?.to_owned();
        if told != "pending" {
            return Some(told);
        }
        let mut text = StreamText::default();
        while text.verdict.is_none() {
            text.push(&content.next().await?.ok()?);
        }
        text.verdict
    };
    timeout_at(deadline, asking).await.ok().flatten()
}

/// The versions that a browser offers.
const BROWSER_VERSIONS: [Version; 2] = [Version::HTTP_2, Version::HTTP_11];

/// The codings that a browser accepts.
const BROWSER_CODINGS: &str = "gzip, deflate, br, zstd";

/// Fields that a browser sends without asking (Fetch, 2.2.2: safelisted and forbidden request headers).
const NOT_ASKED: [HeaderName; 6] =
    [http::header::ACCEPT, http::header::ACCEPT_LANGUAGE, COOKIE, http::header::HOST, ORIGIN, USER_AGENT];

/// An id that no event has.
const UNKNOWN_ID: &str = "rillgate-doctor-unknown";

/// Longest time for the answer to a question, with its connection.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

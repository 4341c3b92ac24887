//! What a route decides about the clients of its streams: one `[[routes]]` table, believed.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::pattern::PathPattern;
use super::template::PathTemplate;
use crate::auth::RuleSettings;
use crate::stream::{CatchUpLimit, Policy};
pub use crate::stream::{OnGap, Start};
use crate::upstream::UpstreamSettings;

/// One configured route.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Unique; the metric label.
    pub name: String,
    /// Narrows the route to one host name, in lower case and without a port.
    pub host: Option<String>,
    /// Which paths it answers.
    pub path: PathPattern,
    /// Where its events come from.
    pub upstream: Arc<UpstreamSettings>,
    /// What is asked of the upstream, filled with the captures.
    pub upstream_path: PathTemplate,
    /// Who may read it.
    pub access: Access,
    /// Whether its stream is open without subscribers.
    pub open: Open,
    /// Answer 429 and 503 to an event-stream request as a short 200.
    pub soft_refusal: bool,
    /// What besides the path makes two clients different streams.
    pub share: ShareSettings,
    /// How clients resume.
    pub replay: ReplaySettings,
    /// How events reach clients.
    pub delivery: DeliverySettings,
    /// How the stream itself is kept.
    pub stream: Policy,
    /// Which pages of other origins may read it.
    pub cors: Option<Cors>,
}

/// Who may read a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Everyone: `auth = "public"`.
    Public,
    /// Those with a token that satisfies these rules.
    Token(RuleSettings),
}

/// When a route's stream is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// While it has subscribers, and for `linger` after.
    OnDemand,
    /// From start to end. Only for routes that are a single stream.
    Always,
}

/// `[routes.share]`: parts of the stream key that also go upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareSettings {
    /// Query parameters, in this order.
    pub query: Vec<String>,
    /// Request headers.
    pub headers: Vec<HeaderName>,
    /// Header sent upstream, and the claim whose value it carries.
    pub claims: Vec<(HeaderName, String)>,
}

/// `[routes.replay]`, as far as it is about one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySettings {
    /// Where a client without an id starts.
    pub start: Start,
    /// Where a client starts whose id is not in the log.
    pub on_gap: OnGap,
    /// How the outcome is told in-band.
    pub verdict: VerdictForm,
    /// The query parameters read when the `Last-Event-ID` header is absent. Default `last_event_id` and `lastEventId`.
    pub query_id: Vec<String>,
    /// Where the log is kept. Default in memory.
    pub store: LogStorage,
    /// Bounds of catching up an id that is older than the log from the upstream's own history. `None`, the default: such
    /// an id is a gap.
    pub read_through: Option<CatchUpLimit>,
}

/// How the outcome of a resume is told in-band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictForm {
    /// Not at all: the response header has it.
    Off,
    /// As a comment, whatever it is.
    Comment,
    /// As a comment; a gap also as an event.
    Gap,
    /// As an event, whatever it is.
    Event,
}

/// Where the event logs of a route's streams are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStorage {
    /// In memory alone.
    Memory,
    /// On disk as well: they survive a restart.
    Disk,
}

/// `[routes.delivery]`: how events reach clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// A comment after this long without an event. Default 15 s.
    pub heartbeat: Duration,
    /// Advertised reconnection time while the upstream has not said its own. Default 2 s.
    pub retry: Duration,
    /// Longest life of one response. `None`: no bound, the default.
    pub max_age: Option<Duration>,
    /// What happens to a client that fell off the log.
    pub lagged: Lagging,
    /// A lagging client gets only the newest event of each type.
    pub latest: bool,
    /// Wait this long for more events before writing. Default 0.
    pub gather: Duration,
    /// How a response ends that its client should come back from.
    pub end: EndForm,
    /// Whether responses ask proxies to pass on each piece at once. Default `true`.
    pub incremental: bool,
    /// What a client meets whose upstream is down.
    pub when_down: WhenDown,
    /// A client that is held has its head after this long, whatever is known by then. `None`: it waits. Default 5 s.
    pub answer_within: Option<Duration>,
}

/// What happens to a client that fell off the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lagging {
    /// Its response ends; it comes back with its id.
    Disconnect,
    /// It goes on at the oldest event kept, and is told.
    Skip,
}

/// How a response ends that its client should come back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndForm {
    /// As every response does.
    Clean,
    /// Without its last chunk, or with a reset: an error to a client that takes a clean end for the end of all.
    Cut,
}

/// What a client meets whose upstream is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// 200 and heartbeats while the upstream is retried.
    Hold,
    /// 502, 503 or 504.
    Refuse,
}

/// `[routes.cors]`: which pages of other origins may read the route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Exact origins (`https://app.example.com`), or `*` alone where there are no credentials.
    pub origins: Vec<String>,
    /// Whether cookies may be sent.
    pub credentials: bool,
    /// What requests may have besides the fields that the gateway reads and those that the route shares.
    pub headers: Vec<HeaderName>,
}

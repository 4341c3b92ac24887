//! The settings of a route: one `[[routes]]` table, validated.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::pattern::PathPattern;
use super::post_settings::PostSettings;
use super::template::PathTemplate;
use crate::auth::RuleSettings;
use crate::coding::ContentCoding;
use crate::forward::ForwardSettings;
use crate::stream::{CatchUpLimit, CodingWindow, Ids, Policy, Upstream};
pub use crate::stream::{LogStorage, OnGap, Start, VerdictForm};

/// One configured route.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The unique name, which is also the metric label.
    pub name: String,
    /// The only host that the route matches, in lower case and without a port. `None`: any host.
    pub host: Option<String>,
    /// The paths that the route matches.
    pub path: PathPattern,
    /// The upstream of its streams.
    pub upstream: Arc<dyn Upstream>,
    /// The path and query of upstream requests.
    pub upstream_path: PathTemplate,
    /// The clients that may read the route.
    pub access: Access,
    /// The time for which its streams are open.
    pub open: Open,
    /// Whether an `EventSource` gets 429 and 503 as a short stream with status 200. Default `false`.
    pub soft_refusal: bool,
    /// The parts of a request that select the stream besides its path.
    pub share: ShareSettings,
    /// The settings of resuming.
    pub replay: ReplaySettings,
    /// The settings of delivery.
    pub delivery: DeliverySettings,
    /// The ids that clients see.
    pub ids: Ids,
    /// The settings of the streams themselves.
    pub stream: Policy,
    /// The pages of other origins that may read the route. `None`: none.
    pub cors: Option<Cors>,
    /// Set if a `POST` opens a stream.
    pub post: Option<Arc<PostSettings>>,
    /// Set if the route forwards requests. Then it has no streams.
    pub forward: Option<Arc<ForwardSettings>>,
}

/// The clients that may read a route.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Everyone: `auth = "public"`.
    Public,
    /// Clients with a token that satisfies these rules.
    Token(RuleSettings),
}

/// The time for which the streams of a route are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// While they have subscribers, and for `linger` after the last one.
    OnDemand,
    /// From start to shutdown. Only for routes of a single stream.
    Always,
}

/// `[routes.share]`: the parts of a request that belong to the stream key and are sent upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareSettings {
    /// The query parameters, in this order.
    pub query: Vec<String>,
    /// The header fields of the request.
    pub headers: Vec<HeaderName>,
    /// The header fields of the upstream request, and the claims whose values they carry.
    pub claims: Vec<(HeaderName, String)>,
}

/// `[routes.replay]`: how clients resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySettings {
    /// The position of a client without an id.
    pub start: Start,
    /// The position of a client whose id is not in the log.
    pub on_gap: OnGap,
    /// The query parameters that count if there is no header `Last-Event-ID`. Default `last_event_id` and `lastEventId`.
    pub query_id: Vec<String>,
    /// The bounds of requests for the upstream's history, for ids that are older than the log. `None`, the default: such an
    /// id is a gap.
    pub read_through: Option<CatchUpLimit>,
}

/// `[routes.delivery]`: how events reach clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// The time without a byte after which a heartbeat is sent. Default 15 s.
    pub heartbeat: Duration,
    /// The reconnection time (`retry:`) while the upstream has not sent its own. Default 2 s.
    pub retry: Duration,
    /// The maximum age of a response. `None`, the default: no maximum.
    pub max_age: Option<Duration>,
    /// The reaction when a client falls off the log.
    pub lagged: Lagging,
    /// Whether a lagging client gets only the newest event of each type.
    pub latest: bool,
    /// The time to wait for more events before a write. Default 0.
    pub gather: Duration,
    /// The form of an end that is not the end of the stream.
    pub end: EndForm,
    /// Whether responses ask proxies to forward each piece at once (`Incremental`). Default `true`.
    pub incremental: bool,
    /// The response to a client while the upstream is down.
    pub when_down: WhenDown,
    /// The longest wait for the head with [`WhenDown::Hold`]. A resume that is pending then goes on after the head. `None`:
    /// no bound. Default 5 s.
    pub answer_within: Option<Duration>,
    /// The content codings of responses, the preferred one first. Default none.
    pub compression: Vec<ContentCoding>,
    /// The bounds of a context that clients share.
    pub compression_window: CodingWindow,
}

/// The reaction when a client falls off the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lagging {
    /// The response ends. The client reconnects with its id.
    Disconnect,
    /// The response goes on at the oldest event in the log, after a notice.
    Skip,
}

/// The form of an end that is not the end of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndForm {
    /// Like any other response.
    Clean,
    /// Without the last chunk, or with a reset: an error. Some clients take a clean end for the end of the stream.
    Cut,
}

/// The response to a client while the upstream is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// Status 200 and heartbeats, while the gateway retries the upstream.
    Hold,
    /// Status 502, 503 or 504.
    Refuse,
}

/// `[routes.cors]`: the pages of other origins that may read a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// The exact origins (`https://app.example.com`), or `*` alone if there are no credentials.
    pub origins: Vec<String>,
    /// Whether pages may send cookies.
    pub credentials: bool,
    /// The header fields that requests may have besides those that the gateway reads and those that the route shares.
    pub headers: Vec<HeaderName>,
}

//! Forwarding: requests that are sent on to an upstream as they come, and their responses.
//!
//! ```text
//!  RequestBody ─▶ Upload ──▶ Clients (hyper-util, one pool for each worker) ──▶ an origin of the upstream
//!  client      ◀─ Download ◀─┘
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `settings` | one `[routes.forward]` table |
//! | `forwarder` | a request to a response, over the origins of the upstream |
//! | `fields` | the header fields that are not passed on |
//! | `upload`, `download` | the bodies, with their bounds |
//! | `tunnel`, `stream_tunnel` | upgraded connections, and HTTP/2 streams that are one |
//! | `clients`, `connector` | pooled connections |
//! | `origins` | the origins that cannot be connected to are passed over |
//! | `exchange_limits` | the bounds on exchanges in progress |
//! | `forward_error` | the reasons for which there is no response |

mod clients;
mod connector;
mod download;
mod exchange_limits;
mod fields;
mod forward_error;
mod forwarder;
mod origins;
mod settings;
mod stream_tunnel;
mod tunnel;
mod upload;

pub use download::{BrokenResponse, Download, DownloadProgress};
pub use exchange_limits::{ExchangeLimit, ExchangeLimits, ExchangePermit};
pub use fields::{drop_request_fields, drop_response_fields};
pub use forward_error::ForwardError;
pub use forwarder::{ForwardRequest, Forwarder};
pub use settings::{ForwardSettings, HostField};
pub use stream_tunnel::{StreamTransport, TunnelBody};
pub use tunnel::Tunnel;

//! The interface between requests that open streams, such as a `POST`, and the gateways that share those streams.
//!
//! Such a stream has a random name. The gateways agree on it, so that equal requests at several of them share one stream.
//! This file does not know how they agree.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::feed::OpenError;
use super::identity::StreamIdentity;

/// Agrees with other gateways on the streams that requests open.
pub trait SharedRequests: Send + Sync {
    /// Returns the stream that a request shares with equal ones of all gateways: an earlier one's, or the one that it
    /// offers. Nothing is sent upstream by this. Ends within a few seconds.
    ///
    /// # Errors
    /// [`OpenError::Cluster`]: the gateways cannot agree now.
    fn agree(&self, offer: RequestOffer) -> BoxFuture<'_, Result<AgreedRequest, OpenError>>;

    /// Asks the gateway that reads the upstream of a stream to stop it. `None`: no gateway does, or none answers. Ends
    /// within a few seconds.
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Option<StopOutcome>>;
}

/// A request that would open a stream, as other gateways know it.
#[derive(Clone, Debug)]
pub struct RequestOffer {
    /// The digest that all requests of one stream share.
    pub key: [u8; 32],
    /// The digest of its body.
    pub body: [u8; 32],
    /// The name that a stream of its own would have, at most 64 bytes.
    pub name: String,
    /// The identity that this stream would have.
    pub identity: StreamIdentity,
    /// The name of an earlier stream that this gateway knows to be of no use.
    pub refused: Option<String>,
    /// True if a stream that ended before its end is the request's too, because the request resumes.
    pub resumes: bool,
    /// The time for which a complete stream is the request's too.
    pub age: Duration,
}

/// The stream that the gateways agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedRequest {
    /// Its name.
    pub name: String,
    /// The digest of the body of the request that it was made for.
    pub body: [u8; 32],
}

/// A request to stop a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// The stream's name, at most 64 bytes.
    pub name: String,
    /// The name of its route.
    pub route: String,
    /// Its canonical path, at most 8 KiB.
    pub path: String,
    /// The digest of the subject that wants it stopped. `None`: it has none.
    pub subject: Option<[u8; 32]>,
}

/// The answer to a request to stop a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// The stream has ended.
    Stopped,
    /// Another client has opened it.
    NotOpener,
}

/// Stops streams whose upstream this gateway reads.
pub trait StopHandler: Send + Sync {
    /// Stops the stream if this gateway reads its upstream and the request may. `None`: it does not read it.
    fn stop(&self, request: StopRequest) -> BoxFuture<'static, Option<StopOutcome>>;
}

//! The refusals of requests about streams that a `POST` opens or has opened.

use http::StatusCode;

use super::rows::{ProblemDetails, row};

/// The reason why a request about a stream that a `POST` opens is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostRefusal {
    /// The request's body did not arrive in time.
    BodyTimeout,
    /// The client's address has its share of bodies.
    AddressBodies,
    /// The request has the key of another one, but another body.
    BodyDiffers,
    /// There is no stream with this name, or not for this client.
    NoStream,
    /// Another client has opened the stream.
    NotOpener,
    /// A page of another origin made the browser send the request.
    CrossSite,
}

impl PostRefusal {
    /// Returns the row of the table of refusals.
    pub(super) fn problem(self) -> ProblemDetails {
        use StatusCode as Status;
        match self {
            Self::BodyTimeout => {
                row(Status::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time (post.body_timeout).")
            }
            Self::AddressBodies => row(
                Status::TOO_MANY_REQUESTS,
                "post_body_bytes_per_ip",
                "Too many request bodies of this address have not been sent on yet.",
            ),
            Self::BodyDiffers => row(
                Status::UNPROCESSABLE_ENTITY,
                "body_differs",
                "The header that names the request was used for a request with another body.",
            ),
            Self::NoStream => row(Status::NOT_FOUND, "no_stream", "There is no such stream."),
            Self::NotOpener => {
                row(Status::FORBIDDEN, "not_opener", "Only the client that opened a stream can stop it.")
            }
            Self::CrossSite => {
                row(Status::FORBIDDEN, "origin", "This request is not accepted from a page of this origin.")
            }
        }
    }
}

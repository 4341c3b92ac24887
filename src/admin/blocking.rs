//! Runs callbacks that may take long off the runtime's workers, and answers 500 where one panics.

use http::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::reply::{Body, problem};
use crate::runtime::panics::Panics;

/// Runs what takes long off the runtime's workers. `None`: it panicked.
pub(super) async fn blocking<T: Send + 'static>(
    panics: &Panics,
    doing: &'static str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let panics = panics.clone();
    // No other error than that the runtime ends, and this with it.
    spawn_blocking(move || panics.catch("admin", &doing, run)).await.ok().flatten()
}

/// A callback panicked: a defect of ours, which the connection survives.
pub(super) fn failed() -> Response<Body> {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made")
}

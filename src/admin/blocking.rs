//! Blocking calls of the admin port, run off the runtime's workers. A panic becomes a 500.

use http::{Response, StatusCode};
use tokio::task::spawn_blocking;

use super::reply::{Body, problem};
use crate::runtime::panics::Panics;

/// Runs a blocking closure off the runtime's workers. Returns `None` if it panicked.
pub(super) async fn blocking<T: Send + 'static>(
    panics: &Panics,
    doing: &'static str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let panics = panics.clone();
    // The only other error is the shutdown of the runtime, which ends this future as well.
    spawn_blocking(move || panics.catch("admin", &doing, run)).await.ok().flatten()
}

/// Answers for a closure that panicked: a defect of ours, which the connection survives.
pub(super) fn internal_error() -> Response<Body> {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal error: see the log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_answered_with_500() {
        let panics = Panics::default();

        let answer: Option<Response<Body>> = blocking(&panics, "/streams", || panic!("for the test")).await;

        assert_eq!(answer.unwrap_or_else(internal_error).status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(panics.count(), 1);
    }
}

//! Deadlines that a stalled client cannot block.
//!
//! hyper polls a response body only while the client takes bytes, so a deadline inside the body would never fire for a
//! client that does not read. The condition in an [`AbortSlot`] is polled beside hyper instead. When it completes, the
//! connection is dropped and thereby closed. HTTP/2 polls the body's deadline itself (see `http2::stream`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::runtime::side_waker::SideWaker;

/// The condition on which a connection is closed. Empty at first.
#[derive(Default)]
pub(super) struct AbortSlot(
    /// Never held while the condition is polled, because polling it may set another one.
    Mutex<Option<AbortCondition>>,
);

struct AbortCondition {
    condition: BoxFuture<'static, ()>,
    /// Keeps the condition from being polled for every chunk of the response.
    side_waker: SideWaker,
}

impl AbortSlot {
    /// Sets the condition. Replaces an earlier one.
    pub(super) fn abort_when(&self, condition: impl Future<Output = ()> + Send + 'static) {
        *self.0.lock() = Some(AbortCondition { condition: Box::pin(condition), side_waker: SideWaker::default() });
    }

    /// Polls `inner`, and then the condition if it is due. Completes with `None` once the condition has completed.
    pub(super) fn poll<F: Future>(&self, inner: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if let Poll::Ready(output) = inner.poll(cx) {
            return Poll::Ready(Some(output));
        }
        let taken = self.0.lock().take();
        let Some(mut condition) = taken else { return Poll::Pending };
        if let Some(waker) = condition.side_waker.poll_due(cx)
            && condition.condition.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
        {
            return Poll::Ready(None);
        }
        self.0.lock().get_or_insert(condition);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_condition_ends_a_future_that_never_completes() {
        let slot = AbortSlot::default();
        slot.abort_when(tokio::time::sleep(Duration::from_millis(1)));
        let mut inner = pending::<()>();

        assert_eq!(poll_fn(|cx| slot.poll(Pin::new(&mut inner), cx)).await, None);
    }

    #[tokio::test]
    async fn a_future_that_completes_does_not_wait_for_the_condition() {
        let slot = AbortSlot::default();
        slot.abort_when(pending());
        let mut inner = ready(7);

        assert_eq!(poll_fn(|cx| slot.poll(Pin::new(&mut inner), cx)).await, Some(7));
    }
}

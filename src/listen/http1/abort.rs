//! Deadlines that a stalled client cannot block.
//!
//! hyper polls a response body only while the client takes bytes, so a deadline inside the body would never fire for a
//! client that does not read. [`abortable`] wraps the future of an HTTP/1 connection. A service inside it sets a
//! condition with [`abort_when`]. When the condition completes, the connection is dropped and thereby closed. HTTP/2
//! polls the body's deadline itself (see `http2::stream`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::runtime::side_waker::SideWaker;

tokio::task_local! {
    static ABORT_SLOT: AbortSlot;
}

#[derive(Clone, Default)]
struct AbortSlot(Arc<Mutex<Option<AbortCondition>>>);

struct AbortCondition {
    condition: BoxFuture<'static, ()>,
    /// Keeps the condition from being polled for every chunk of the response.
    side_waker: SideWaker,
}

/// Wraps `inner`, so that code inside it can call [`abort_when`].
pub(super) fn abortable<F: Future + Unpin>(inner: F) -> Abortable<F> {
    Abortable { inner, slot: AbortSlot::default() }
}

/// Drops the surrounding `abortable` future when `condition` completes. Replaces an earlier condition.
pub fn abort_when(condition: impl Future<Output = ()> + Send + 'static) {
    let is_inside = ABORT_SLOT.try_with(|slot| {
        *slot.0.lock() = Some(AbortCondition { condition: Box::pin(condition), side_waker: SideWaker::default() });
    });
    debug_assert!(is_inside.is_ok(), "abort_when is called inside an abortable future");
}

/// The future of [`abortable`]. Completes with `None` if the condition ended it.
pub(super) struct Abortable<F> {
    inner: F,
    slot: AbortSlot,
}

impl<F: Future + Unpin> Abortable<F> {
    /// Returns the wrapped future.
    pub(super) fn into_inner(self) -> F {
        self.inner
    }

    /// Returns the wrapped future.
    pub(super) fn get_mut(&mut self) -> &mut F {
        &mut self.inner
    }
}

impl<F: Future + Unpin> Future for Abortable<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, slot } = self.get_mut();
        let polled = ABORT_SLOT.sync_scope(slot.clone(), || Pin::new(inner).poll(cx));
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        let mut locked = slot.0.lock();
        let Some(waker) = locked.as_mut().and_then(|condition| condition.side_waker.poll_due(cx).cloned()) else {
            return Poll::Pending;
        };
        // Move the condition out while it is polled, because polling it may set another one.
        let condition = locked.take();
        drop(locked);
        if let Some(mut condition) = condition {
            if condition.condition.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Poll::Ready(None);
            }
            slot.0.lock().get_or_insert(condition);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_condition_ends_a_future_that_never_completes() {
        let inner = Box::pin(async {
            abort_when(tokio::time::sleep(Duration::from_millis(1)));
            pending::<()>().await;
        });

        assert_eq!(abortable(inner).await, None);
    }

    #[tokio::test]
    async fn a_future_that_completes_does_not_wait_for_the_condition() {
        let inner = Box::pin(async {
            abort_when(pending());
            poll_fn(|_| Poll::Ready(7)).await
        });

        assert_eq!(abortable(inner).await, Some(7));
    }
}

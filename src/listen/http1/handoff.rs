//! The handle by which a service takes its connection over from hyper, or leaves it there.
//!
//! [`super`] describes the protocol. A claim is final: the connection has no further request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::abort::AbortSlot;
use super::head_scan::{HeadScan, ScannedHead};
use super::prelude::{OutputEnd, Prelude, PreludeBody};
use crate::listen::connection_task::ConnectionTask;
use crate::listen::transport::Transport;

type HandoffFn = Box<dyn FnOnce(Transport, Vec<u8>, ConnectionTask) + Send>;

/// Lets a service decide who writes the responses of an HTTP/1 connection. Cheap to clone.
#[derive(Clone, Default)]
pub struct Handoff(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Never held across an await.
    state: Mutex<State>,
    abort: AbortSlot,
}

#[derive(Default)]
struct State {
    is_reading_paused: bool,
    is_declined: bool,
    claim: Option<Claim>,
    upgrade: Option<HandoffFn>,
    head: HeadScan,
}

struct Claim {
    continuation: HandoffFn,
    output_end: OutputEnd,
}

impl Handoff {
    /// Returns true if the connection can be claimed.
    pub fn is_available(&self) -> bool {
        !self.0.state.lock().is_declined
    }

    /// Claims the connection for `continuation`, which runs once hyper has written the head and the prelude. Returns the
    /// body that the response must have.
    ///
    /// The continuation receives the connection, the bytes that hyper wrote and the socket has not taken, and the
    /// spawner of the writing task.
    #[must_use]
    pub fn claim(
        &self,
        prelude: Prelude,
        continuation: impl FnOnce(Transport, Vec<u8>, ConnectionTask) + Send + 'static,
    ) -> PreludeBody {
        let claim = Claim { continuation: Box::new(continuation), output_end: OutputEnd::default() };
        self.0.state.lock().claim = Some(claim);
        PreludeBody::new(prelude)
    }

    /// Claims the connection for `continuation`, which runs once hyper has written a response with 101 (RFC 9110, 7.8).
    /// The continuation receives the connection, the bytes that the client has sent behind its request, and the spawner of
    /// the task that goes on.
    pub fn upgrade(&self, continuation: impl FnOnce(Transport, Vec<u8>, ConnectionTask) + Send + 'static) {
        self.0.state.lock().upgrade = Some(Box::new(continuation));
    }

    /// Returns the continuation of an upgraded connection that hyper has left.
    pub(super) fn take_upgrade(&self) -> Option<HandoffFn> {
        self.0.state.lock().upgrade.take()
    }

    /// Leaves the connection to hyper for good, because hyper carries a body whose chunks may end like a prelude. The
    /// connection is closed when `condition` completes. Replaces the condition of an earlier request.
    pub fn decline(&self, condition: impl Future<Output = ()> + Send + 'static) {
        self.0.state.lock().is_declined = true;
        self.0.abort.abort_when(condition);
    }

    /// Stops reading until the current request is answered, or allows it. Call it before the request is first polled.
    ///
    /// A client that waits for a finite response may have closed its sending side, as `nc` and shells do. hyper would
    /// take that for a disconnect.
    pub fn set_reading_paused(&self, is_reading_paused: bool) {
        self.0.state.lock().is_reading_paused = is_reading_paused;
    }

    pub(super) fn is_reading_paused(&self) -> bool {
        self.0.state.lock().is_reading_paused
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.0.state.lock().claim.is_some()
    }

    /// Records bytes that were read while a request head was expected.
    pub(super) fn on_head_read(&self, bytes: &[u8]) {
        self.0.state.lock().head.push(bytes);
    }

    /// Returns what is known of the head of the request that begins.
    pub(super) fn take_scanned_head(&self) -> ScannedHead {
        self.0.state.lock().head.take()
    }

    /// Records bytes that hyper wrote.
    pub(super) fn on_written(&self, bytes: &[u8]) {
        if let Some(claim) = &mut self.0.state.lock().claim {
            claim.output_end.push(bytes);
        }
    }

    /// Polls hyper's `connection`. Completes with `None` once the condition of [`Self::decline`] has completed.
    pub(super) fn poll_connection<F: Future>(
        &self,
        connection: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        self.0.abort.poll(connection, cx)
    }

    /// Returns the continuation once the prelude is written.
    pub(super) fn take_ready(&self) -> Option<HandoffFn> {
        let mut state = self.0.state.lock();
        state.claim.take_if(|claim| claim.output_end.is_prelude()).map(|claim| claim.continuation)
    }
}

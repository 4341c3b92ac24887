//! An upstream for the scheduler. It sends an event, ends, can be opened again, and counts its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt};

use rillgate_interleavings::sse::{Event, EventId, Item};
use rillgate_interleavings::stream::{
    Batch, Continuity, EventSource, Gap, OpenError, OpenOutcome, Opened, StreamObserver,
};

/// Sends one event on each connection. The first connections then end; later ones stay open.
#[derive(Clone, Default)]
pub struct Upstream(Arc<Counts>);

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    open: AtomicUsize,
}

/// The number of connections that end.
const SHORT: usize = 2;

impl Upstream {
    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// Returns the number of connections ever opened.
    pub fn opened(&self) -> usize {
        self.0.opened.load(Ordering::SeqCst)
    }
}

impl EventSource for Upstream {
    fn open(&self, _: Option<EventId>) -> BoxFuture<'_, Result<OpenOutcome, OpenError>> {
        let counts = self.0.clone();
        async move {
            let number = counts.opened.fetch_add(1, Ordering::SeqCst);
            counts.open.fetch_add(1, Ordering::SeqCst);
            let connection = Connection(counts);
            // Let others run between the request and the response, as on a network.
            tokio::task::yield_now().await;
            let event =
                Event { id: EventId::new(number.to_string()).ok(), data: number.to_string(), ..Event::default() };
            let batch = Ok(Batch { items: vec![Item::Event(event)], ..Batch::default() });
            let rest = if number < SHORT { stream::empty().boxed() } else { stream::pending().boxed() };
            let items = stream::iter([batch]).chain(rest).map(move |item| {
                let _held = &connection;
                item
            });
            Ok(OpenOutcome::Stream(Opened {
                retained: Vec::new(),
                items: items.boxed(),
                continuity: Continuity::Unknown,
            }))
        }
        .boxed()
    }
}

struct Connection(Arc<Counts>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts nothing.
pub struct Uncounted;

impl StreamObserver for Uncounted {
    fn connected(&self, _: Result<(), &OpenError>) {}
    fn received(&self, _: u64, _: usize) {}
    fn gap(&self, _: Gap) {}
}

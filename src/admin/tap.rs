//! A stream as it flows, for whoever ticks on.
//!
//! Takes what is new some times a second, so that it costs the stream's own readers nothing. Whoever reads slower than
//! the stream flows is told how many events it missed. Ends with the stream, and with the connection it is read over.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::TapFrames;
use super::reply::Body;

/// The body of a tap, until its stream, its client or `shutdown` ends it.
pub(super) fn body(tap: Box<dyn TapFrames>, permit: OwnedSemaphorePermit, shutdown: CancellationToken) -> Body {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (tap, ticks, shutdown, Some(Bytes::from_static(PRELUDE)), Instant::now(), permit);
    StreamBody::new(stream::unfold(state, async |(mut tap, mut ticks, shutdown, mut prelude, mut last, permit)| {
        let piece = match prelude.take() {
            Some(prelude) => prelude,
            None => loop {
                shutdown.run_until_cancelled(ticks.tick()).await?;
                let pieces = tap.take(PIECE_BYTES)?;
                if !pieces.is_empty() {
                    break join(pieces);
                }
                if last.elapsed() >= HEARTBEAT {
                    break Bytes::from_static(b":\n");
                }
            },
        };
        last = Instant::now();
        Some((Ok::<_, Infallible>(Frame::data(piece)), (tap, ticks, shutdown, prelude, last, permit)))
    }))
    .boxed_unsync()
}

fn join(pieces: Vec<Bytes>) -> Bytes {
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
    joined.freeze()
}

const PRELUDE: &[u8] = b": rillgate-tap\n";
const PERIOD: Duration = Duration::from_millis(100);
/// At most so much in one look, or a single event that is larger: more than half a megabyte in a second is not for eyes.
const PIECE_BYTES: usize = 64 * 1024;
/// A comment after this long without an event, so that a client that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

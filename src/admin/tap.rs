//! The body of a tap: the events of one stream as they arrive.
//!
//! Polls the log ten times a second, so that a tap costs the stream's subscribers nothing. A client that reads too
//! slowly is told how many events it missed. Ends with the stream, and with its connection.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::reply::Body;
use crate::sse;
use crate::stream::{Tap, Tapped};

/// Streams a tap until its stream, its client or `shutdown` ends it.
pub(super) fn body(tap: Tap, permit: OwnedSemaphorePermit, shutdown: CancellationToken) -> Body {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (tap, ticks, shutdown, Some(Bytes::from_static(PRELUDE)), Instant::now(), permit);
    StreamBody::new(stream::unfold(state, async |(mut tap, mut ticks, shutdown, mut prelude, mut last, permit)| {
        let piece = match prelude.take() {
            Some(prelude) => prelude,
            None => loop {
                shutdown.run_until_cancelled(ticks.tick()).await?;
                let pieces = encode(&tap.take(MAX_PIECE_BYTES)?);
                if !pieces.is_empty() {
                    break join(&pieces);
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

/// Turns tapped frames into pieces of an event stream, with a comment first if events were missed.
fn encode(tapped: &Tapped) -> Vec<Bytes> {
    let told = (tapped.missed > 0).then(|| Bytes::from(format!(": rillgate-tap: missed={}\n", tapped.missed)));
    told.into_iter().chain(tapped.frames.iter().map(sse::Frame::body)).collect()
}

fn join(pieces: &[Bytes]) -> Bytes {
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
    joined.freeze()
}

const PRELUDE: &[u8] = b": rillgate-tap\n";
const PERIOD: Duration = Duration::from_millis(100);
/// The maximum of one poll, or a single event that is larger. No person can read more than 640 KiB a second.
const MAX_PIECE_BYTES: usize = 64 * 1024;
/// The time without an event after which a comment is sent, so that a disconnected client is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

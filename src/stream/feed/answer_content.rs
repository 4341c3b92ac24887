//! The content of an answer that is no event stream, for the clients that wait for it.
//!
//! A reader of the source adds pieces, and each client takes them in its own time. Bounded by [`MAX_ANSWER_BYTES`]; what is
//! larger is cut off. Knows nothing of the protocol.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::source_request::SourceHeader;
use crate::runtime::memory::{MemoryCharge, MemoryKind, MemoryLedger};

/// The content of one answer.
pub struct AnswerContent {
    /// The header fields that describe the content, and those that say when to ask again.
    pub fields: Vec<SourceHeader>,
    pieces: watch::Sender<Pieces>,
    /// Never held across an await.
    charge: Mutex<Option<MemoryCharge>>,
}

#[derive(Default)]
struct Pieces {
    /// In order, and none is empty. Only the last one grows, while it is small: a source may send single bytes.
    received: Vec<Bytes>,
    bytes: usize,
    end: Option<Result<(), BrokenAnswer>>,
}

/// The answer ended before its end, or is larger than [`MAX_ANSWER_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not complete")]
pub struct BrokenAnswer;

/// Most bytes of an answer that is no event stream.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

impl AnswerContent {
    /// Creates content of which nothing has arrived.
    pub fn new(fields: Vec<SourceHeader>) -> Arc<Self> {
        Arc::new(Self { fields, pieces: watch::channel(Pieces::default()).0, charge: Mutex::default() })
    }

    /// Charges the content to the ledger from now on.
    pub fn attach_ledger(&self, ledger: &Arc<MemoryLedger>) {
        let bytes = self.pieces.borrow().bytes as u64;
        *self.charge.lock() = Some(MemoryCharge::new(ledger, MemoryKind::Streams, bytes));
    }

    /// Adds a piece. Returns false if the content is over, because it would be too large.
    pub fn push(&self, piece: Bytes) -> bool {
        let mut bytes = 0;
        let mut has_room = true;
        self.pieces.send_modify(|pieces| {
            has_room = pieces.bytes + piece.len() <= MAX_ANSWER_BYTES;
            if !has_room {
                pieces.end = Some(Err(BrokenAnswer));
            } else if !piece.is_empty() {
                pieces.bytes += piece.len();
                pieces.append(&piece);
            }
            bytes = pieces.bytes as u64;
        });
        if let Some(charge) = &mut *self.charge.lock() {
            charge.resize(bytes);
        }
        has_room
    }

    /// Ends the content. The first end counts.
    pub fn end(&self, end: Result<(), BrokenAnswer>) {
        self.pieces.send_modify(|pieces| {
            pieces.end.get_or_insert(end);
        });
    }

    /// Completes when so many bytes have arrived, or all of them. Cancel-safe.
    pub async fn arrived(&self, bytes: usize) {
        // The sender is `self`, so this is no error.
        let _ = self.pieces.subscribe().wait_for(|pieces| pieces.bytes >= bytes || pieces.end.is_some()).await;
    }

    /// Returns what has arrived, at most so many bytes.
    pub fn excerpt(&self, bytes: usize) -> Vec<u8> {
        let pieces = self.pieces.borrow();
        let mut excerpt: Vec<u8> = Vec::new();
        for piece in &pieces.received {
            let room = bytes - excerpt.len();
            excerpt.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        excerpt
    }

    /// Returns the pieces from the first one on, as they arrive.
    pub fn read(self: Arc<Self>) -> impl Stream<Item = Result<Bytes, BrokenAnswer>> + Send + 'static {
        let receiver = self.pieces.subscribe();
        let start = Position { index: 0, taken: 0 };
        stream::unfold(Some((self, receiver, start)), |state| async move {
            let (content, mut receiver, at) = state?;
            let next = {
                let pieces = receiver.wait_for(|pieces| pieces.after(at).is_some() || pieces.end.is_some()).await;
                let pieces = pieces.ok()?;
                match (pieces.after(at), pieces.end) {
                    (Some(next), _) => Ok(next),
                    (None, Some(Err(broken))) => Err(broken),
                    (None, _) => return None,
                }
            };
            Some(match next {
                Ok((piece, after)) => (Ok(piece), Some((content, receiver, after))),
                Err(broken) => (Err(broken), None),
            })
        })
    }
}

/// A client's place in the pieces.
#[derive(Clone, Copy, Debug)]
struct Position {
    index: usize,
    /// The bytes of the piece with this index that were taken.
    taken: usize,
}

impl Pieces {
    /// Appends a copy: a piece may be a small part of a large buffer of the connection.
    fn append(&mut self, piece: &[u8]) {
        match self.received.last_mut().filter(|last| last.len() + piece.len() <= MERGED_BYTES) {
            Some(last) => *last = [last, piece].concat().into(),
            None => self.received.push(Bytes::copy_from_slice(piece)),
        }
    }

    /// Returns the bytes that follow a place, if any have arrived, and the place after them.
    fn after(&self, Position { index, taken }: Position) -> Option<(Bytes, Position)> {
        let piece = self.received.get(index)?;
        if piece.len() > taken {
            return Some((piece.slice(taken..), Position { index, taken: piece.len() }));
        }
        let next = self.received.get(index + 1)?;
        Some((next.clone(), Position { index: index + 1, taken: next.len() }))
    }
}

/// Up to this size pieces are put together, so that single bytes take little more than themselves.
const MERGED_BYTES: usize = 1024;

/// Two contents are equal if they are the same one.
impl PartialEq for AnswerContent {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for AnswerContent {}

/// Leaves out the content, which is the client's.
impl fmt::Debug for AnswerContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerContent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    async fn all(content: &Arc<AnswerContent>) -> (Vec<u8>, bool) {
        let mut read = Box::pin(content.clone().read());
        let mut bytes = Vec::new();
        while let Some(piece) = read.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(BrokenAnswer) => return (bytes, false),
            }
        }
        (bytes, true)
    }

    #[tokio::test]
    async fn single_bytes_are_put_together_and_every_one_is_read_once() {
        let content = AnswerContent::new(Vec::new());
        let sent: Vec<u8> = (0..=250).cycle().take(10_000).collect();
        let mut reading = Box::pin(content.clone().read());
        let mut read = Vec::new();
        for (number, byte) in sent.iter().enumerate() {
            assert!(content.push(Bytes::copy_from_slice(&[*byte])));
            if number % 7 == 0 {
                read.extend(reading.next().await.unwrap().unwrap());
            }
        }
        content.end(Ok(()));

        while let Some(piece) = reading.next().await {
            read.extend(piece.unwrap());
        }

        assert!(read == sent && all(&content).await == (sent, true));
        assert_eq!(content.pieces.borrow().received.len(), 10);
    }

    #[tokio::test]
    async fn every_reader_gets_all_pieces_and_the_end() {
        let content = AnswerContent::new(Vec::new());
        assert!(content.push(Bytes::from_static(b"{\"a\":")));
        let (early, ()) = tokio::join!(all(&content), async {
            assert!(content.push(Bytes::from_static(b"1}")));
            content.end(Ok(()));
        });

        assert_eq!(early, (b"{\"a\":1}".to_vec(), true));
        assert_eq!(all(&content).await, (b"{\"a\":1}".to_vec(), true));
        assert_eq!(content.excerpt(4), b"{\"a\"");
    }

    #[tokio::test]
    async fn a_larger_answer_is_cut_off_and_its_memory_is_counted() {
        let ledger = Arc::new(MemoryLedger::new(None));
        let content = AnswerContent::new(Vec::new());
        content.attach_ledger(&ledger);
        let piece = Bytes::from(vec![b'x'; MAX_ANSWER_BYTES]);

        assert!(content.push(piece) && !content.push(Bytes::from_static(b"y")));

        assert_eq!(ledger.held(MemoryKind::Streams), MAX_ANSWER_BYTES as u64);
        let (bytes, is_whole) = all(&content).await;
        assert_eq!((bytes.len(), is_whole), (MAX_ANSWER_BYTES, false));
        drop(content);
        assert_eq!(ledger.held(MemoryKind::Streams), 0);
    }
}

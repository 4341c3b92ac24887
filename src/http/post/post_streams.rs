//! The streams that were opened by `POST`: which requests share one, and who opened it.
//!
//! Finding and opening are one step under one lock, so a request that is made twice at once is sent once. Holds only
//! digests, and forgets what the registry of streams no longer has.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::post_key::PostKey;
use crate::http::response::rejection::{PostRefusal, Rejection};
use crate::stream::{OpeningRequest, Phase, StreamKey, StreamLimit, Streams, Subscription};

/// The streams of one gateway that were opened by `POST`.
#[derive(Debug, Default)]
pub(crate) struct PostStreams(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<String, Arc<PostStream>>,
    /// The newest stream of each key that requests share.
    by_key: HashMap<[u8; 32], Arc<PostStream>>,
    /// The number of streams after the last look for those that are gone.
    swept: usize,
}

/// A stream that was opened by `POST`.
#[derive(Debug)]
pub(crate) struct PostStream {
    /// The name in its URL: 128 random bits.
    pub(super) name: String,
    /// The key in the registry of streams.
    pub(super) key: StreamKey,
    /// The request that opened it.
    pub(super) request: PostKey,
    /// The same as the store keeps it. `None`: no other request finds it there.
    pub(super) stored: Option<OpeningRequest>,
}

/// Least streams between two looks for those that are gone.
const MIN_SWEEP: usize = 64;

impl PostStreams {
    /// Returns the stream that a request joins, if there is one. With `has_id`, the request resumes, so a stream that ended
    /// before its end is one.
    ///
    /// # Errors
    /// 422 if that stream was opened by a request with another body.
    pub(super) fn find(
        &self,
        streams: &Streams,
        request: &PostKey,
        has_id: bool,
    ) -> Result<Option<Arc<PostStream>>, Rejection> {
        self.0.lock().find(streams, request, has_id)
    }

    /// Joins the stream of this request, or opens `new`. `subscribe` must subscribe to the stream that it gets.
    ///
    /// # Errors
    /// As for [`Self::find`], or the limit that a new stream would exceed.
    pub(super) fn join_or_open(
        &self,
        streams: &Streams,
        new: Arc<PostStream>,
        has_id: bool,
        subscribe: impl FnOnce(&PostStream) -> Result<Subscription, StreamLimit>,
    ) -> Result<(Arc<PostStream>, Subscription), Rejection> {
        let mut known = self.0.lock();
        let post = match known.find(streams, &new.request, has_id)? {
            Some(open) => open,
            // Another request may have agreed on the name at the same time.
            None => known.by_name.get(&new.name).cloned().unwrap_or(new),
        };
        let subscription = subscribe(&post)?;
        known.insert(streams, &post);
        Ok((post, subscription))
    }

    /// Returns the name of the stream of an equal request that is known to have been refused.
    pub(super) fn refused(&self, streams: &Streams, request: &PostKey) -> Option<String> {
        let known = self.0.lock();
        let post = known.by_key.get(&request.shared?)?;
        let phase = streams.find(&post.key)?.progress().phase;
        matches!(phase, Phase::Refused(_)).then(|| post.name.clone())
    }

    /// Returns the stream with this name in its URL.
    pub(super) fn named(&self, name: &str) -> Option<Arc<PostStream>> {
        self.0.lock().by_name.get(name).cloned()
    }
}

impl Known {
    fn find(&self, streams: &Streams, request: &PostKey, has_id: bool) -> Result<Option<Arc<PostStream>>, Rejection> {
        let Some(post) = request.shared.and_then(|shared| self.by_key.get(&shared)) else { return Ok(None) };
        let Some(stream) = streams.find(&post.key) else { return Ok(None) };
        let is_joined = match stream.progress().phase {
            Phase::Opening | Phase::Live | Phase::Retrying(_) | Phase::Complete => true,
            Phase::Incomplete(_) => has_id,
            Phase::Refused(_) => false,
        };
        match is_joined {
            true if post.request.body != request.body => Err(Rejection::Post(PostRefusal::BodyDiffers)),
            true => Ok(Some(post.clone())),
            false => Ok(None),
        }
    }

    fn insert(&mut self, streams: &Streams, post: &Arc<PostStream>) {
        if self.by_name.contains_key(&post.name) {
            return;
        }
        if self.by_name.len() >= 2 * self.swept + MIN_SWEEP {
            self.by_name.retain(|_, post| streams.contains(&post.key));
            self.by_key.retain(|_, post| streams.contains(&post.key));
            self.swept = self.by_name.len();
        }
        self.by_name.insert(post.name.clone(), post.clone());
        if let Some(shared) = post.request.shared {
            self.by_key.insert(shared, post.clone());
        }
    }
}
